-- Which sources send secrets or personal data that redaction has to take out, and in which columns?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    source,
    agent_name,
    tool_name,
    field,
    count() AS events,
    min(occurred_at) AS first_at,
    min(event_id) AS example
FROM events
ARRAY JOIN processed_redacted_fields AS field
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
GROUP BY source, agent_name, tool_name, field
ORDER BY events DESC, source, agent_name, tool_name, field
