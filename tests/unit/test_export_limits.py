"""Token buckets, cursors and buckets of counts: pure."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clickhouse.client import Client
from connectors.kafka_marks import Marks, MarksError, Positions
from pipeline.export import reading
from pipeline.export.auth import Principals
from pipeline.export.cursors import LIVES_SECONDS, Cursor, Cursors, Key
from pipeline.export.errors import RefusedError, UnavailableError
from pipeline.export.limits import NAMELESS_PER_MINUTE, Buckets
from pipeline.export.reading import MOST_BUCKETS, step
from pipeline.export.watermark import Complete, Progress, Stored, Watermark
from tests.export_service import PRINCIPALS, TOKENS, write_principals
from tests.waiting import until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(buckets: Buckets, name: str = "olga", per_minute: int = 60) -> RefusedError | None:
    try:
        buckets.take(name, per_minute)
    except RefusedError as exc:
        return exc
    return None


def test_a_minutes_worth_at_once_then_as_many_as_flow_in() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    assert [refused(buckets) for _ in range(60)] == [None] * 60
    first = refused(buckets)
    assert first is not None
    assert (first.status, first.retry_after, first.record) == (429, 1, True)
    assert refused(buckets, "anton") is None
    clock.now = 2.0
    assert [refused(buckets) is None for _ in range(3)] == [True, True, False]


def test_reads_that_wait_leave_threads_to_others() -> None:
    with ExitStack() as held, ThreadPoolExecutor(reading.WAITING) as threads:
        for _ in range(reading.AT_ONCE):
            held.enter_context(reading.bounded("demo"))

        def read() -> str:
            with reading.bounded("demo"):
                return "read"

        waiting = [threads.submit(read) for _ in range(reading.WAITING)]
        until(lambda: not reading._INSIDE._value, 10)
        with pytest.raises(UnavailableError, match="Too many"):
            read()
        held.close()
        assert [w.result() for w in waiting] == ["read"] * reading.WAITING
    assert read() == "read"


def test_who_waited_for_an_answer_that_failed_does_not_ask_again() -> None:
    asked: list[int] = []
    begun, go = threading.Semaphore(0), threading.Event()

    def connect() -> Positions:
        asked.append(1)
        assert go.wait(10)
        raise MarksError("no answer", passing=True)

    with closing(Client("http://127.0.0.1:1", "", "")) as client, ThreadPoolExecutor(10) as threads:
        watermark = Watermark("audit", connect, client, 0)

        def now() -> None:
            begun.release()
            watermark.now()

        waiting = [threads.submit(now) for _ in range(10)]
        for _ in waiting:
            assert begun.acquire(timeout=10)
        go.set()
        assert all(isinstance(w.exception(10), MarksError) for w in waiting)
        assert len(asked) < len(waiting) / 2  # one, and those that were not quite there yet
        with pytest.raises(MarksError):
            watermark.now()


def test_a_flood_without_a_name_is_recorded_in_bounds_and_names_its_number() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    said = []
    for second in range(120):
        clock.now = float(second)
        said += [buckets.nameless() for _ in range(50)]
    assert said[:NAMELESS_PER_MINUTE] == [1] * NAMELESS_PER_MINUTE
    assert sum(1 for number in said if number) <= 3 * NAMELESS_PER_MINUTE + 2
    assert sum(1 for number in said if number > 1) == 1
    assert refused(buckets) is None


def test_a_flood_is_recorded_once_a_minute_with_its_number() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    records = []
    for second in range(180):
        clock.now = float(second)
        for _ in range(10):
            found = refused(buckets, per_minute=1)
            if found is not None and found.record:
                records.append(int(found.attributes["refused"]))
    assert len(records) == 3
    assert records[0] == 1
    assert 500 < records[1] <= 600


def test_limits_have_defaults_and_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    write_principals(path, [{**PRINCIPALS[0], "limits": {"open_extracts": 1}}, {**PRINCIPALS[1], "rights": ["extract"]}])
    olga, anton = (Principals(path).of(f"Bearer {token}") for token in list(TOKENS.values())[:2])
    assert (olga.limits.open_extracts, olga.limits.requests_per_minute) == (1, 300)
    assert anton.may_extract("acme")
    assert not anton.may_read("acme")
    assert not olga.may_read("acme")
    for wrong in ({"requests_per_minute": 0}, {"requests_per_hour": 5}, {"rows_per_extract": "many"}):
        write_principals(path, [{**PRINCIPALS[0], "limits": wrong}])
        with pytest.raises(UnavailableError):
            Principals(path).all()


QUESTION: dict[str, Any] = {"tenant": "demo", "from": "x", "filters": {"a": [1, "b"]}}
COMPLETE = Complete(datetime(2026, 11, 2, 1, 2, 3, 456000, tzinfo=UTC), Marks("topic", {0: 5, 3: 2**40}))


@given(st.tuples(st.integers(0, 2**53), st.text(), st.integers(0, 65535), st.integers(-1, 2**62), st.text()))
def test_a_cursor_comes_back_as_it_was(key: Key) -> None:
    cursors = Cursors(b"key")
    cursor = Cursor(key, COMPLETE)
    assert cursors.opened(cursors.sealed(cursor, "olga", QUESTION), "olga", QUESTION, "topic") == cursor


def test_anything_else_is_refused() -> None:
    clock = Clock()
    cursors = Cursors(b"key", clock)
    good = cursors.sealed(Cursor((1, "i", 0, 2, "topic"), COMPLETE), "olga", QUESTION)
    cases: list[tuple[Cursors, str, str, dict[str, Any], str]] = [
        (cursors, good, "anton", QUESTION, "topic"),
        (cursors, good, "olga", {**QUESTION, "tenant": "acme"}, "topic"),
        (cursors, good, "olga", QUESTION, "new topic"),
        (Cursors(b"other"), good, "olga", QUESTION, "topic"),
        *[(cursors, text, "olga", QUESTION, "topic") for text in ("", "A", "AA==", "ä", good[:-1], good + "A", "A" + good[1:])],
    ]
    for opener, text, principal, question, topic in cases:
        with pytest.raises(RefusedError) as raised:
            opener.opened(text, principal, question, topic)
        assert raised.value.status == 422
        assert raised.value.what_to_do
    clock.now = LIVES_SECONDS + 1
    with pytest.raises(RefusedError, match="outdated"):
        cursors.opened(good, "olga", QUESTION, "topic")


@given(st.integers(1, 8 * 10**15))
def test_a_range_has_at_most_120_steps(width: int) -> None:
    seconds = step(0, width)
    assert -(-width // (seconds * 1_000_000)) <= MOST_BUCKETS


@pytest.mark.parametrize(
    ("progress", "position", "done"),
    [
        (Progress(10, True, 10, 7, 7, None), 10, True),
        (Progress(10, False, 10, 7, 7, None), 10, False),  # a copy is out of sync: the end may stand still
        (Progress(10, True, 9, 7, 7, None), 9, False),
        (Progress(10, True, 10, 7, 6, Stored(4, 1)), 5, False),
        (Progress(10, True, 10, 7, 0, None), 0, False),
        (Progress(0, True, 0, 0, 0, None), 0, True),
    ],
)
def test_what_is_outstanding_in_a_partition(progress: Progress, position: int, done: bool) -> None:
    assert (progress.position, progress.done) == (position, done)
