-- What the processor adds out of the reference data, in the order of the event schema; events stored before have the defaults.
ALTER TABLE {namespace}.events
    ADD COLUMN IF NOT EXISTS processed_tool_risk LowCardinality(String)
        AFTER processed_identity_conflict,
    ADD COLUMN IF NOT EXISTS processed_tenant_region LowCardinality(String)
        AFTER processed_tool_risk,
    ADD COLUMN IF NOT EXISTS processed_owners Array(String)
        AFTER processed_tenant_region,
    ADD COLUMN IF NOT EXISTS processed_controls Array(String)
        AFTER processed_owners,
    ADD COLUMN IF NOT EXISTS processed_flags Array(String)
        AFTER processed_controls,
    ADD COLUMN IF NOT EXISTS processed_reference_revision LowCardinality(String)
        AFTER processed_flags;
-- A view keeps the columns that the table had when it was made.
CREATE OR REPLACE VIEW {namespace}.events_of DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {namespace}.events WHERE tenant_id = {tenant:String};
