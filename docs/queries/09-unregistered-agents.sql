-- Which agents, or versions of agents, ran that are not registered, deprecated or retired?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    agent_id,
    agent_version,
    flag,
    uniqExact(session_id) AS sessions,
    count() AS events,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM events
ARRAY JOIN processed_flags AS flag
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND flag IN ('agent_unknown', 'agent_version_unknown', 'agent_version_deprecated', 'agent_version_retired')
GROUP BY agent_id, agent_version, flag
ORDER BY events DESC, agent_id, agent_version, flag
