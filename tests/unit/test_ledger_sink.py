"""What the ledger sink holds while its store is away is bounded, however long that lasts and whatever the records carry."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest

from connectors.clickhouse.client import UnreachableError
from connectors.clickhouse.ledger import Entry
from connectors.memory import MemoryLog
from pipeline import ledger_sink
from pipeline.ledger_sink import MOST, POLLED, LedgerSink
from tests.ledger_world import CODEC, record

EACH = 7  # size of one record of `record`
AT_MOST = MOST + 2 * POLLED * EACH


class Store:
    """Away until it is let back; notes the sizes of what it is offered and the offsets of what it takes."""

    def __init__(self) -> None:
        self.away, self.offered, self.taken = True, [0], set[tuple[int, int]]()

    def __call__(self, table: str, entries: Sequence[Entry]) -> None:
        self.offered.append(sum(entry.size for entry in entries))
        if self.away:
            raise UnreachableError("away")
        self.taken |= {(entry.partition, entry.offset) for entry in entries}


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_sink, "FIRST_WAIT", 0.0)


def backlog(records: int, partitions: int = 2, identities: bytes = b"") -> MemoryLog:
    log = MemoryLog("audit.ledger", partitions, POLLED)
    for partition in range(partitions):
        value = CODEC.encode(record(partition, 0, identities=identities))
        log.append(partition, [value] * records)
    return log


def sink_of(log: MemoryLog, store: Store) -> LedgerSink:
    sink = LedgerSink(log, store)
    log.subscribe(sink)
    sink.turn(0)  # assigned, and begun
    return sink


def turned(sink: LedgerSink, times: int) -> None:
    for _ in range(times):
        sink.turn(0)


def test_a_long_outage_fills_it_to_its_bound_and_no_further() -> None:
    log, store = backlog(2000), Store()
    sink = sink_of(log, store)
    turned(sink, 30)
    assert MOST <= max(store.offered) <= AT_MOST < 2 * 2000 * EACH
    store.away = False
    turned(sink, 30)
    assert store.taken == {(partition, offset) for partition in range(2) for offset in range(2000)}


def test_a_partition_that_comes_while_it_is_full_waits_too() -> None:
    log, store = backlog(5000), Store()
    sink = sink_of(log, store)
    sink.revoked([1], lost=False)
    turned(sink, 30)
    sink.assigned([1])
    turned(sink, 30)
    assert MOST <= max(store.offered) <= AT_MOST
    store.away = False
    turned(sink, 60)
    assert len(store.taken) == 2 * 5000


def test_the_hashes_of_deduplication_are_not_held() -> None:
    log, store = backlog(POLLED, identities=bytes(100_000)), Store()
    sink = sink_of(log, store)
    tracemalloc.start()
    try:
        turned(sink, 3)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(store.offered) == 2 * POLLED * EACH
    assert held < 8 << 20, "they alone would be 40 MB"
