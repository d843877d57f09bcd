"""What the rules say of each event of a batch: how much is kept, what becomes of each field, and which retention class it gets.

Documents of a tenant come before those of every tenant. For capture and retention the first that matches decides. Of redactions
all that match hold: of those on a whole field the strongest (drop, mask, hash, cut; of two alike the first) decides, and of those
on what a detector finds likewise (mask, hash, keep).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from auditwire.redaction import DETECTORS, Detector, revision_of
from pipeline.batch import Batch
from pipeline.rules import tree
from pipeline.rules.columnar import Program
from pipeline.rules.columns import CONTENT, DROPPED_AT, columns_of
from pipeline.rules.model import EMPTY, EVERY_TENANT, Capture, Redaction, Retention, Snapshot
from pipeline.rules.search import Codes, Mask, Search, Searches

Rule: TypeAlias = Capture | Redaction | Retention
STRENGTH = ("drop", "mask", "hash", "cut")
OUTDATED = "outdated-rules"
NONE = -1


@dataclass(frozen=True, slots=True)
class Action:
    """What becomes of a whole field. ``label``: how processed_redacted_fields calls it, behind the column's name."""

    action: str
    label: str
    name: str = ""
    length: int = 0


@dataclass(frozen=True)
class Decision:
    """For each row of a batch. ``whole``: column → index into ``actions``, NONE where the field stays, for columns of which some
    row does not; ``searches``: column, what is searched for in it, and in which rows, where that differs; ``tenants``: rows of
    each tenant with detectors of its own. ``levels`` and ``classes`` index into the captures and retentions of the snapshot, NONE
    where no rule matched.
    """

    actions: Sequence[Action] = ()
    whole: Mapping[str, Codes] = field(default_factory=dict)
    searches: Sequence[tuple[str, Search, Mask]] = ()
    tenants: Mapping[str, Mask] = field(default_factory=dict)
    levels: Codes | None = None
    classes: Codes | None = None


NOTHING = Decision()


class Rules:
    """One revision, ready to be asked. Raises tree.TreeError or patterns.Unusable where it holds a condition or a detector that
    this release does not know.

    ``outdated``: nobody knows whether it is still the newest, so no content is kept, whatever it says.
    ``detectors``: the built-in ones.
    """

    def __init__(self, snapshot: Snapshot, *, outdated: bool = False, detectors: tuple[Detector, ...] = DETECTORS) -> None:
        self.snapshot, self.outdated = snapshot, outdated
        self.classes = frozenset(c.name for c in snapshot.classes)
        number = f"/{snapshot.revision}" if snapshot.revision else ""
        self.version = f"{revision_of(detectors)}{number}{'/outdated' if outdated else ''}"
        self._rules: list[Rule] = [*snapshot.captures, *snapshot.redactions, *snapshot.retentions]
        trees = {rule.name: tree.from_json(rule.when.tree) for rule in self._rules if rule.when is not None}
        self._place = {name: place for place, name in enumerate(trees)}
        self._program = Program(list(trees.values()))
        self._actions = [
            *(Action("drop", f"rule:{capture.name}") for capture in snapshot.captures),
            *(Action(r.action, f"rule:{r.name}", r.name, r.length) for r in snapshot.redactions),
            Action("drop", OUTDATED),
        ]
        self._columns = {rule.name: columns_of(rule.fields) for rule in snapshot.redactions}
        numbered = enumerate(snapshot.redactions, len(snapshot.captures))
        self._whole = sorted(((n, r) for n, r in numbered if not r.detectors), key=lambda one: STRENGTH.index(one[1].action))
        self.searches = Searches(snapshot, detectors)

    def decide(self, batch: Batch) -> Decision:
        """What the rules say of each row, after enrichment."""
        if not len(batch) or not (self._rules or self.outdated or self.snapshot.detectors):
            return NOTHING
        rows, tenants = self._matched(batch)
        levels = _first(self.snapshot.captures, rows, len(batch))
        whole: dict[str, Codes] = {}
        if self.outdated:
            _fill(whole, CONTENT, np.ones(len(batch), np.bool_), len(self._actions) - 1)
        for number, capture in enumerate(self.snapshot.captures):
            _fill(whole, DROPPED_AT[capture.level], levels == number, number)
        for number, rule in self._whole:
            if rule.name in rows:
                _fill(whole, self._columns[rule.name], rows[rule.name], number)
        classes = _first(self.snapshot.retentions, rows, len(batch))
        return Decision(self._actions, whole, list(self.searches.of(rows, tenants)), tenants, levels, classes)

    def _matched(self, batch: Batch) -> tuple[dict[str, Mask], dict[str, Mask]]:
        """Name → rows of each rule that matches any, and tenant → rows of those with detectors of their own."""
        encoded: Any = batch.column("tenant_id").dictionary_encode()
        tenants = {tenant: code for code, tenant in enumerate(encoded.dictionary.to_pylist())}
        codes = encoded.indices.to_numpy()
        here = [rule for rule in self._rules if rule.tenant == EVERY_TENANT or rule.tenant in tenants]
        asked = [rule.name for rule in here if rule.name in self._place]
        masks = dict(zip(asked, self._program.masks(batch.columns, [self._place[name] for name in asked]), strict=True))
        found, every = dict[str, Mask](), np.ones(len(batch), np.bool_)
        for rule in here:
            rows = masks.get(rule.name, every)
            if rule.tenant != EVERY_TENANT and rows.any():
                rows = rows & (codes == tenants[rule.tenant])
            if rows.any():
                found[rule.name] = rows
        return found, {tenant: codes == tenants[tenant] for tenant in self.searches.tenants() if tenant in tenants}


def _first(rules: Sequence[Capture | Retention], rows: Mapping[str, Mask], count: int) -> Codes:
    """Index of the first rule that matches each row."""
    found = np.full(count, NONE, np.int16)
    for number, rule in enumerate(rules):
        if rule.name in rows:
            found[(found == NONE) & rows[rule.name]] = number
    return found


def _fill(whole: dict[str, Codes], columns: Iterable[str], rows: Mask, number: int) -> None:
    """Where nothing stronger was said before."""
    if not rows.any():
        return
    for column in columns:
        codes = whole.setdefault(column, np.full(len(rows), NONE, np.int16))
        codes[rows & (codes == NONE)] = number


NO_RULES = Rules(EMPTY)
