"""One revision of the rules for data as an immutable snapshot, and the canonical JSON document that stands for it.

Everything is in the order in which it holds: documents of a tenant before those of every tenant, in each as they were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORM = 1
KINDS = ("detector", "redaction", "capture", "retention_class", "retention", "example")
PUBLISHED = {  # kind → its list in a revision; examples are tests of a folder and no part of one
    "detector": "detectors",
    "redaction": "redactions",
    "capture": "captures",
    "retention_class": "retention_classes",
    "retention": "retentions",
}
EVERY_TENANT = ""


class ModelError(Exception):
    """A text is not a canonical document of rules. Keep the snapshot in use and look at what published this one."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition: as it was written, and its tree as JSON (`pipeline.rules.tree`)."""

    text: str
    tree: Any


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector of people's own. ``personal``: personal data, which rules may leave alone; else a secret, always masked."""

    name: str
    tenant: str
    pattern: str
    personal: bool


@dataclass(frozen=True, slots=True)
class Redaction:
    """What becomes of ``fields`` (columns, or the classes content and personal) of events that ``when`` holds for (None: all).

    ``detectors``: only what these find; empty: the whole field. ``length``: characters that ``cut`` leaves, else 0.
    """

    name: str
    tenant: str
    when: When | None
    fields: tuple[str, ...]
    action: str
    detectors: tuple[str, ...]
    length: int


@dataclass(frozen=True, slots=True)
class Capture:
    """How much of an event is kept; the first that matches. ``level``: metadata, request or request_response."""

    name: str
    tenant: str
    when: When | None
    level: str


@dataclass(frozen=True, slots=True)
class RetentionClass:
    """How long events of a class are kept, in calendar months. ``reason``: why fewer than six, else empty."""

    name: str
    months: int
    reason: str


@dataclass(frozen=True, slots=True)
class Retention:
    """Which events get a class; the first that matches."""

    name: str
    tenant: str
    when: When | None
    retention_class: str


@dataclass(frozen=True)
class Snapshot:
    """One revision, whole. ``revision`` is its number, empty where none was published."""

    revision: str
    detectors: tuple[Detector, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    captures: tuple[Capture, ...] = ()
    classes: tuple[RetentionClass, ...] = ()
    retentions: tuple[Retention, ...] = ()

    def retention_class(self, name: str) -> RetentionClass | None:
        """The class of that name; None where the revision has none, so that nothing says how long it is kept."""
        return next((c for c in self.classes if c.name == name), None)


EMPTY = Snapshot("")


def canonical(documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Documents by kind (each without ``kind``, ``when`` as {text, tree}), in order of files and lines → the text that is stored,
    hashed and published. The same rules in the same order give the same text, however they are spread over files.
    """
    content = {name: [_plain(d) for d in _ordered(kind, documents.get(kind, ()))] for kind, name in PUBLISHED.items()}
    return json.dumps({"form": FORM, **content}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _ordered(kind: str, documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each tenant as written; where order means nothing, by name."""
    written = kind in ("redaction", "capture", "retention")
    by_tenant = sorted(documents, key=lambda d: "" if written else str(d["name"]))
    return sorted(by_tenant, key=lambda d: (not d.get("tenant"), str(d.get("tenant", ""))))


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is empty says as much as what is left out; lists are sets, in order and once each."""
    found = {k: sorted(set(v)) if isinstance(v, list) else v for k, v in document.items() if k != "kind"}
    return {k: v for k, v in found.items() if v not in ("", [], False)}


def parse(revision: str, text: str) -> Snapshot:
    """The snapshot of a canonical document. Raises ModelError, also for a form that only a newer release understands."""
    try:
        found = json.loads(text)
        if found["form"] != FORM:
            raise ModelError(f"revision {revision} of the rules has form {found['form']}: upgrade this part")
        snapshot = Snapshot(
            revision,
            detectors=tuple(_detector(d) for d in found["detectors"]),
            redactions=tuple(_redaction(d) for d in found["redactions"]),
            captures=tuple(Capture(d["name"], d.get("tenant", ""), _when(d), d["level"]) for d in found["captures"]),
            classes=tuple(RetentionClass(d["name"], d["months"], d.get("reason", "")) for d in found["retention_classes"]),
            retentions=tuple(Retention(d["name"], d.get("tenant", ""), _when(d), d["class"]) for d in found["retentions"]),
        )
        names = [d["name"] for kind in ("redactions", "captures", "retentions") for d in found[kind]]
        if len(set(names)) < len(names):
            raise ModelError(f"revision {revision} of the rules has two rules of one name: publish it anew")
        return snapshot
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(f"revision {revision} of the rules is no canonical document ({type(exc).__name__})") from None


def _detector(d: Mapping[str, Any]) -> Detector:
    return Detector(d["name"], d.get("tenant", ""), d["pattern"], d.get("personal", False))


def _redaction(d: Mapping[str, Any]) -> Redaction:
    detectors = tuple(d.get("detectors", ()))
    return Redaction(d["name"], d.get("tenant", ""), _when(d), tuple(d["fields"]), d["action"], detectors, d.get("length", 0))


def _when(d: Mapping[str, Any]) -> When | None:
    when = d.get("when")
    return None if when is None else When(when["text"], when["tree"])
