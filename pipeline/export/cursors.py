"""Cursors: where a page ended and what the first page could see, sealed for one principal and one question."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.kafka_marks import Marks
from pipeline.export.errors import RefusedError
from pipeline.export.watermark import Complete

LIVES_SECONDS = 24 * 3600
MOST_CHARACTERS = 8192
_SEAL = 16
Key = tuple[int, str, int, int, str]
"""Time (microseconds), event_id, kafka_partition, kafka_offset, kafka_topic_id: no two events share all of them."""


@dataclass(frozen=True)
class Cursor:
    """The page ended at ``key``; ``complete`` is the first page's: every page shows what was stored then, and nothing else."""

    key: Key
    complete: Complete


@dataclass(frozen=True)
class Cursors:
    """Seals and opens cursors. ``key``: a secret of all instances; ``clock``: seconds since 1970."""

    key: bytes
    clock: Callable[[], float] = time.time

    def sealed(self, cursor: Cursor, principal: str, question: Mapping[str, Any]) -> str:
        """As the caller gets it."""
        body = {
            "at": int(self.clock()),
            "key": cursor.key,
            "until": int(cursor.complete.until.timestamp() * 1000),
            "topic_id": cursor.complete.marks.topic_id,
            "ends": {str(p): end for p, end in cursor.complete.marks.ends.items()},
        }
        text = json.dumps(body, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._seal(text, principal, question) + text).decode().rstrip("=")

    def opened(self, text: str, principal: str, question: Mapping[str, Any], topic_id: str) -> Cursor:
        """Raises RefusedError (422): changed, of another question or principal, or outdated. ``topic_id``: today's topic."""
        tenant = question["tenant"]
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise _foreign(tenant) from None
        seal, body = raw[:_SEAL], raw[_SEAL:]
        if not hmac.compare_digest(seal, self._seal(body, principal, question)):
            raise _foreign(tenant)
        found = json.loads(body)
        if self.clock() - found["at"] > LIVES_SECONDS or found["topic_id"] != topic_id:
            hint = "Ask for the first page again, without `cursor`."
            raise RefusedError(422, "cursor_outdated", "The cursor is outdated.", hint, tenant=tenant)
        marks = Marks(found["topic_id"], {int(p): end for p, end in found["ends"].items()})
        time_, event_id, partition, offset, topic = found["key"]
        until = datetime.fromtimestamp(found["until"] / 1000, UTC)
        return Cursor((time_, event_id, partition, offset, topic), Complete(until, marks))

    def _seal(self, text: bytes, principal: str, question: Mapping[str, Any]) -> bytes:
        about = json.dumps([principal, question], sort_keys=True).encode()
        return hmac.digest(self.key, hashlib.sha256(about).digest() + text, "sha256")[:_SEAL]


def _foreign(tenant: str) -> RefusedError:
    hint = "Send `next_cursor` as it was given, with the same parameters but `limit`, as the same principal; or start without it."
    return RefusedError(422, "cursor_foreign", "The cursor does not belong to this question.", hint, tenant=tenant)
