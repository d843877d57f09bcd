"""The processor once more: one event at a time, in dictionaries and `re`, slow and obvious, to compare the columnar one with.

Written from docs/processor.md, docs/redaction.md and docs/reference-data.md. Of the processor's code it takes data only: the
schema, the table of detectors, the sentences that say why something is refused, and the documents of a revision.
"""
