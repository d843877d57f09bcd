-- Which sessions failed, were stopped or never ended, and what had they done by then?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range in which they started, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    started_at,
    outcome,
    round(duration_seconds) AS seconds,
    agent_name,
    human_principal_id,
    error_type,
    tool_calls,
    denials,
    failures,
    round(cost_usd, 4) AS cost_usd,
    session_id
FROM sessions
WHERE tenant_id = {tenant:String}
    AND started_at >= {from:DateTime('UTC')} AND started_at < {to:DateTime('UTC')}
    AND outcome != 'success'
    AND session_id IN  -- a session that started in the range has an event in it: the others need not be gathered
    (
        SELECT session_id
        FROM events
        WHERE tenant_id = {tenant:String}
            AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')} AND session_id != ''
    )
ORDER BY started_at, session_id
