-- Who reached for secrets, and who got them?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
-- pattern (secret|credential|password|vault): what a tool, its server or its target is called, a regular expression in lower case
SELECT
    occurred_at,
    if(event_type = 'tool.denied', 'denied', 'called') AS what,
    agent_name,
    human_principal_id,
    tool_server,
    tool_name,
    target_id,
    policy_id,
    session_id
FROM tool_calls
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND event_type IN ('tool.invoked', 'tool.denied')
    AND match(lower(concat(tool_server, ' ', tool_name, ' ', target_type, ' ', target_id)), {pattern:String})
ORDER BY occurred_at, session_id
