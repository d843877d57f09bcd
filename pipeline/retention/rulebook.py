"""The published rules as those read them who explain or delete: lengths of classes over time, and single revisions."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

from connectors.postgres.reference import Revision, Revisions
from pipeline.retention.lengths import Term, terms
from pipeline.rules.model import PUBLISHED, Snapshot, parse

AT_ONCE = 50  # a document has up to 512 KiB


class Rulebook:
    """Reads each revision once and keeps its lengths. Safe from several threads. Methods raise PostgresError, ModelError."""

    def __init__(self, revisions: Revisions) -> None:
        self._revisions, self._lock, self._held = revisions, threading.Lock(), list[Revision]()

    def terms(self) -> list[Term]:
        """Every revision, oldest first, and when it was in force."""
        with self._lock:
            while self._held and self._held[-1].published_at is None:
                self._held.pop()
            while found := self._revisions.after(self._held[-1].revision if self._held else 0, AT_ONCE):
                self._held += [_lengths(revision) for revision in found]
            return terms(self._held)

    def snapshot(self, number: int) -> Snapshot | None:
        """One revision; None where there is none of that number."""
        found = self._revisions.get(number)
        return None if found is None else parse(str(number), found.document)


def _lengths(revision: Revision) -> Revision:
    """The same with a document of its classes alone."""
    parse(str(revision.revision), revision.document)
    whole = json.loads(revision.document)
    empty = {name: whole[name] if kind == "retention_class" else [] for kind, name in PUBLISHED.items()}
    return replace(revision, document=json.dumps({"form": whole["form"], **empty}))
