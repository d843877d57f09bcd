"""Labelled texts that redaction is judged by, what makes them, and the judge: README.md says how they are used."""
