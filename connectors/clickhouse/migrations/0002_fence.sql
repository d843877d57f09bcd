-- Who may write a partition: the highest (epoch, owner) of it. Every insert into `events` compares itself with it, in the server.
CREATE TABLE IF NOT EXISTS {namespace}.fence
(
    topic_id LowCardinality(String),
    partition UInt16,
    epoch UInt64,
    owner String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (topic_id, partition, epoch);
