"""fsck of a part of a partition: only transactions wholly inside it are held against the ledger, and all of those are."""

from __future__ import annotations

import numpy as np
import pytest

from connectors import avro, positions
from connectors.positions import Positions
from pipeline.fsck.edges import Source, neighbours
from pipeline.fsck.ledger import Book, Entry, Tally
from pipeline.fsck.sources import Pieces

SIZES = (10, 20, 5, 15)
STARTS = (0, 10, 30, 35)
COUNT = sum(SIZES)


def _events() -> Positions:
    """Event n at offset n, of transactions of 10, 20, 5 and 15 events; raw offsets 100·i and on."""
    found = positions.empty(COUNT)
    found["offset"] = np.arange(COUNT)
    found["stored"] = found["digest"] = np.arange(1, COUNT + 1, dtype=np.uint64) * np.uint64(2**59 + 7)
    found["own"] = True
    found["raw"] = np.concatenate([np.arange(size) + 100 * i for i, size in enumerate(SIZES)])
    return found


def _book() -> Book:
    entries: list[tuple[int, Entry]] = []
    for i, (start, size) in enumerate(zip(STARTS, SIZES, strict=True)):
        checksum = avro.checksum(_events()["stored"][start : start + size])
        entry: Entry = {"raw_topic": "r", "raw_partition": 0, "start_offset": 100 * i, "end_offset": 100 * i + 100, "read": 100}
        entry |= {"clean": size, "quarantined": 0, "duplicates": 100 - size, "reasons": [], "resolved": []}
        entries.append((2 * i, entry | {"checksum": int(np.uint64(checksum).astype(np.int64))}))
    return Book("l[0]", ("r", 0), 99).take(entries)


def _source(held: Positions) -> Source:
    def pieces(start: int, end: int) -> Pieces:
        yield end, held[(held["offset"] >= start) & (held["offset"] < end)]

    return pieces


def _tallied(
    since: int, until: int, held: Positions, low: int = 0, stores: tuple[Positions, ...] = ()
) -> tuple[list[str], int, int]:
    """What is found in a stretch, how many transactions were compared, and how many it cuts."""
    book = _book()
    topic = _events()[low:]
    before, behind = neighbours(_source(topic), [_source(store) for store in stores], (since, until), (low, COUNT))
    tally = Tally(book, "t[0]")
    inside = held[(held["offset"] >= since) & (held["offset"] < until)]
    tally.feed("here", inside["offset"], inside["raw"], positions.written(inside))
    texts = [finding.text for finding in tally.end(until == COUNT, book.until(before), book.since(behind))]
    return texts, tally.compared, tally.cut


@pytest.mark.parametrize(
    ("since", "until", "compared", "cut"),
    [(0, 50, 4, 0), (0, 30, 2, 0), (10, 30, 1, 0), (10, 35, 2, 0), (9, 36, 2, 2), (12, 28, 0, 1), (30, 50, 2, 0), (5, 50, 3, 1)],
)
def test_a_transaction_counts_when_it_lies_wholly_inside(since: int, until: int, compared: int, cut: int) -> None:
    assert _tallied(since, until, _events()) == ([], compared, cut)


@pytest.mark.parametrize("low", [0, 25, 45])
@pytest.mark.parametrize("gone", [10, 15, 29])
def test_what_is_missing_in_one_is_named_at_its_edges_too(low: int, gone: int) -> None:
    held = np.delete(_events(), gone)
    texts, _, _ = _tallied(10, 30, held, low, (held, _events()))
    assert texts == ["in here: 19 clean events of raw 100..200, and the ledger counted 20"]


def test_a_whole_transaction_that_is_gone_is_named() -> None:
    held = np.delete(_events(), slice(30, 35))
    assert _tallied(10, 50, held, 45, (held,))[0] == ["in the topic: the 5 clean events of raw 200..300 are not there"]


def test_a_store_that_lost_what_lies_before_the_stretch_accuses_nobody() -> None:
    held = _events()[30:]
    assert _tallied(30, 50, held, 45, (held, _events())) == ([], 2, 0)
    assert len(_tallied(30, 50, held, 45, (held,))[0]) == 2, "with nobody who knows what lies before, what is gone is named"


def test_the_topic_is_not_asked_for_what_is_behind_its_end() -> None:
    asked: list[int] = []

    def topic(start: int, end: int) -> Pieces:
        asked.append(end)
        yield end, _events()[start:end]

    assert neighbours(topic, [], (90, 90), (0, COUNT)) == (314, None)
    assert max(asked) == COUNT
