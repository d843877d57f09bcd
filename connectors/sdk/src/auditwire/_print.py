"""Development mode: events are printed, a line each, and stored nowhere. Needs neither Kafka nor a registry."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime
from typing import Any, TextIO

from auditwire._decode import decode
from auditwire._errors import DeliveryError
from auditwire._memory import MemoryTransport, Stored
from auditwire._modes import DEFAULT

NOTICE = (
    "auditwire: DEVELOPMENT MODE: events are printed here and STORED NOWHERE. "
    "For real ones unset AUDITWIRE_TRANSPORT and use from_env instead of development."
)
TEXT = 200
_AHEAD = ("tenant_id", "source", "sequence", "event_type", "outcome", "occurred_at")
_LEFT_OUT = {*_AHEAD, "observed_at", "producer_id", "producer_epoch"}
_CONTROL = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # what JSON leaves as it is and a terminal obeys


class PrintTransport(MemoryTransport):
    """Prints each event to standard error, or to ``stream``; in colour on a terminal only (never where NO_COLOR is set).

    Events are checked, cut to the limits and numbered as for Kafka; receipts say ``stored`` at once. Long texts show their
    first 200 characters. Says once, loudly, that nothing is stored.
    """

    def __init__(self, stream: TextIO | None = None, *, topic: str = "audit.raw") -> None:
        super().__init__(topic=topic)
        self._stream = stream
        self._write(self._coloured("1;31", NOTICE))

    def _store(self, stored: Stored) -> None:
        self._write(self._line(decode(stored.value[5:])))

    def _write(self, line: str) -> None:
        out = self._out()
        try:
            out.write(line + "\n")
            out.flush()
        except (OSError, ValueError) as error:
            raise DeliveryError(
                f"the event cannot be printed ({type(error).__name__}): keep standard error open, or give a stream"
            ) from None

    def _out(self) -> TextIO:
        return self._stream or sys.stderr

    def _line(self, event: dict[str, Any]) -> str:
        when: datetime = event["occurred_at"]
        what = self._coloured("1;36", event["event_type"])
        outcome = self._coloured("32" if event["outcome"] == "success" else "33", event["outcome"])
        where = f"{event['tenant_id']}/{event['source']} #{event['sequence']}"
        known = {n: v for n, v in event.items() if n not in _LEFT_OUT and (v or type(v) in (int, float))}
        if known.get("audit_mode") == DEFAULT:
            del known["audit_mode"]
        fields = (f"{self._coloured('2', name + '=')}{_shown(value)}" for name, value in known.items())
        return " ".join(filter(None, (f"{when:%H:%M:%S.%f}", _plain(where), what, outcome, *fields)))

    def _coloured(self, code: str, text: str) -> str:
        text, out = _plain(text), self._out()
        terminal = not out.closed and out.isatty() and not os.environ.get("NO_COLOR")
        return f"\x1b[{code}m{text}\x1b[0m" if terminal and text else text


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    short = text if len(text) <= TEXT else f"{text[:TEXT]}… ({len(text)} characters)"
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", short)


def _plain(text: str) -> str:
    """Text that may stand unquoted: control characters shown as escapes."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False)[1:-1])
