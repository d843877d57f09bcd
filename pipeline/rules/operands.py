"""What stands in a comparison: fields, COALESCE, CASE, and literals, which are read in the type of the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pipeline.rules import literals
from pipeline.rules.facts import Kind
from pipeline.rules.nodes import Case, Coalesce, Const, Field, Tree, Value
from pipeline.rules.refused import Refused

_NAMES = {"text": "a text", "long": "a whole number", "double": "a number", "time": "a time", "texts": "a list of texts"}
_EXAMPLES = {"text": "'text'", "long": "15", "double": "0.5", "time": "'2026-11-01T00:00:00Z'"}


@dataclass(frozen=True)
class Raw:
    """A literal whose type the other side decides. ``form``: text, number or time (``TIMESTAMP '…'``)."""

    at: int
    form: str
    text: str


@dataclass(frozen=True)
class Named:
    """A field, where it stands and what it holds."""

    at: int
    field: Field
    kind: Kind


@dataclass(frozen=True)
class Choice:
    """COALESCE (``whens`` None) or CASE (a condition for each item; one item more is ELSE), not yet typed."""

    at: int
    items: tuple[Draft, ...]
    whens: tuple[Tree, ...] | None


Draft: TypeAlias = Raw | Named | Choice


def leaves(draft: Draft) -> list[Raw | Named]:
    """The fields and literals that it can give."""
    return [leaf for item in draft.items for leaf in leaves(item)] if isinstance(draft, Choice) else [draft]


def settle(source: str, *drafts: Draft) -> tuple[Value, ...]:
    """The drafts with every literal in the one type that their fields have. Raises Refused where types do not go together."""
    found = [leaf for draft in drafts for leaf in leaves(draft)]
    named = [leaf for leaf in found if isinstance(leaf, Named)]
    for leaf in named:
        if leaf.kind == "texts":
            raise Refused(source, leaf.at, f"{leaf.field.name} is a list of texts; write has({leaf.field.name}, 'text')")
        if leaf.kind != named[0].kind:
            first = f"{named[0].field.name} {_NAMES[named[0].kind]}"
            raise Refused(source, leaf.at, f"{leaf.field.name} holds {_NAMES[leaf.kind]}, {first}; use fields of one type")
    kind = named[0].kind if named else _kind_of([leaf for leaf in found if isinstance(leaf, Raw)])
    who = named[0].field.name if named else ""
    return tuple(_settled(source, draft, kind, who) for draft in drafts)


def _kind_of(raws: list[Raw]) -> Kind:
    if any(raw.form == "time" for raw in raws):
        return "time"
    if any(raw.form == "text" for raw in raws):
        return "text"
    return "long" if all(raw.text.lstrip("-").isdigit() for raw in raws) else "double"


def _settled(source: str, draft: Draft, kind: Kind, who: str) -> Value:
    if isinstance(draft, Named):
        return draft.field
    if isinstance(draft, Raw):
        return _literal(source, draft, kind, who)
    items = tuple(_settled(source, item, kind, who) for item in draft.items)
    if draft.whens is None:
        return Coalesce(items)
    return Case(tuple(zip(draft.whens, items, strict=False)), items[-1] if len(items) > len(draft.whens) else None)


def _literal(source: str, raw: Raw, kind: Kind, who: str) -> Const:
    wanted = {"text": ("text",), "long": ("number",), "double": ("number",), "time": ("time", "text")}[kind]
    if raw.form not in wanted:
        subject = f"{who} holds {_NAMES[kind]}" if who else f"{_NAMES[kind]} is expected"
        raise Refused(source, raw.at, f"{subject}, and this is {_shown(raw)}; write it like {_EXAMPLES[kind]}")
    try:
        if kind == "text":
            return Const(kind, literals.text_of(raw.text))
        if kind == "time":
            return Const(kind, literals.time_of(raw.text))
        return Const(kind, literals.long_of(raw.text) if kind == "long" else literals.double_of(raw.text))
    except ValueError as exc:
        raise Refused(source, raw.at, str(exc)) from None


def _shown(raw: Raw) -> str:
    return {"text": "a text", "number": "a number", "time": "a time"}[raw.form]
