-- Who explains why an event is as it is reads the rules that decided it, and changes none.
GRANT SELECT ON rules_revisions, rules_outbox TO operator, export;
