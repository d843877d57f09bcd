-- What became of every raw record: the ledger topic as tables, written by the ledger sink. Written at least once: rows of the same
-- position are equal and become one when parts are merged, so a reader asks with FINAL or counts distinct positions.
CREATE TABLE IF NOT EXISTS {namespace}.ledger
(
    kafka_topic_id LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset Int64,
    kafka_timestamp DateTime64(3, 'UTC'),
    raw_topic LowCardinality(String),
    raw_partition UInt16,
    start_offset Int64,
    end_offset Int64,
    read Int64,
    clean Int64,
    quarantined Int64,
    duplicates Int64,
    conflicts Int64,
    lost Int64,
    checksum UInt64,
    reasons Array(Tuple(reason String, count Int64)),
    resolved Array(Int64),
    max_timestamp DateTime64(6, 'UTC'),
    rules_revision LowCardinality(String),
    version LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(kafka_timestamp, 'UTC')
ORDER BY (kafka_topic_id, kafka_partition, kafka_offset);
-- One row an interval of producer sequences, ends included; kind: stored, quarantined, duplicate, conflict (those are stored too).
CREATE TABLE IF NOT EXISTS {namespace}.ledger_sequences
(
    tenant_id LowCardinality(String),
    producer_id String,
    producer_epoch Int64,
    kind LowCardinality(String),
    first Int64,
    last Int64,
    kafka_topic_id LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset Int64,
    kafka_timestamp DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(kafka_timestamp, 'UTC')
ORDER BY (tenant_id, producer_id, producer_epoch, kind, first, last, kafka_topic_id, kafka_partition, kafka_offset);
-- For the export service: one tenant's intervals, and how far the ledger is stored, in which no tenant is named.
CREATE OR REPLACE VIEW {namespace}.sequences_of DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant_id, producer_id, producer_epoch, kind, first, last, kafka_topic_id, kafka_partition, kafka_offset, kafka_timestamp
FROM {namespace}.ledger_sequences WHERE tenant_id = {tenant:String};
CREATE OR REPLACE VIEW {namespace}.ledger_ranges DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT kafka_partition, kafka_offset, raw_topic, raw_partition, start_offset, end_offset, clean, lost, max_timestamp
FROM {namespace}.ledger WHERE kafka_topic_id = {topic_id:String};
