"""The stages of the processor: pure functions over a Batch, without I/O or clock."""

from pipeline.stages.detectors import RULES_REVISION
from pipeline.stages.enrich import Lookup, enrich
from pipeline.stages.redact import redact
from pipeline.stages.validate import validate

__all__ = ["RULES_REVISION", "Lookup", "enrich", "redact", "validate"]
