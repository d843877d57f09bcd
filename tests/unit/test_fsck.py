"""fsck's pure parts: each kind of difference is named with its offsets, and only it; the ledger's balance; windows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import avro, positions
from connectors.positions import Positions
from pipeline import fsck
from pipeline.fsck.compare import window
from pipeline.fsck.findings import KINDS, MOST_SHOWN, Finding, PartitionReport, Report
from pipeline.fsck.ledger import Balance, Entry
from pipeline.fsck.sources import FOREVER, Windows

GAPPY = [1, 2, 4, 5, 6, 9, 10, 20]


def _held(offsets: list[int]) -> Positions:
    found = positions.empty(len(offsets))
    found["offset"], found["timestamp"] = offsets, [1000 + o for o in offsets]
    found["stored"] = found["digest"] = [7919 * o + 1 for o in offsets]
    found["own"] = True
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


def _entries(*clean: int) -> list[tuple[int, Entry]]:
    found, at = [], 0
    for i, count in enumerate(clean):
        digests = DIGESTS[at : at + count]
        at += count
        entry: Entry = {"raw_topic": "r", "raw_partition": 0, "start_offset": 10 * i, "end_offset": 10 * i + 10}
        entry["read"] = count + 3
        entry |= {"clean": count, "quarantined": 1, "duplicates": 2, "reasons": [{"reason": "bad_avro", "count": 1}]}
        entry["checksum"] = int(np.uint64(avro.checksum(digests)).astype(np.int64))
        found.append((2 * i, entry))
    return found


def _balanced(
    entries: list[tuple[int, Entry]], digests: np.typing.NDArray[np.uint64], whole: bool = True, must: int = 99
) -> list[str]:
    balance = Balance("t[0]", iter(entries), must)
    for at in range(0, len(digests), 4):
        balance.feed(digests[at : at + 4])
    balance.end(whole)
    return [f"{f.kind}: {f.text}" for f in balance.findings]


@pytest.mark.parametrize("clean", [(30,), (10, 20), (1, 0, 0, 28, 1, 0), (7, 7, 7, 9)])
def test_a_ledger_that_counted_the_very_events_balances(clean: tuple[int, ...]) -> None:
    assert _balanced(_entries(*clean), DIGESTS) == []


def test_what_the_ledger_does_not_know_or_the_topic_lacks_is_told() -> None:
    swapped = DIGESTS.copy()
    swapped[12] += np.uint64(1)
    assert _balanced(_entries(10, 20), swapped) == ["ledger_differs: the clean events of raw r[0] 10..20 have another checksum"]
    assert _balanced(_entries(10, 10), DIGESTS) == ["ledger_differs: 10 clean events at the end are in no ledger record"]
    assert _balanced(_entries(10, 20), DIGESTS[:25]) == ["ledger_differs: it ends 5 events short of raw r[0] 10..20"]
    assert _balanced(_entries(10, 20), DIGESTS[:10]) == [
        "ledger_differs: the clean events of raw r[0] 10..20 are not in the topic"
    ]
    assert len(_balanced(_entries(10, 20), np.delete(DIGESTS, 3))) == 1


def test_a_topic_still_being_written_is_not_a_difference() -> None:
    assert _balanced(_entries(10, 20), DIGESTS[:25], whole=False) == []
    assert _balanced(_entries(10, 20), DIGESTS[:10], whole=False) == []
    assert _balanced(_entries(10, 20), DIGESTS[:10], must=2) == []


def test_a_ledger_record_must_add_up() -> None:
    entries = _entries(10, 20)
    entries[0][1]["read"] += 1
    entries[1][1]["reasons"] = []
    entries[1][1]["start_offset"] = 3
    assert [t.partition(":")[0] for t in _balanced(entries, DIGESTS)] == ["ledger_equation"] * 3


def test_raw_records_that_no_ledger_record_covers_are_told() -> None:
    entries = _entries(10, 20)
    entries[1][1]["start_offset"] = 12
    told = _balanced(entries, DIGESTS)
    assert told == ["ledger_equation: raw r[0] 12..20: the record before it ended at 10, and 0 are counted as lost in between"]
    entries[1][1]["lost"] = 2
    balance = Balance("t[0]", iter(entries), 99)
    balance.feed(DIGESTS)
    balance.end(whole=True)
    assert (balance.findings, balance.lost) == ([], 2)
    shown = str(PartitionReport("t[0]", 0, 90, 0, 100, 95, 90, lost_before_processing=2))
    assert "Kafka deleted 2 raw records before they were processed" in shown


def test_a_report_counts_all_and_shows_some() -> None:
    report = Report("t")
    report.partitions.append(PartitionReport("t[0]", 0, 90, 0, 100, 95, 90, events=80))
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
