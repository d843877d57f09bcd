"""fsck's pure parts: each kind of difference is named with its offsets, and only it; the ledger's balance; windows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import avro, positions
from connectors.positions import Positions
from pipeline import fsck
from pipeline.fsck.compare import window
from pipeline.fsck.findings import KINDS, MOST_SHOWN, Finding, PartitionReport, Report
from pipeline.fsck.ledger import Book, Entry, Held, Tally, quarantine
from pipeline.fsck.sources import FOREVER, Windows

GAPPY = [1, 2, 4, 5, 6, 9, 10, 20]


def _held(offsets: list[int]) -> Positions:
    found = positions.empty(len(offsets))
    found["offset"], found["timestamp"] = offsets, [1000 + o for o in offsets]
    found["stored"] = found["digest"] = [7919 * o + 1 for o in offsets]
    found["own"], found["raw"] = True, offsets
    return found


def _without(*gone: int) -> Callable[[Positions], Positions]:
    return lambda p: p[~np.isin(p["offset"], gone)]


def _twice(*offsets: int) -> Callable[[Positions], Positions]:
    return lambda p: positions.joined([p, p[np.isin(p["offset"], offsets)]])


def _more(*offsets: int) -> Callable[[Positions], Positions]:
    return lambda p: positions.joined([p, _held(list(offsets))])


def _edited(column: str, *offsets: int) -> Callable[[Positions], Positions]:
    def edit(p: Positions) -> Positions:
        p[column][np.isin(p["offset"], offsets)] += 1
        p["own"] = p["stored"] == p["digest"]
        return p

    return edit


def _compared(
    change: Callable[[Positions], Positions], store: str, known: bool = True
) -> list[tuple[str, int | None, int | None]]:
    stores = {"clickhouse": _held(GAPPY), "archive": _held(GAPPY)}
    stores[store] = change(stores[store])
    reference, found = window("t[0]", _held(GAPPY) if known else None, stores)
    assert set(GAPPY) <= set(reference["offset"].tolist())
    assert all(f.kind in KINDS for f in found)
    return [(f.kind, f.first, f.last) for f in found]


@pytest.mark.parametrize("known", [True, False])
def test_three_equal_places_agree(known: bool) -> None:
    assert _compared(lambda p: p, "archive", known) == []


@pytest.mark.parametrize("store", ["clickhouse", "archive"])
@pytest.mark.parametrize(
    ("change", "kind", "runs"),
    [
        (_without(2, 4, 20), "missing_in_{}", [(2, 4), (20, 20)]),
        (_without(*GAPPY), "missing_in_{}", [(1, 20)]),
        (_twice(5, 6), "stored_twice", [(5, 6)]),
        (_more(7, 8, 30), "not_in_topic", [(7, 8), (30, 30)]),
        (_edited("digest", 4, 9), "digest_differs", [(4, 4), (9, 9)]),
        (_edited("stored", 1), "stored_digest_differs", [(1, 1)]),
        (_edited("timestamp", 10), "time_differs", [(10, 10)]),
    ],
)
def test_each_difference_is_named_with_its_offsets(
    change: Callable[[Positions], Positions], kind: str, runs: list[tuple[int, int]], store: str
) -> None:
    assert _compared(change, store) == [(kind.format(store), first, last) for first, last in runs]


def test_below_the_topics_start_the_stores_are_held_against_each_other() -> None:
    assert _compared(_without(4), "archive", known=False) == [("missing_in_archive", 4, 4)]
    assert _compared(_more(30), "archive", known=False) == [("missing_in_clickhouse", 30, 30)]
    kinds = {kind for kind, _, _ in _compared(_edited("digest", 4), "clickhouse", known=False)}
    assert kinds == {"digest_differs", "stored_digest_differs"}


@given(st.lists(st.integers(0, 200), max_size=40), st.lists(st.integers(1, 30), min_size=1, max_size=10))
def test_windows_lose_nothing_and_double_nothing(offsets: list[int], steps: list[int]) -> None:
    whole = _held(sorted(offsets))

    def pieces() -> Iterator[tuple[int, Positions]]:
        for at in range(0, len(whole), 3):
            piece = whole[at : at + 3]
            yield int(piece["offset"][-1]), piece

    windows, at, taken = Windows(pieces()), 0, []
    for step in [*steps, 1000]:
        at += step
        taken.append(windows.take(at))
        assert (taken[-1]["offset"] < at).all()
    assert np.concatenate(taken).tolist() == whole.tolist()


def test_windows_wait_for_ranges_that_overlap() -> None:
    windows = Windows(iter([(5, _held([0, 9])), (8, _held([5, 12])), (FOREVER, _held([8]))]))
    assert windows.take(6)["offset"].tolist() == [0, 5]
    assert windows.take(20)["offset"].tolist() == [8, 9, 12]


DIGESTS = np.arange(1, 31, dtype=np.uint64) * np.uint64(2**60)
OFFSETS = np.arange(100, 130)
RAW = ("r", 0)


def _entries(*clean: int) -> list[tuple[int, Entry]]:
    """Ledger records at offsets 0, 2 … of 40 raw records each, the clean ones first, then two rejects and a duplicate."""
    found, at = [], 0
    for i, count in enumerate(clean):
        digests = DIGESTS[at : at + count]
        at += count
        entry: Entry = {"raw_topic": "r", "raw_partition": 0, "start_offset": 40 * i, "end_offset": 40 * i + 40}
        entry |= {"read": count + 3, "clean": count, "quarantined": 2, "duplicates": 1}
        entry |= {"reasons": [{"reason": "bad_avro", "count": 2}], "resolved": []}
        entry["checksum"] = int(np.uint64(avro.checksum(digests)).astype(np.int64))
        found.append((2 * i, entry))
    return found


def _raws(*clean: int) -> npt.NDArray[np.int64]:
    return np.concatenate([np.arange(40 * i, 40 * i + count) for i, count in enumerate(clean)]).astype(np.int64)


def _book(entries: list[tuple[int, Entry]], must: int = 99, whole: bool = True) -> Book:
    return Book("l[0]", RAW, must, whole).take(entries)


def _tallied(
    entries: list[tuple[int, Entry]],
    raw: npt.NDArray[np.int64],
    digests: npt.NDArray[np.uint64] = DIGESTS,
    *,
    whole: bool = True,
    must: int = 99,
) -> list[str]:
    tally = Tally(_book(entries, must), "t[0]")
    for at in range(0, len(raw), 4):
        tally.feed("here", OFFSETS[: len(raw)][at : at + 4], raw[at : at + 4], digests[at : at + 4])
    return [f"{f.kind} {f.first}..{f.last}: {f.text}" for f in tally.end(whole)]


@pytest.mark.parametrize("clean", [(30,), (10, 20), (1, 0, 0, 28, 1, 0), (7, 7, 7, 9)])
def test_a_ledger_that_counted_the_very_events_balances(clean: tuple[int, ...]) -> None:
    assert _tallied(_entries(*clean), _raws(*clean)) == []


def test_only_the_transaction_that_differs_is_named() -> None:
    three, raws = _entries(10, 10, 10), _raws(10, 10, 10)
    swapped = DIGESTS.copy()
    swapped[12] += np.uint64(1)
    assert _tallied(three, raws, swapped) == [
        "ledger_differs 110..119: in here: the clean events of raw 40..80 have another checksum than the ledger's"
    ]
    assert _tallied(three, np.delete(raws, 3), np.delete(DIGESTS, 3)) == [
        "ledger_differs 100..108: in here: 9 clean events of raw 0..40, and the ledger counted 10"
    ]
    gone = np.delete(np.arange(30), slice(10, 20))
    assert _tallied(three, raws[gone], DIGESTS[gone]) == [
        "ledger_differs None..None: in the topic: the 10 clean events of raw 40..80 are not there"
    ]
    foreign = raws.copy()
    foreign[5] = 10**9
    assert [t.partition(":")[0] for t in _tallied(three, foreign)] == ["ledger_differs 105..105", "ledger_differs 100..109"]


def test_what_the_topic_lacks_at_its_end_is_told() -> None:
    short = [t.partition(": ")[2] for t in _tallied(_entries(10, 20), _raws(10, 20)[:25], DIGESTS[:25])]
    assert short == ["in here: 15 clean events of raw 40..80, and the ledger counted 20"]
    none = [t.partition(": ")[2] for t in _tallied(_entries(10, 20), _raws(10, 20)[:10], DIGESTS[:10])]
    assert none == ["in the topic: the 20 clean events of raw 40..80 are not there"]


def test_a_topic_still_being_written_is_not_a_difference() -> None:
    assert _tallied(_entries(10, 20), _raws(10, 20)[:25], DIGESTS[:25], whole=False) == []
    assert _tallied(_entries(10, 20), _raws(10, 20)[:10], DIGESTS[:10], whole=False) == []
    assert _tallied(_entries(10, 20), _raws(10, 20)[:10], DIGESTS[:10], must=2) == []


def test_events_older_than_a_ledger_that_lost_its_beginning_are_nobodys_fault() -> None:
    book = _book(_entries(10, 10, 10)[1:], whole=False)
    tally = Tally(book, "t[0]")
    tally.feed("here", OFFSETS, _raws(10, 10, 10), DIGESTS)
    assert tally.end(whole=True) == []


def test_a_ledger_record_must_add_up() -> None:
    entries = _entries(10, 10, 10)
    entries[0][1]["read"] += 1
    entries[1][1]["reasons"] = []
    entries[2][1]["start_offset"] = 3
    found = _book(entries).findings
    assert [(f.kind, f.place, f.first) for f in found] == [("ledger_equation", "l[0]", offset) for offset in (0, 2, 4)]


def test_a_ledger_record_that_is_there_twice_is_told_and_counts_once() -> None:
    entries = _entries(10, 20)
    twice = [*entries, (4, entries[1][1]), (6, {**entries[1][1], "raw_topic": "other"})]
    assert [f.first for f in _book(twice).findings] == [4, 6]
    assert _tallied(twice, _raws(10, 20)) == []


def test_raw_records_that_no_ledger_record_covers_are_told() -> None:
    entries = _entries(10, 20)
    entries[1][1]["start_offset"] = 42
    text = "raw 42..80: the record before it ended at 40, and 0 are counted as lost in between"
    assert [f.text for f in _book(entries).findings] == [text]
    entries[1][1]["lost"] = 2
    book = _book(entries)
    assert (book.findings, book.lost) == ([], 2)
    shown = str(PartitionReport(0, "t[0]", 0, 90, 0, 100, 95, 90, lost_before_processing=2))
    assert "Kafka deleted 2 raw records before they were processed" in shown


def _rejected(*raw: int, reason: str = "bad_avro") -> list[Held]:
    return [Held(500 + i, *RAW, offset, reason) for i, offset in enumerate(raw)]


def _quarantine(records: list[Held], entries: list[tuple[int, Entry]] | None = None, begins: int = 0) -> list[str]:
    book = _book(_entries(10, 20) if entries is None else entries)
    return [f"{f.kind} {f.first}: {f.text}" for f in quarantine(book, "q[0]", records, begins)]


def test_what_was_counted_as_quarantined_must_be_in_quarantine() -> None:
    receivers = Held(7, "", 0, 0, "unauthorized")
    assert _quarantine([receivers, *_rejected(30, 31, 70, 71)]) == []
    assert _quarantine(_rejected(30, 70, 71)) == [
        "quarantine_differs None: raw 0..40: the ledger counted 2 bad_avro, here are 1 bad_avro"
    ]
    assert _quarantine(_rejected(30, 31, 31, 70, 71)) == [
        "quarantine_differs None: raw 0..40: the ledger counted 2 bad_avro, here are 3 bad_avro"
    ]
    other = [*_rejected(30, 31), *_rejected(70, 71, reason="bad_frame")]
    assert _quarantine(other) == ["quarantine_differs None: raw 40..80: the ledger counted 2 bad_avro, here are 2 bad_frame"]
    assert _quarantine([*_rejected(30, 31, 70, 71), Held(9, "r", 1, 0, "x")])[0].startswith("quarantine_differs 9: it is of r[1]")


def test_what_retention_took_from_the_quarantine_is_not_compared() -> None:
    assert _quarantine([], begins=5) == []
    assert _quarantine(_rejected(31, 70, 71), begins=5) == []
    assert len(_quarantine(_rejected(31, 70), begins=5)) == 1
    assert len(_quarantine([])) == 2


def test_a_replay_that_was_processed_names_a_reject_that_is_there() -> None:
    entries = _entries(10, 20)
    entries[1][1]["resolved"] = [500, 9]
    assert _quarantine(_rejected(30, 31, 70, 71), entries) == [
        "quarantine_differs 9: the ledger record at 2 says that a replay of it was processed, but it is not there"
    ]
    entries[1][1]["resolved"] = [500]
    entries[0][1]["resolved"] = [500]
    assert [f.text for f in _book(entries).findings] == ["raw 40..80: offset 500 of the quarantine was resolved before"]


def test_a_report_counts_all_and_shows_some() -> None:
    report = Report("t")
    report.partitions.append(PartitionReport(0, "t[0]", 0, 90, 0, 100, 95, 90, events=80))
    assert report.agrees and "80 events in 1 partitions agree" in report.lines()[-1]
    assert "ends at 100, ClickHouse has committed 95, the archive 90" in report.lines()[0]
    report.add(Finding("missing_in_archive", "t[0]", "", i, i) for i in range(MOST_SHOWN + 50))
    assert not report.agrees
    assert len(report.findings) == MOST_SHOWN
    assert json.loads(json.dumps(report.as_json()))["totals"] == {"missing_in_archive": MOST_SHOWN + 50}
    assert report.lines()[-1].endswith("docs/fsck.md")


@pytest.mark.parametrize("argv", [["--since", "x"], ["--until", "-1"], ["--partition", "a"]])
def test_wrong_arguments_end_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    fsck.add_arguments(parser)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(argv)
    assert caught.value.code == 2
    assert "error" in capsys.readouterr().err


def test_every_finding_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fsck.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []
