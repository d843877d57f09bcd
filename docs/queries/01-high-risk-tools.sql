-- Which agents called tools of high or critical risk, how often, and for whom?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    processed_tool_risk AS risk,
    tool_server,
    tool_name,
    agent_name,
    human_principal_id,
    countIf(event_type = 'tool.invoked') AS calls,
    countIf(event_type = 'tool.denied') AS denied,
    max(occurred_at) AS last_at
FROM tool_calls
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND event_type IN ('tool.invoked', 'tool.denied')
    AND processed_tool_risk IN ('high', 'critical')
GROUP BY risk, tool_server, tool_name, agent_name, human_principal_id
ORDER BY calls DESC, tool_server, tool_name, agent_name, human_principal_id
