"""The conditions of a folder's rules: read, and judged against each other. A rule that never acts is a mistake, so it is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.reference.source import Document, Problem
from pipeline.rules import columns, condition
from pipeline.rules.decide import STRENGTH
from pipeline.rules.nodes import Tree
from pipeline.rules.reason import Meaning
from pipeline.rules.refused import Refused


@dataclass(frozen=True)
class Rule:
    """A document with its condition; ``tree`` None: it holds for every event."""

    document: Document
    tree: Tree | None

    @property
    def tenant(self) -> str:
        return str(self.document.content.get("tenant", ""))

    @cached_property
    def meaning(self) -> Meaning:
        """For questions about it and others."""
        return Meaning(self.tree)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Which a redaction touches."""
        return columns.columns_of(tuple(self.document.content["fields"]))

    @cached_property
    def strength(self) -> int:
        """Of the action of a redaction; the least is the strongest."""
        return STRENGTH.index(str(self.document.content["action"]))


def read(documents: Sequence[Document]) -> tuple[list[Rule], list[Problem]]:
    """The rules whose condition can be read, and what is wrong with the others."""
    rules: list[Rule] = []
    problems: list[Problem] = []
    for document in documents:
        text = document.content.get("when")
        try:
            rules.append(Rule(document, None if text is None else condition.parse(text).tree))
        except Refused as exc:
            problems.append(document.problem(("when",), str(exc)))
    return rules, problems


def without_effect(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Rules that match no event, and those that never act because of others."""
    able: list[Rule] = []
    for rule in rules:
        if not rule.meaning.never():
            able.append(rule)
        else:
            text = "no event can match, as its parts contradict each other: correct the condition, or remove the rule"
            yield rule.document.problem(("when",), text)
    for kind in ("capture", "retention"):
        mine = [rule for rule in able if rule.document.kind == kind]
        for place, rule in enumerate(mine):
            before = [other for other in mine[:place] if other.tenant == rule.tenant]
            if _covers(before, rule):
                text = f"never decides, as {_named(before, rule)} matches its events first: put it before, or remove it"
                yield rule.document.problem(("when",), text)
    redactions = [rule for rule in able if rule.document.kind == "redaction" and _on_whole_fields(rule.document)]
    for place, rule in enumerate(redactions):
        yield from _redundant(rule, redactions[:place], redactions[place + 1 :])


def _on_whole_fields(document: Document) -> bool:
    return "detectors" not in document.content and document.content["action"] in STRENGTH


def _redundant(rule: Rule, before: Sequence[Rule], after: Sequence[Rule]) -> Iterator[Problem]:
    """A redaction every field of which others take as much from, or more."""
    winning = [other for other in before if _wins(other, rule, first=True)]
    winning += [other for other in after if _wins(other, rule, first=False)]
    of_column = {column: [other for other in winning if column in other.columns] for column in rule.columns}
    together = {tuple(map(id, others)): others for others in of_column.values()}
    if together and all(_covers(others, rule) for others in together.values()):
        first = next(iter(together.values()))
        text = f"changes nothing, as {_named(first, rule)} takes as much from these fields, or more: remove it, or the other"
        yield rule.document.problem(("action",), text)


def _wins(other: Rule, rule: Rule, *, first: bool) -> bool:
    """Whether the other's action decides where both match; ``first``: it was written before."""
    if other.tenant not in ("", rule.tenant):
        return False
    return other.strength < rule.strength or (other.strength == rule.strength and first and other.tenant == rule.tenant)


def _covers(others: Sequence[Rule], rule: Rule) -> bool:
    """Whether there is always one of the others that matches where the rule does."""
    return rule.meaning.covered([other.meaning for other in others])


def _named(others: Sequence[Rule], rule: Rule) -> str:
    """The one that does it alone, where one does."""
    alone = next((other for other in others if _covers([other], rule)), None)
    first = (alone or others[0]).document
    return f"{first.name} ({first.file}:{first.lines[()]})" + (" with others" if alone is None else "")
