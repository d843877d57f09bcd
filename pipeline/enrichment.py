"""The newest reference data, ready for the stages."""

from __future__ import annotations

from connectors.reference_topic import ReferenceTopic
from connectors.series import REFERENCE
from pipeline.following import Followed
from pipeline.reference.model import EMPTY, ModelError, Snapshot, parse
from pipeline.stages import Lookup
from pipeline.work import Blocked


class Reference(Followed[Lookup]):
    """Follows the reference data. ``allowed``: the retention classes of AUDITWIRE_RETENTION_CLASSES."""

    def __init__(self, topic: ReferenceTopic, allowed: frozenset[str], *, follow: bool = True) -> None:
        super().__init__(topic, REFERENCE, _usable, follow=follow)
        self._allowed = allowed

    def lookup(self, classes: frozenset[str] = frozenset()) -> Lookup:
        """What to enrich a batch with, under rules that have ``classes``. Raises Blocked, see `newest`; with an alarm where a
        tenant has a class that nobody knows.
        """
        found = self.newest()
        others = found.classes - self._allowed - classes
        if others:
            raise Blocked(
                f"revision {found.revision} of the reference data gives tenants the retention class {min(others)}, which "
                "AUDITWIRE_RETENTION_CLASSES of this processor lacks, and the rules too: add it there, or apply reference data "
                "without it",
                alarm=True,
            )
        return found


def _usable(revision: str, document: str) -> Lookup:
    return Lookup(_snapshot(revision, document))


def _snapshot(revision: str, document: str) -> Snapshot:
    if not revision:
        return EMPTY
    try:
        return parse(revision, document)
    except ModelError as exc:
        raise Blocked(str(exc), alarm=True) from None
