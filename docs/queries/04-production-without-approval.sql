-- Which calls changed something in production without anybody's approval?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
-- pattern ((^|[^a-z])prod): what belongs to production by its target or path, a regular expression in lower case
SELECT
    occurred_at,
    agent_name,
    human_principal_id,
    tool_name,
    tool_category,
    target_type,
    target_id,
    entity_path,
    session_id,
    tool_call_id
FROM tool_calls
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND event_type = 'tool.invoked'
    AND (tool_category IN ('write', 'delete') OR activity IN ('create', 'update', 'delete'))
    AND match(lower(concat(target_id, ' ', entity_path)), {pattern:String})
    AND (session_id, tool_call_id) NOT IN
    (
        SELECT session_id, tool_call_id
        FROM approvals
        WHERE tenant_id = {tenant:String} AND approval_status IN ('approved', 'modified') AND tool_call_id != ''
    )
ORDER BY occurred_at, session_id
