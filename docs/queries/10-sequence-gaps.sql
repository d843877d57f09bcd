-- Where is a producer's count interrupted, that is, where were events lost or are still on their way?
--
-- tenant (demo): whose events are asked about
-- from (2026-11-01 00:00:00): begin of the range of occurred_at, UTC
-- to (2026-12-01 00:00:00): end of the range, itself not included
SELECT
    producer_id,
    producer_epoch,
    previous + 1 AS first_missing,
    sequence - 1 AS last_missing,
    sequence - previous - 1 AS missing,
    previous_at AS after,
    occurred_at AS before
FROM
(
    SELECT
        producer_id,
        producer_epoch,
        assumeNotNull(events.sequence) AS sequence,
        occurred_at,
        lagInFrame(sequence, 1, sequence - 1) OVER one_producer AS previous,
        lagInFrame(occurred_at, 1, occurred_at) OVER one_producer AS previous_at
    FROM events
    WHERE tenant_id = {tenant:String}
        AND occurred_at >= {from:DateTime('UTC')} AND occurred_at < {to:DateTime('UTC')}
        AND producer_id != '' AND events.sequence IS NOT NULL
    WINDOW one_producer AS (PARTITION BY producer_id, producer_epoch ORDER BY events.sequence
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
WHERE missing > 0
ORDER BY producer_id, producer_epoch, first_missing
