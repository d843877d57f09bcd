-- What retention deleted, one row a partition of a topic: a copy of the signed certificates in the archive bucket, for who counts
-- events here. Written at least once: rows of the same certificate are equal.
CREATE TABLE IF NOT EXISTS {namespace}.deletions
(
    retention_class LowCardinality(String),
    month UInt32,
    topic_id LowCardinality(String),
    partition UInt16,
    events Int64,
    checksum UInt64,
    last_raw_offset Int64,
    certificate String,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (topic_id, partition, retention_class, month);
