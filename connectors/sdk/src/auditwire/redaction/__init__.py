"""Secrets and personal data in text: what they look like, where they stand, and the text without them."""

from auditwire.redaction.detector import Detector
from auditwire.redaction.engine import Found, redacted, spans
from auditwire.redaction.table import DETECTORS, Encoded, detectors_for, revision_of

__all__ = ["DETECTORS", "Detector", "Encoded", "Found", "detectors_for", "redacted", "revision_of", "spans"]
