"""Stage redact: replace secrets in every text column, and e-mail addresses in content, by ``[REDACTED:<kind>]``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditwire.redaction import redacted, spans
from pipeline.batch import Batch, Indices
from pipeline.stages.detectors import DETECTORS, Detector, chosen, filter_of
from pipeline.stages.linear import values_with
from pipeline.stages.texts import Text, texts, with_texts
from schemas import event_fields, fields_of_class

IDENTITY = ("event_id", "tenant_id", "producer_id")
WRITTEN = "processed_"  # columns that begin so hold no word of a producer when a batch leaves the chain

AT_ONCE = 256  # texts; their findings are let go of before they are worth a collection of garbage
_NONE = np.empty(0, np.int64)
Cuts = dict[tuple[str, str], Indices]


@dataclass(frozen=True)
class _Change:
    """New values for some positions of one text."""

    text: Text
    positions: Indices
    values: pa.Array[Any]


def redact(batch: Batch, detectors: tuple[Detector, ...] = DETECTORS) -> tuple[Batch, pa.Array[Any]]:
    """The batch without secrets, and per row the names of the columns that changed (list<utf8>, in schema order).

    Needs a validated batch (no NUL in texts). The columns in IDENTITY and those that the processor writes are left alone.
    E-mail addresses go from columns of class content only, since personal columns hold them as ids of principals. Columns
    without a finding are shared with the input.
    """
    content = fields_of_class("content")
    found = [text for text in texts(batch) if text.column not in IDENTITY and not text.column.startswith(WRITTEN)]
    cuts = cut_values(batch, found)
    free = [text for text in found if text.column in content and text.part != "key"]
    others = [text for text in found if text.column not in content or text.part == "key"]
    secrets = tuple(detector for detector in detectors if not detector.personal)
    changes = [*_changes(free, detectors, cuts), *_changes(others, secrets, cuts)]
    exchanged = {(change.text.column, change.text.part): _exchange(change) for change in changes}
    return with_texts(batch, exchanged), _changed_names(len(batch), changes)


def _changes(group: list[Text], detectors: tuple[Detector, ...], cuts: Cuts) -> Iterator[_Change]:
    """What the detectors change in these texts: all are searched as one first, then the values that are suspect."""
    if not group:
        return
    firsts = np.cumsum([0, *(len(text.values) for text in group)])
    cut = np.concatenate([cuts.get((text.column, text.part), _NONE) + first for text, first in zip(group, firsts, strict=False)])
    suspects = np.union1d(values_with(group, filter_of(detectors)), cut)
    bounds = np.searchsorted(suspects, firsts)
    parts = [suspects[low:high] - first for low, high, first in zip(bounds, bounds[1:], firsts, strict=False)]
    given = list[str]()
    for text, part in zip(group, parts, strict=True):
        given += text.values.take(pa.array(part)).to_pylist() if len(part) else ()
    ends = np.isin(suspects, cut).tolist() if len(cut) else []
    after = list[str]()
    for at in range(0, len(given), AT_ONCE):
        some = given[at : at + AT_ONCE]
        found = spans(some, detectors, ends[at : at + AT_ONCE], chosen)
        after += [redacted(text, one) for text, one in zip(some, found, strict=True)]
    altered = np.array([old != new for old, new in zip(given, after, strict=True)], dtype=np.bool_)
    for text, part, low, high in zip(group, parts, bounds, bounds[1:], strict=False):
        if (here := altered[low:high]).any():
            yield _Change(text, part[here], pa.array(list(compress(after[low:high], here)), pa.string()))


def cut_values(batch: Batch, found: list[Text]) -> Cuts:
    """Positions of the values that truncated_fields names: ``prompt=70000``, ``attributes[2]=70000``, ``attributes=70000``."""
    marks = next((text for text in found if text.column == "truncated_fields"), None)
    cuts: dict[tuple[str, str], set[int]] = {}
    if marks is None:
        return {}
    for row, mark in zip(marks.rows().tolist(), marks.values.to_pylist(), strict=True):
        column, _, item = mark.partition("=")[0].partition("[")
        for text in found:
            if text.column == column:
                cuts.setdefault((text.column, text.part), set()).update(_positions(text, row, item.rstrip("]")))
    return {key: np.array(sorted(positions), dtype=np.int64) for key, positions in cuts.items()}


def _positions(text: Text, row: int, item: str) -> range:
    """Positions of one row's value; for lists of the item, of all items where none is named."""
    if text.offsets is None:
        return range(row, row + 1)
    first, last = int(text.offsets[row]), int(text.offsets[row + 1])
    if item.isdecimal() and len(item) < 9:
        return range(min(first + int(item), last), min(first + int(item) + 1, last))
    return range(first, last)


def _exchange(change: _Change) -> pa.Array[Any]:
    mask = np.zeros(len(change.text.values), dtype=np.bool_)
    mask[change.positions] = True
    return pc.replace_with_mask(change.text.values, pa.array(mask), change.values)


def _changed_names(rows: int, changes: list[_Change]) -> pa.Array[Any]:
    """Per row the names of its changed columns."""
    fields = event_fields()
    keys = [change.text.rows()[change.positions] * len(fields) + fields.index(change.text.column) for change in changes]
    pairs = np.unique(np.concatenate([np.empty(0, np.int64), *keys]))
    counts = np.bincount(pairs // len(fields), minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    names = pa.array(fields).take(pa.array(pairs % len(fields)))
    return pa.ListArray.from_arrays(pa.array(offsets), names)
