-- Which sources send events late, how many and how late?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
-- minutes (60): what counts as late: append time of the raw record minus occurred_at
SELECT
    source,
    producer_id,
    toDate(occurred_at) AS day,
    count() AS late_events,
    round(max(dateDiff('second', occurred_at, assumeNotNull(processed_ingested_at))) / 60) AS latest_minutes,
    max(processed_ingested_at) AS last_arrived_at
FROM events
WHERE tenant_id = {tenant:String}
    AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
    AND processed_ingested_at > occurred_at + toIntervalMinute({minutes:UInt32})
GROUP BY source, producer_id, day
ORDER BY late_events DESC, source, producer_id, day
