"""Ledger records in a space's ledger topic, and what the tables of ClickHouse make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer

from connectors.avro import RecordCodec
from connectors.clickhouse.ledger import KINDS
from connectors.kafka import producer_config
from pipeline.prints import interval
from tests.parts import PartProcess
from tests.processing import cluster, read_all
from tests.sinks import clickhouse
from tests.space import Space
from tests.waiting import until

Row = tuple[Any, ...]
CODEC = RecordCodec("ledger_record", 0)


def record(partition: int, start: int, **fields: Any) -> dict[str, Any]:
    """What a processor writes of ten raw records, one of them quarantined, one a duplicate, one in conflict."""
    seen = [interval(("demo", f"producer-{partition}", 1), start, start + 7)]
    made = {
        **{"raw_topic": "audit.raw", "raw_partition": partition, "start_offset": start, "end_offset": start + 10, "read": 10},
        **{"clean": 8, "quarantined": 1, "duplicates": 1, "conflicts": 1, "lost": 0, "checksum": -(start + 1)},
        **{"reasons": [{"reason": "bad_time", "count": 1}], "sequences": seen, "identities": b"", "resolved": [start]},
        **{"max_timestamp": 1_790_000_000_000_000 + start, "snapshot": None, "resolved_before": [], "rules_revision": "1"},
        **{"version": "1.0", "quarantined_sequences": [interval(("demo", f"producer-{partition}", 1), start + 8, start + 8)]},
        "duplicate_sequences": [interval(("acme", "other", 1), 0, 0)],
        "conflict_sequences": [interval(("demo", f"producer-{partition}", 1), start, start)],
    }
    return {**made, **fields}


def write(space: Space, records: Sequence[dict[str, Any] | bytes]) -> None:
    """Into the partition that each names (bytes: 0), in order."""
    producer = Producer(producer_config(cluster(space, "admin")))
    for one in records:
        value, partition = (one, 0) if isinstance(one, bytes) else (CODEC.encode(one), one["raw_partition"])
        producer.produce(f"{space.name}.ledger", value, partition=partition)
    assert producer.flush(60) == 0


def written(space: Space, partitions: int = 4) -> tuple[Counter[Row], Counter[Row]]:
    """The rows that the topic's records ask for, each once: of `ledger` and of `ledger_sequences`."""
    ledger, sequences = Counter[Row](), Counter[Row]()
    for partition in range(partitions):
        for found in read_all(space, "ledger", partition):
            one, place = CODEC.decode(found.value or b""), (partition, found.offset)
            counts = tuple(one[name] for name in COUNTS)
            ledger[(*place, one["start_offset"], one["end_offset"], *counts, one["checksum"] % 2**64)] += 1
            for name, kind in KINDS.items():
                for i in one[name]:
                    key = (i["tenant_id"], i["producer_id"], i["producer_epoch"], kind, i["first"], i["last"])
                    sequences[(*place, *key)] += 1
    return ledger, sequences


COUNTS = ("read", "clean", "quarantined", "duplicates", "conflicts", "lost")


def stored(space: Space, final: str = "FINAL") -> tuple[Counter[Row], Counter[Row]]:
    """The rows that are there, read with ``final``."""
    place = "toInt64(kafka_partition), kafka_offset"
    with clickhouse(space) as client:
        ledger = client.rows(
            f"SELECT {place}, start_offset, end_offset, {', '.join(COUNTS)}, checksum FROM ledger {final}", database=space.name
        )
        interval = "tenant_id, producer_id, producer_epoch, kind, first, last"
        sequences = client.rows(f"SELECT {place}, {interval} FROM ledger_sequences {final}", database=space.name)
    return Counter(map(tuple, ledger)), Counter(map(tuple, sequences))


def caught_up(space: Space, part: PartProcess) -> None:
    """Until the tables hold as many records as the topic."""
    wanted = sum(written(space)[0].values())
    until(lambda: len(stored(space)[0]) >= wanted and part.healthy(), 60, part.story)
