"""Rules for data: what is redacted, what is kept and for how long, as documents in immutable revisions."""
