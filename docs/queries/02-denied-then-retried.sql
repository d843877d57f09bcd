-- Where was a tool call denied, and then the same tool called in the same session all the same?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
-- minutes (60): how long after the denial a call still counts
WITH steps AS
(
    SELECT occurred_at, event_type, session_id, tool_server, tool_name, agent_name, human_principal_id, policy_id, target_id
    FROM tool_calls
    WHERE tenant_id = {tenant:String}
        AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
        AND event_type IN ('tool.denied', 'tool.invoked') AND session_id != ''
)
SELECT
    denied.occurred_at AS denied_at,
    min(called.occurred_at) AS called_at,
    denied.session_id AS session_id,
    denied.tool_name AS tool_name,
    denied.agent_name AS agent_name,
    denied.human_principal_id AS human_principal_id,
    denied.policy_id AS policy_id,
    count() AS calls_after
FROM (SELECT * FROM steps WHERE event_type = 'tool.denied') AS denied
INNER JOIN (SELECT * FROM steps WHERE event_type = 'tool.invoked') AS called
    ON called.session_id = denied.session_id AND called.tool_server = denied.tool_server AND called.tool_name = denied.tool_name
WHERE called.occurred_at > denied.occurred_at AND called.occurred_at <= denied.occurred_at + toIntervalMinute({minutes:UInt32})
GROUP BY denied_at, session_id, tool_name, agent_name, human_principal_id, policy_id
ORDER BY denied_at, session_id
