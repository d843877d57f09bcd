"""Which detectors search a field of an event, and what becomes of their findings, where rules say so.

Everywhere else secrets are searched for in every text, and personal data in content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from auditwire.redaction import DETECTORS, Detector
from pipeline.rules import model
from pipeline.rules.columns import CONTENT, columns_of
from pipeline.stages.own import own

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int16]
STRENGTH = ("mask", "hash", "keep")


@dataclass(frozen=True)
class Search:
    """What is searched for in some fields. ``labels``: kind of finding → how processed_redacted_fields calls the rule about it;
    ``hashed``: kinds whose findings are hashed in the place of masked.
    """

    detectors: tuple[Detector, ...]
    labels: Mapping[str, str]
    hashed: frozenset[str]


class Searches:
    """The detectors of a revision, and its rules on what they find. Raises patterns.Unusable."""

    def __init__(self, snapshot: model.Snapshot, built_in: tuple[Detector, ...] = DETECTORS) -> None:
        self._built_in = built_in
        self._own = {
            tenant: tuple(own(d.name, d.pattern, d.personal) for d in snapshot.detectors if d.tenant == tenant)
            for tenant in _tenants(snapshot)
        }
        self._rules = tuple(rule for rule in snapshot.redactions if rule.detectors)
        self._columns = {rule.name: columns_of(rule.fields) for rule in self._rules}
        self._made = cache(self._search)

    def detectors(self, tenant: str) -> tuple[Detector, ...]:
        """Those that search the events of a tenant."""
        return (*self._built_in, *self._own.get(model.EVERY_TENANT, ()), *(self._own.get(tenant, ()) if tenant else ()))

    def tenants(self) -> frozenset[str]:
        """Those that have detectors of their own."""
        return frozenset(self._own) - {model.EVERY_TENANT}

    def of(self, matched: Mapping[str, Mask], tenants: Mapping[str, Mask]) -> Iterator[tuple[str, Search, Mask]]:
        """Column, what is searched for in it, and the rows. ``matched``: rows of each rule that matches any; ``tenants``: rows of
        each of the tenants with detectors of their own that occurs.
        """
        mine = [rule for rule in self._rules if rule.name in matched]
        for column in dict.fromkeys(column for rule in mine for column in self._columns[rule.name]):
            about = tuple(rule for rule in mine if column in self._columns[rule.name])
            asked = np.stack([*(matched[rule.name] for rule in about), *tenants.values()])
            rows = np.flatnonzero(asked[: len(about)].any(axis=0))
            kinds, of_row = np.unique(asked[:, rows], axis=1, return_inverse=True)
            for kind, holds in enumerate(kinds.T):
                rules = tuple(rule.name for rule, one in zip(about, holds, strict=False) if one)
                tenant = next((name for name, one in zip(tenants, holds[len(about) :], strict=True) if one), "")
                here = np.zeros(asked.shape[1], np.bool_)
                here[rows[of_row.reshape(-1) == kind]] = True
                yield column, self._made(column in CONTENT, tenant, rules), here

    def _search(self, content: bool, tenant: str, names: tuple[str, ...]) -> Search:
        """Of several rules about a detector the strongest action wins; of two alike the first."""
        decided: dict[str, model.Redaction] = {}
        rules = [rule for rule in self._rules if rule.name in names]
        for rule in sorted(rules, key=lambda rule: STRENGTH.index(rule.action)):
            for name in rule.detectors:
                decided.setdefault(name, rule)
        acted = {name: rule for name, rule in decided.items() if rule.action != "keep"}
        usual = {d.name for d in self.detectors(tenant)} - decided.keys() if content else set[str]()
        detectors = (d for d in self.detectors(tenant) if not d.personal or d.name in acted.keys() | usual)
        hashed = frozenset(name for name, rule in acted.items() if rule.action == "hash")
        return Search(tuple(detectors), {name: f"rule:{rule.name}" for name, rule in acted.items()}, hashed)


def _tenants(snapshot: model.Snapshot) -> list[str]:
    return list(dict.fromkeys(detector.tenant for detector in snapshot.detectors))
