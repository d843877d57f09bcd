-- What the export service counts by part: a part never changes, so its number holds as long as its name is there. `table_id` tells
-- a table from one that was made anew under the same name. Positions of all tenants, nothing of an event.
CREATE OR REPLACE VIEW {namespace}.stored_parts DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT
    (SELECT uuid FROM system.tables WHERE database = '{namespace}' AND name = 'events') AS table_id,
    _part AS part, _part_index AS place, kafka_topic_id, kafka_partition, processed_raw_offset
FROM {namespace}.events;
