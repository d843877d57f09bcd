-- How the SDK handed an event over; empty for events stored before and for those of receivers.
ALTER TABLE {namespace}.events
    ADD COLUMN IF NOT EXISTS audit_mode LowCardinality(String)
        AFTER processed_reference_revision;
-- A view keeps the columns that the table had when it was made.
CREATE OR REPLACE VIEW {namespace}.events_of DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {namespace}.events WHERE tenant_id = {tenant:String};
