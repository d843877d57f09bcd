-- Who read or exported this tenant's audit trail, or tried to?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    actor_id,
    event_type,
    outcome,
    count() AS requests,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    groupUniqArrayIf(target_id, target_id != '') AS extracts
FROM events
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND startsWith(event_type, 'export.')
GROUP BY actor_id, event_type, outcome
ORDER BY actor_id, event_type, outcome
