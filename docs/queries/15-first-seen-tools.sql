-- Which tools were called for the first time in this range, by whom?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of the first call, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    tool_server,
    tool_name,
    min(occurred_at) AS first_at,
    argMin(agent_name, occurred_at) AS first_agent,
    argMin(human_principal_id, occurred_at) AS first_for,
    argMin(processed_tool_risk, occurred_at) AS risk,
    count() AS calls
FROM tool_calls
WHERE tenant_id = {tenant:String} AND occurred_at < {to:DateTime('UTC')}
    AND event_type = 'tool.invoked' AND tool_name != ''
GROUP BY tool_server, tool_name
HAVING first_at >= {from:DateTime('UTC')}
ORDER BY first_at, tool_server, tool_name
