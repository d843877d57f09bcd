"""The export service: compliance extracts over REST."""
