-- Retention reads how long each class is kept, and since when; it changes nothing.
GRANT USAGE ON SCHEMA public TO retention;
GRANT SELECT ON rules_revisions, rules_outbox TO retention;
