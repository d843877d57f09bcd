-- One tenant's events. Whoever may read only this view cannot write a query without naming a tenant.
CREATE OR REPLACE VIEW {namespace}.events_of DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT * FROM {namespace}.events WHERE tenant_id = {tenant:String};
