"""Where the archive bucket keeps what retention runs decided and did. Names only: what is in the files is signed by who wrote it.

    deletions/class=<c>/month=<YYYY-MM>/intent.json        what is about to be removed, written first
    deletions/class=<c>/month=<YYYY-MM>/certificate.json   what was removed, written when it is gone
    deletions/class=<c>/month=<YYYY-MM>/announced.json     that tables and audit trail have the certificate

All are created, never overwritten, so a class and month are deleted once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from connectors.manifest import EVENTS, NO_CLASS, OBJECT, Manifest

DELETIONS = "deletions/"
INTENT, CERTIFICATE, ANNOUNCED = "intent", "certificate", "announced"


@dataclass(frozen=True)
class Place:
    """A file about the deletion of a class and month."""

    retention_class: str
    month: str
    what: str

    @property
    def key(self) -> str:
        return f"{DELETIONS}class={_quoted(self.retention_class)}/month={self.month}/{self.what}.json"


def place_of(key: str) -> Place | None:
    """What a key of the prefix says; None for another key."""
    prefix, _, rest = key.partition("class=")
    name, _, rest = rest.partition("/month=")
    month, _, what = rest.partition("/")
    found = Place(_unquoted(name), month, what.removesuffix(".json"))
    known = prefix == DELETIONS and found.what in (INTENT, CERTIFICATE, ANNOUNCED)
    return found if known and found.key == key else None


def objects_of(retention_class: str, month: str) -> str:
    """Prefix of the archive's objects of a class and month: a range never goes over the end of one."""
    return f"{EVENTS}class={_quoted(retention_class)}/dt={month}-"


def unit_of(key: str) -> tuple[str, str] | None:
    """Class and month of an object's key; None for another key."""
    if not OBJECT.fullmatch(key):
        return None
    name, day = key.split("/")[1:3]
    return _unquoted(name.removeprefix("class=")), day.removeprefix("dt=")[:7]


def kept(manifest: Manifest, deleted: Collection[tuple[str, str]]) -> Manifest:
    """A range without its events of the classes and months in ``deleted``."""
    gone = [part for part in manifest.parts if unit_of(part.key) in deleted]
    return replace(
        manifest,
        parts=tuple(part for part in manifest.parts if part not in gone),
        count=manifest.count - sum(part.count for part in gone),
        checksum=(manifest.checksum - sum(part.checksum for part in gone)) % 2**64,
    )


def _quoted(retention_class: str) -> str:
    return quote(retention_class, safe="") or NO_CLASS


def _unquoted(name: str) -> str:
    return "" if name == NO_CLASS else unquote(name)
