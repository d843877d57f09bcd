"""One window of positions, compared between the clean topic and the stores. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from connectors import positions
from connectors.positions import Positions
from pipeline.fsck.findings import Finding

Offsets = npt.NDArray[np.int64]


def window(place: str, topic: Positions | None, stores: Mapping[str, Positions]) -> tuple[Positions, list[Finding]]:
    """All arguments sorted by offset. ``topic`` is None where the log no longer holds the window: then the stores are held
    against each other.

    Returns what is known to exist (the topic's positions, or those of all stores), and the differences.
    """
    reference = positions.joined(stores.values()) if topic is None else topic
    reference = positions.first_of_each(reference)
    universe = np.unique(np.concatenate([s["offset"] for s in (reference, *stores.values())]))
    found: list[Finding] = []
    for name, store in stores.items():
        found += [
            Finding(kind, place, text, int(run[0]), int(run[-1]), len(run))
            for kind, text, offsets in _store(name, store, reference, known=topic is not None)
            for run in _runs(offsets, universe)
        ]
    return reference, found


def _store(name: str, store: Positions, reference: Positions, known: bool) -> Iterator[tuple[str, str, Offsets]]:
    once = positions.first_of_each(store)
    yield "stored_twice", f"in {name}", _repeated(store["offset"])
    yield f"missing_in_{name}", "", np.setdiff1d(reference["offset"][~reference["gone"]], store["offset"])
    yield "not_deleted", f"in {name}", once["offset"][once["gone"]]
    here = np.isin(once["offset"], reference["offset"])
    if known:
        yield "not_in_topic", f"in {name}", once["offset"][~here]
    ours = store[np.isin(store["offset"], reference["offset"])]
    theirs = reference[np.searchsorted(reference["offset"], ours["offset"])]
    yield "digest_differs", f"in {name}", np.unique(ours["offset"][ours["digest"] != theirs["digest"]])
    yield "stored_digest_differs", f"in {name}", np.unique(ours["offset"][ours["stored"] != theirs["stored"]])
    if not known:  # nobody else knows the truth: at least the event must be the one its digest was taken of
        yield "stored_digest_differs", f"in {name}", np.unique(ours["offset"][~ours["own"]])
    yield "time_differs", f"in {name}", np.unique(ours["offset"][ours["timestamp"] != theirs["timestamp"]])


def _repeated(offsets: Offsets) -> Offsets:
    return np.unique(offsets[1:][offsets[1:] == offsets[:-1]])


def _runs(offsets: Offsets, universe: Offsets) -> list[Offsets]:
    """Split where the universe holds something in between."""
    if not len(offsets):
        return []
    return np.split(offsets, np.flatnonzero(np.diff(np.searchsorted(universe, offsets)) != 1) + 1)
