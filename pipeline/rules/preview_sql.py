"""The statement that runs two states of the rules over stored events and counts where they decide differently. Pure.

What a field held before it was dropped is not stored any more, so a field counts where it holds something or where a rule is
known to have taken something from it (`processed_redacted_fields`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipeline.rules import search, sql, tree
from pipeline.rules.columns import BUILT_IN, CONTENT, DROPPED_AT, REDACTABLE, columns_of
from pipeline.rules.decide import STRENGTH, Rule
from pipeline.rules.model import Detector, Redaction, Snapshot
from pipeline.rules.nodes import Compare, Const, Field
from schemas import event_schema

LEVEL, CLASS = "capture level", "retention class"
WHOLE_LEVEL, OWN_CLASS, KEPT = "request_response", "the tenant's", "kept"
EXAMPLES = 3
RANGE = " AND ".join(
    f"occurred_at {op} fromUnixTimestamp64Micro({{{end}:Int64}}, 'UTC')" for op, end in ((">=", "since"), ("<", "until"))
)
_TYPES = {f["name"]: f["type"] for f in event_schema()["fields"]}


def changes(now: Snapshot, draft: Snapshot) -> str:
    """Rows of what, before, after, how many events and tenants, examples (occurred_at, tenant_id, event_id); most events first.

    Parameters ``since`` and ``until``: microseconds since 1970, of occurred_at.
    """
    return (
        "SELECT change.1 AS what, change.2 AS before, change.3 AS after, count() AS events, uniqExact(tenant_id) AS tenants,"  # noqa: S608
        f" groupArraySorted({EXAMPLES})((toString(occurred_at), tenant_id, event_id)) AS examples"
        f" FROM ({_Statement(now, draft).per_event()}) ARRAY JOIN changes AS change"
        " GROUP BY what, before, after ORDER BY events DESC, what, before, after"
    )


def totals(now: Snapshot, draft: Snapshot) -> str:
    """One row: events, their tenants, events that would become something else, their tenants. Parameters as of `changes`."""
    return (
        "SELECT count(), uniqExact(tenant_id), countIf(notEmpty(changes)), uniqExactIf(tenant_id, notEmpty(changes))"  # noqa: S608
        f" FROM ({_Statement(now, draft).per_event()})"
    )


@dataclass
class _Statement:
    """Both states, and the conditions of their rules so far: each once, with its name in the statement."""

    now: Snapshot
    draft: Snapshot
    names: dict[str, str] = field(default_factory=dict)

    def per_event(self) -> str:
        """A SELECT of each event with the list of its (what, before, after) that differ."""
        levels = {
            f"level_{name}": _first(self._captures(one), WHOLE_LEVEL) for name, one in (("now", self.now), ("draft", self.draft))
        }
        parts = [
            _change(LEVEL, *levels),
            _change(CLASS, *(_first(self._classes(one), OWN_CLASS) for one in (self.now, self.draft))),
        ]
        touched = [name for name in REDACTABLE if _touches(self.now, name) or _touches(self.draft, name)]
        for name in touched:
            effects = [self._effect(one, name, level) for one, level in zip((self.now, self.draft), levels, strict=True)]
            parts.append(_change(name, *effects))
        searched = sorted(_searched(self.now) | _searched(self.draft))
        parts += [self._findings(name, detector) for name, detector in searched]
        columns = dict.fromkeys([*touched, *(name for name, _ in searched)])
        inner = ", ".join(("tenant_id", "event_id", "occurred_at", "processed_redacted_fields", *columns))
        conditions = "".join(f", {condition} AS {name}" for condition, name in self.names.items())
        matched = f"SELECT {inner}{conditions} FROM events WHERE {RANGE}"  # noqa: S608
        known = ", ".join(f"{level} AS {name}" for name, level in levels.items())
        listed = f"arrayFilter(t -> t.2 <> t.3, [{', '.join(parts)}])"
        return f"SELECT tenant_id, event_id, occurred_at, {listed} AS changes FROM (SELECT *, {known} FROM ({matched}))"  # noqa: S608

    def _match(self, rule: Rule | Detector) -> str:
        """Whether the rule is for the event."""
        parts = [sql.clickhouse(Compare("=", Field("tenant_id"), Const("text", rule.tenant)))] if rule.tenant else []
        if not isinstance(rule, Detector) and rule.when is not None:
            parts.append(sql.clickhouse(tree.from_json(rule.when.tree)))
        return self._named(" AND ".join(parts)) if parts else "true"

    def _named(self, condition: str) -> str:
        """Its name in the statement, in which it stands once: rules of all columns ask for the same."""
        return self.names.setdefault(condition, f"m{len(self.names)}")

    def _captures(self, one: Snapshot) -> list[tuple[str, str]]:
        return [(self._match(rule), rule.level) for rule in one.captures]

    def _classes(self, one: Snapshot) -> list[tuple[str, str]]:
        return [(self._match(rule), rule.retention_class) for rule in one.retentions]

    def _effect(self, one: Snapshot, name: str, level: str) -> str:
        """What becomes of a column, in words that differ where what is stored differs."""
        taken = f"arrayExists(f -> startsWith(f, {_text(name + '=rule:')}), processed_redacted_fields)"
        cases: list[tuple[str, str]] = []  # of matching rules the first decides, also where it then changes nothing
        there = self._named(f"notEmpty({name}) OR {taken}")
        if dropping := [_text(rule.level) for rule in one.captures if name in DROPPED_AT[rule.level]]:
            cases.append((f"{level} IN ({', '.join(sorted(set(dropping)))})", _if(there, "drop")))
        for rule in _whole(one, name):
            longest = rule.length if rule.action == "cut" else 0
            longer = _any_text(name, lambda text, longest=longest: f"lengthUTF8({text}) > {longest}")  # type: ignore[misc]
            here = there if rule.action == "drop" else self._named(f"{longer} OR {taken}")
            cases.append((self._match(rule), _if(here, _said(rule))))
        return _choose(cases, KEPT)

    def _findings(self, name: str, detector: str) -> str:
        """What becomes of what a detector finds in a column, where stored text has it or its mask."""
        masked = _any_text(name, lambda text: f"position({text}, {_text(f'[REDACTED:{detector}]')}) > 0")
        found = [masked]
        for one in _own(self.now, detector) + _own(self.draft, detector):
            there = _any_text(name, lambda text, pattern=one.pattern: f"match({text}, {_text(pattern)})")  # type: ignore[misc]
            found.append(f"({self._match(one)} AND {there})")
        nothing = self._named(f"NOT ({' OR '.join(found)})")
        effects = [_first([(nothing, KEPT), *self._of_findings(one, name, detector)], KEPT) for one in (self.now, self.draft)]
        return _change(f"{detector} in {name}", *effects)

    def _of_findings(self, one: Snapshot, name: str, detector: str) -> list[tuple[str, str]]:
        rules = [rule for rule in one.redactions if detector in rule.detectors and name in columns_of(rule.fields)]
        masked = f"mask ({detector})"
        words = {"mask": masked, "hash": "hash", "keep": KEPT}
        ruled = sorted(rules, key=lambda rule: search.STRENGTH.index(rule.action))
        own = [(self._match(found), masked) for found in _own(one, detector) if name in CONTENT or not found.personal]
        built_in = [("true", masked)] if detector in BUILT_IN and name in CONTENT else []
        return [*((self._match(rule), words[rule.action]) for rule in ruled), *own, *built_in]


def _change(what: str, before: str, after: str) -> str:
    return f"({_text(what)}, {before}, {after})"


def _first(cases: Iterable[tuple[str, str]], otherwise: str) -> str:
    """The word beside the first condition that holds."""
    return _choose(((condition, _text(word)) for condition, word in cases), otherwise)


def _choose(cases: Iterable[tuple[str, str]], otherwise: str) -> str:
    """The same of expressions."""
    listed = [f"{condition}, {chosen}" for condition, chosen in cases]
    return f"multiIf({', '.join(listed)}, {_text(otherwise)})" if listed else _text(otherwise)


def _if(condition: str, word: str) -> str:
    return f"if({condition}, {_text(word)}, {_text(KEPT)})"


def _whole(one: Snapshot, name: str) -> list[Redaction]:
    """The redactions of the whole column, the strongest first."""
    mine = [rule for rule in one.redactions if not rule.detectors and name in columns_of(rule.fields)]
    return sorted(mine, key=lambda rule: STRENGTH.index(rule.action))


def _touches(one: Snapshot, name: str) -> bool:
    return bool(_whole(one, name)) or any(name in DROPPED_AT[rule.level] for rule in one.captures)


def _searched(one: Snapshot) -> set[tuple[str, str]]:
    """Columns with the detectors that matter there: those of rules on findings, and people's own everywhere."""
    ruled = {(name, found) for rule in one.redactions for name in columns_of(rule.fields) for found in rule.detectors}
    return ruled | {(name, detector.name) for detector in one.detectors for name in CONTENT}


def _own(one: Snapshot, detector: str) -> list[Detector]:
    return [found for found in one.detectors if found.name == detector]


def _said(rule: Redaction) -> str:
    return {"mask": f"mask ({rule.name})", "cut": f"cut to {rule.length}"}.get(rule.action, rule.action)


def _any_text(name: str, holds: Callable[[str], str]) -> str:
    """Whether a text of the column is such: the column, an item of a list, a value of an attribute."""
    declared = _TYPES[name]
    if declared == "string":
        return holds(name)
    return f"arrayExists(x -> {holds('x' if declared['items'] == 'string' else 'x.2')}, {name})"


def _text(text: str) -> str:
    return sql.text(text)
