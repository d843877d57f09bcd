"""What must hold of documents before they become a revision of the rules: each by itself, then together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import schemas
from pipeline.reference.shapes import Shapes, near, short
from pipeline.reference.source import Document, Problem
from pipeline.rules import columns, condition, conditions, example_event, tree
from pipeline.rules.model import KINDS, canonical
from pipeline.rules.patterns import Unusable, usable

SHAPES = Shapes(schemas.ROOT / "rules", KINDS, free=("when", "event", "expect"))
DOCUMENT_BYTES = 512 << 10
CLASSES = 32  # each is a partition of the table a month
RULES = 1000
DETECTORS = 64
FLOOR_MONTHS = 6
CONDITIONAL = ("redaction", "capture", "retention")


def problems(documents: Sequence[Document], retention_classes: Sequence[str]) -> list[Problem]:
    """Everything that is wrong, in order of files and lines; empty where the documents may be published.

    ``retention_classes`` are those of AUDITWIRE_RETENTION_CLASSES.
    """
    shapes = [(document, list(SHAPES.problems(document))) for document in documents]
    sound = [document for document, found in shapes if not found]
    rules, found = conditions.read([d for d in sound if d.kind in CONDITIONAL])
    found += [problem for _, wrong in shapes for problem in wrong]
    found += [problem for document in sound if document.kind == "redaction" for problem in _redaction(document)]
    found += [problem for document in sound if document.kind == "detector" for problem in _pattern(document)]
    found += [problem for document in sound if document.kind == "example" for problem in example_event.problems(document)]
    found += _same_names(documents)
    found += _detectors(documents, sound)
    found += _classes(documents, sound, retention_classes)
    found += _crowding(documents)
    found += conditions.without_effect(rules)
    return sorted(found, key=lambda p: (p.file, p.line, p.field))


def document_of(documents: Sequence[Document]) -> tuple[str, Problem | None]:
    """The canonical text of documents that are in order, and what is wrong where it is too large to be published."""
    text = canonical({kind: [_with_tree(d.content) for d in documents if d.kind == kind] for kind in KINDS})
    size = len(text.encode())
    if size <= DOCUMENT_BYTES:
        return text, None
    said = f"all documents together take {size:,} bytes as JSON, and {DOCUMENT_BYTES:,} is the most that is published: "
    return text, Problem("", 0, "", "", said + "merge rules that differ in one value (IN takes many)")


def _with_tree(content: Mapping[str, Any]) -> dict[str, Any]:
    """Processors need no SQL parser: the condition stands in the revision as it was written, and as a tree."""
    text = content.get("when")
    when = {} if text is None else {"when": {"text": text, "tree": tree.to_json(condition.parse(text).tree)}}
    return {**content, **when}


def _redaction(document: Document) -> Iterator[Problem]:
    """Fields that exist and may be touched, and no word that its action does not need."""
    content = document.content
    for i, name in enumerate(content["fields"]):
        if name not in columns.REDACTABLE and name not in columns.GROUPS:
            yield document.problem(("fields", i), _untouchable(name))
    action, filtered = content["action"], "detectors" in content
    if action == "cut" and "length" not in content:
        yield document.problem(("action",), "cut needs length: add how many characters stay")
    if action != "cut" and "length" in content:
        yield document.problem(("length",), f"{action} has no length: remove it, or write action: cut")
    if action == "keep" and not filtered:
        yield document.problem(
            ("action",), "keep needs detectors: name those of personal data whose findings stay, such as [email]"
        )
    if action in ("drop", "cut") and filtered:
        yield document.problem(("detectors",), f"{action} takes the whole field: remove detectors, or write action: mask")


def _untouchable(name: str) -> str:
    if name in columns.IDENTITY:
        return f"{name} says which event it is: no rule may change it; drop or mask columns of class content or personal"
    if name.startswith("processed_"):
        return f"{name} is written by the processor: no rule may change it; name columns of class content or personal"
    if name in schemas.event_fields():
        said = "is a fact, on which conditions and queries rely: no rule may change it, and secrets in it are masked anyway"
        return f"{name} {said}; name columns of class content or personal"
    known = (*columns.REDACTABLE, *columns.GROUPS)
    return f"there is no field {short(name)}{near(name, known)}: docs/event-reference.md lists them with their classes"


def _pattern(document: Document) -> Iterator[Problem]:
    try:
        usable(document.content["pattern"])
    except Unusable as exc:
        yield document.problem(("pattern",), str(exc))


def _same_names(documents: Sequence[Document]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], Document] = {}
    for document in documents:
        name, of = document.content.get("name"), "rule" if document.kind in CONDITIONAL else document.kind
        if not isinstance(name, str) or document.kind not in KINDS:
            continue
        first = seen.setdefault((of, name), document)
        if first is not document:
            where = f"{first.file}:{first.lines[()]}"
            yield document.problem(
                ("name",), f"{where} has a {first.kind} of this name: rename one, since events name rules by it"
            )
        if of == "detector" and name in columns.BUILT_IN:
            yield document.problem(("name",), "a built-in detector has this name: choose another one")


def _detectors(documents: Sequence[Document], sound: Sequence[Document]) -> Iterator[Problem]:
    """Those that a redaction names exist, find personal data, and search in the events that it is about."""
    own = {d.content.get("name"): d for d in documents if d.kind == "detector"}
    known = (*columns.BUILT_IN, *(str(name) for name in own))
    for document in (d for d in sound if d.kind == "redaction"):
        for i, name in enumerate(document.content.get("detectors", ())):
            path = ("detectors", i)
            if name not in known:
                text = f"there is no detector {short(name)}{near(name, known)}: docs/redaction.md lists the built-in ones"
                yield document.problem(path, text)
            elif not (own[name].content.get("personal") is True if name in own else columns.BUILT_IN[name]):
                text = f"{name} finds secrets, which are masked everywhere whatever rules say: remove it here"
                yield document.problem(path, text)
            elif name in own and own[name].content.get("tenant", "") not in ("", document.content.get("tenant", "")):
                text = f"{name} searches in events of tenant {own[name].content['tenant']} only: add tenant: to this rule as well"
                yield document.problem(path, text)


def _classes(documents: Sequence[Document], sound: Sequence[Document], retention_classes: Sequence[str]) -> Iterator[Problem]:
    own = [str(d.content.get("name")) for d in documents if d.kind == "retention_class"]
    known = list(dict.fromkeys([*retention_classes, *own]))
    for document in sound:
        content = document.content
        if document.kind == "retention_class":
            if content["months"] < FLOOR_MONTHS and not content.get("reason"):
                floor = f"fewer than {FLOOR_MONTHS} months need a reason: Art. 19 and 26 of the EU AI Act ask for six"
                yield document.problem(("months",), f"{floor}; add reason: why they do not apply, or keep longer")
            if known.index(content["name"]) >= CLASSES:
                held = f"AUDITWIRE_RETENTION_CLASSES has {len(set(retention_classes))} of them"
                yield document.problem((), f"there are {len(known)} classes, and at most {CLASSES} can be ({held}): merge some")
        elif document.kind == "retention" and content["class"] not in known:
            text = f"there is no class {short(content['class'])}{near(content['class'], known)}"
            yield document.problem(("class",), f"{text}: correct it, or add a retention_class of this name")


def _crowding(documents: Sequence[Document]) -> Iterator[Problem]:
    for kinds, most, what in ((CONDITIONAL, RULES, "rules"), (("detector",), DETECTORS, "detectors")):
        beyond = [d for d in documents if d.kind in kinds][most:]
        if beyond:
            text = f"from here on there are more than {most:,} {what}, and every batch asks all: merge some"
            yield beyond[0].problem((), text)
