"""The sinks: clean events into stores, each exactly once, by planned ranges."""
