"""A text under construction: plain and marked pieces, so that every position is known however the text is dressed up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

HARMLESS = ""


@dataclass(frozen=True)
class Mark:
    """A labelled piece of text: a secret of a class (formatted, context, personal) or, with none, a token that must stay."""

    text: str
    kind: str
    group: str = HARMLESS
    decoded: str = ""
    public: tuple[str, ...] = ()
    """Parts of `decoded` that everybody knows (a token's prefix, the first line of a key file): no leak where they survive."""
    disguised: bool = False

    @property
    def own(self) -> str:
        return self.decoded or self.text


Part = str | Mark
Line = list[Part]


@dataclass(frozen=True)
class Value:
    """A marked piece with the names people give it: snake_case names of keys and a few words for prose."""

    mark: Mark
    names: tuple[str, ...]
    label: str
    bare: bool = True
    """It may stand without any name beside it."""


def secret(text: str, kind: str, group: str, *, decoded: str = "", public: tuple[str, ...] = (), disguised: bool = False) -> Mark:
    return Mark(text, kind, group, decoded or text, public, disguised)


def harmless(text: str, kind: str) -> Mark:
    return Mark(text, kind)


def mapped(line: Iterable[Part], change: Callable[[str], str]) -> Line:
    """Every piece changed by a function that works piece by piece (an escape, say)."""
    return [change(p) if isinstance(p, str) else replace(p, text=change(p.text)) for p in line]


def json_escaped(line: Iterable[Part], ascii_only: bool = False) -> Line:
    return mapped(line, lambda s: json.dumps(s, ensure_ascii=ascii_only)[1:-1])


def joined(lines: Iterable[Line], joint: str = "\n") -> Line:
    out: Line = []
    for number, line in enumerate(lines):
        if number:
            out.append(joint)
        out.extend(line)
    return out


def prefixed_inside(line: Line, prefix: Callable[[], str]) -> Line:
    """A prefix after every line break, within marks too (diffs, logs, quoted mail)."""
    return mapped(line, lambda s: "".join(c + prefix() if c == "\n" else c for c in s))


def plain_text(line: Iterable[Part]) -> str:
    return "".join(p if isinstance(p, str) else p.text for p in line)


def _word(c: str) -> bool:
    return c.isascii() and (c.isalnum() or c == "_")


def labelled(line: Line) -> dict[str, Any]:
    """Text and labels, positions in code points. A secret is plain when it reads as its own value, between word boundaries."""
    text = plain_text(line)
    secrets: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    at = 0
    for part in line:
        if isinstance(part, str):
            at += len(part)
            continue
        start, end = at, at + len(part.text)
        at = end
        if part.group == HARMLESS:
            kept.append({"start": start, "end": end, "kind": part.kind})
            continue
        before, after = text[start - 1 : start] or " ", text[end : end + 1] or " "
        glued = (_word(before) and _word(part.text[:1])) or (_word(after) and _word(part.text[-1:]))
        entry = {"start": start, "end": end, "kind": part.kind, "class": part.group}
        entry |= {"plain": not (part.disguised or glued or part.text != part.own), "decoded": part.own}
        if part.public:
            entry["public"] = list(part.public)
        secrets.append(entry)
    return {"text": text, "secrets": secrets, "harmless": kept}
