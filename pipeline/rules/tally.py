"""What rules did to a batch, counted for metrics: by level, action and class, never by tenant or rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.batch import Batch
from pipeline.rules.decide import OUTDATED, Decision, Rules

BY_RULE, BY_DETECTOR, BY_OUTDATED = "rule", "detector", "outdated"
NO_LEVEL = "request_response"


@dataclass(frozen=True)
class Tally:
    """``levels``: capture level → events; ``fields``: action and who decided it → entries of processed_redacted_fields, which are
    one for each field of an event and each rule; ``classes``: retention class → events.
    """

    levels: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[tuple[str, str], int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)


def tally(batch: Batch, changed: Any, decision: Decision, rules: Rules) -> Tally:
    """Of the finished batch; ``changed``: its processed_redacted_fields (list<utf8>)."""
    fields = Counter[tuple[str, str]]()
    actions = {action.label: action.action for action in decision.actions}
    for entry, count in _counted(changed.flatten()).items():
        label = entry.partition("=")[2]
        by = BY_DETECTOR if not label else BY_OUTDATED if label == OUTDATED else BY_RULE
        fields[actions.get(label, "mask"), by] += count
    return Tally(_levels(len(batch), decision, rules), fields, _counted(batch.column("processed_retention_class")))


def _levels(events: int, decision: Decision, rules: Rules) -> Mapping[str, int]:
    if rules.outdated:
        return {"metadata": events}
    if decision.levels is None:
        return {NO_LEVEL: events}
    names = [NO_LEVEL, *(capture.level for capture in rules.snapshot.captures)]
    found = Counter[str]()
    for name, count in zip(names, np.bincount(decision.levels + 1, minlength=len(names)).tolist(), strict=True):
        found[name] += count
    return found


def _counted(texts: Any) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in pc.value_counts(texts).to_pylist()}
