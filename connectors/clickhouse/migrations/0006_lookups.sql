-- One event by its id, and events by when they were ingested, without reading a tenant's whole table; parts of earlier
-- inserts get the indexes in the background.
ALTER TABLE {namespace}.events
    ADD INDEX IF NOT EXISTS event_id_filter event_id TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS ingested_range processed_ingested_at TYPE minmax GRANULARITY 1;
ALTER TABLE {namespace}.events MATERIALIZE INDEX event_id_filter;
ALTER TABLE {namespace}.events MATERIALIZE INDEX ingested_range;
-- How far each partition is stored, for the export service's watermark: positions and times of all tenants, nothing of an event.
CREATE OR REPLACE VIEW {namespace}.stored_positions DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT kafka_partition, kafka_offset, processed_raw_offset, processed_ingested_at
FROM {namespace}.events WHERE kafka_topic_id = {topic_id:String};
