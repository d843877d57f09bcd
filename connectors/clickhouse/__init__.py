"""ClickHouse: the HTTP client, the tables, and the store of clean events."""
