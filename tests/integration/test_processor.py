"""One running processor on real servers: what becomes of every kind of raw record, replays, health, and its end."""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import pytest

import schemas
from connectors import avro
from connectors.avro import RecordCodec
from connectors.registry import SchemaRegistry
from pipeline import quarantine, rejects, settings
from pipeline.janitor import Janitor
from pipeline.sealing import Sealer
from tests.processing import (
    PARTITIONS,
    Worker,
    bodies,
    committed,
    event_frame,
    ledger,
    processor_cluster,
    produce,
    read_all,
    rows,
)
from tests.space import Space
from tests.waiting import until

SECRET = "glpat-A1b2C3d4E5f6G7h8I9j0"


@dataclass
class Running:
    """A provisioned namespace with one processor; ``sent`` counts the raw records of each partition."""

    space: Space
    worker: Worker
    head: bytes
    sent: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def send(self, partition: int, *values: bytes | None, headers: Any = None) -> None:
        """Produce to a partition and wait until all of it is processed."""
        produce(self.space, [(partition, value) for value in values], headers)
        self.sent[partition] += len(values)
        self.wait(partition)

    def wait(self, partition: int) -> None:
        wanted = self.sent[partition]
        until(lambda: committed(self.space)[partition] >= wanted, 60, lambda: self.worker.text()[-3000:])

    def framed(self, events: list[dict[str, Any]]) -> list[bytes]:
        return [self.head + body for body in bodies(events)]

    def clean(self, partition: int) -> list[dict[str, Any]]:
        found = [record.value or b"" for record in read_all(self.space, "events", partition)]
        table = avro.decode([v[5:] for v in found], schemas.schema_text("audit_event")) if found else avro.empty()
        listed: list[dict[str, Any]] = table.to_pylist()
        return listed

    def quarantined(self, partition: int) -> list[dict[str, Any]]:
        codec = RecordCodec("quarantined_event", 0)
        return [codec.decode(record.value or b"") for record in read_all(self.space, "quarantine", partition)]

    def healthy(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.worker.admin}/healthz", timeout=5) as answer:
                return answer.status, json.loads(answer.read())["reason"]
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read())["reason"]

    def cli(self, *args: str) -> tuple[int, str, str]:
        """`auditwired quarantine` here: exit code, standard output, standard error."""
        parser = argparse.ArgumentParser()
        quarantine.add_arguments(parser)
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in settings.names_of(settings.Operator):
                if name in self.space.env:
                    patch.setenv(name, self.space.env[name])
            code = quarantine.run(parser.parse_args(args))
        return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def running(new_space: Callable[[], Space]) -> Iterator[Running]:
    space = new_space()
    space.provision()
    worker = Worker(space, "integration", PROCESSOR_LINGER_MS=5)
    yield Running(space, worker, event_frame(space))
    worker.kill()


def test_a_clean_event_carries_what_the_processor_writes_and_nothing_a_producer_put_there(running: Running) -> None:
    forged = {
        "processed_ingested_at": 1,
        "processed_raw_offset": 99,
        "processed_retention_class": "never",
        "processed_rules_revision": "mine",
        "processed_identity_conflict": True,
        "processed_redacted_fields": ["event_id"],
    }
    running.send(0, *running.framed(rows(1, 1000, message=f"token {SECRET}", **forged)))
    event = running.clean(0)[-1]
    assert SECRET not in event["message"]
    raw = read_all(running.space, "raw", 0)[-1]
    assert (event["processed_raw_partition"], event["processed_raw_offset"]) == (0, raw.offset)
    assert event["processed_ingested_at"] == dt.datetime.fromtimestamp(raw.timestamp / 1000, dt.UTC).replace(tzinfo=None)
    assert event["processed_retention_class"] == "standard"
    assert event["processed_redacted_fields"] == ["message"]
    assert event["processed_identity_conflict"] is False
    assert event["processed_rules_revision"] not in ("", "mine")


def test_what_is_no_event_is_quarantined_with_its_reason_and_the_rest_goes_on(running: Running) -> None:
    good = running.framed(rows(3, 2000))
    wrong_tenant = running.framed(rows(1, 2100, tenant_id="No Tenant"))[0]
    not_registered = avro.frame(2_000_000_000) + good[0][5:]
    other_schema = avro.frame(_ledger_schema_id(running.space)) + good[0][5:]
    running.send(
        1, good[0], b"junk", None, running.head + b"\xff\xff", good[1], not_registered, other_schema, wrong_tenant, good[2]
    )
    reasons = [(record["stage"], record["reason"]) for record in running.quarantined(1)]
    assert reasons == [
        ("decode", "bad_frame"),
        ("decode", "bad_frame"),
        ("decode", "bad_avro"),
        ("decode", "unknown_schema"),
        ("decode", "unknown_schema"),
        ("validate", "bad_tenant_id"),
    ]
    assert len(running.clean(1)) == 3
    originals = [rejects.original_of(record, _sealer(running.space)) for record in running.quarantined(1)]
    assert [original.value for original in originals[:3]] == [b"junk", None, running.head + b"\xff\xff"]


def _ledger_schema_id(space: Space) -> int:
    registry = SchemaRegistry(space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
    try:
        return registry.id_of(f"{space.name}.ledger-value", schemas.schema_text("ledger_record"))
    finally:
        registry.close()


def _sealer(space: Space) -> Sealer:
    return Sealer(space.env["AUDITWIRE_SEALING_KEY"])


def test_a_retry_is_suppressed_and_other_content_under_the_same_id_is_stored_and_flagged(running: Running) -> None:
    (event,) = rows(1, 3000)
    first, changed = running.framed([event, {**event, "message": "something else"}])
    before = len(running.clean(2))
    running.send(2, first)
    running.send(2, first, changed, changed)
    stored = running.clean(2)[before:]
    assert [(e["message"], e["processed_identity_conflict"]) for e in stored] == [
        (event["message"], False),
        ("something else", True),
    ]
    entries = ledger(running.space, 2)
    assert sum(entry["duplicates"] for entry in entries) == 2
    assert sum(entry["conflicts"] for entry in entries) == 1


def test_the_ledger_adds_up(running: Running) -> None:
    for partition in range(PARTITIONS):
        entries = ledger(running.space, partition)
        found = [record.value or b"" for record in read_all(running.space, "events", partition)]
        assert sum(entry["read"] for entry in entries) == running.sent[partition]
        total = avro.checksum(avro.digests([value[5:] for value in found])) if found else 0
        assert sum(entry["checksum"] for entry in entries) % 2**64 == total
        assert [e["start_offset"] for e in entries[1:]] == [e["end_offset"] for e in entries[:-1]]


def test_a_reject_is_listed_shown_and_replayed_once(running: Running) -> None:
    bad = running.framed(rows(1, 4000, tenant_id="Not A Tenant"))[0]
    running.send(3, bad)
    _, listed, _ = running.cli("list", "--reason", "bad_tenant_id", "--open", "--json")
    place = [json.loads(line)["position"] for line in listed.splitlines() if json.loads(line)["position"][:2] == "3:"][-1]
    assert "Not A Tenant" not in listed
    table = running.cli("list")[1]
    assert ("bad_tenant_id" in table, "Not A Tenant" in table) == (True, False)
    _, shown, warned = running.cli("show", place)
    assert json.loads(shown)["event"]["tenant_id"] == "Not A Tenant"
    assert "UNREDACTED" in warned
    # still rejected: the replay resolves the old position and a new one takes its place
    assert running.cli("replay", place)[1].startswith("1 of 1 sent")
    running.sent[3] += 1
    running.wait(3)
    offset = int(place[2:])
    assert running.quarantined(3)[-1]["replayed_from_offset"] == offset
    assert [entry["resolved"] for entry in ledger(running.space, 3)][-1] == [offset]
    code, _, refused = running.cli("replay", place)
    assert (code, "replayed before" in refused) == (1, True)
    assert running.cli("show", "3:999999")[0] == 1


def test_a_second_replay_of_one_position_is_a_counted_duplicate_and_a_forged_one_is_an_ordinary_record(running: Running) -> None:
    key = _sealer(running.space).hash_key()
    value = running.framed(rows(1, 5000))[0]
    original = rejects.Original(b"key", (), value)
    mark = rejects.replay_headers(3, 777, original, key)
    before = len(running.clean(3))
    running.send(3, value, headers=mark)
    running.send(3, value, headers=mark)
    forged = rejects.replay_headers(3, 778, original, b"x" * 32)
    running.send(3, running.framed(rows(1, 5001))[0], headers=forged)
    assert len(running.clean(3)) - before == 2
    entries = ledger(running.space, 3)
    assert [entry["resolved"] for entry in entries[-3:]] == [[777], [], []]
    assert [entry["duplicates"] for entry in entries[-3:]] == [0, 1, 0]


def test_the_janitor_deletes_what_is_committed_and_old_and_nothing_else(running: Running) -> None:
    running.send(0, *running.framed(rows(5, 6000)))
    raw = f"{running.space.name}.raw"
    cluster, group = processor_cluster(running.space), f"{running.space.name}-processor"
    last = read_all(running.space, "raw", 0)[-1]
    young = Janitor(cluster, group, raw, keep_minutes=60).clean({0: running.sent[0]}, last.timestamp)
    assert young == {}
    old = Janitor(cluster, group, raw, keep_minutes=60).clean({0: running.sent[0] - 2}, last.timestamp + 3_700_000)
    assert old == {0: running.sent[0] - 2}
    until(lambda: len(read_all(running.space, "raw", 0)) == 2, 30)
    running.send(0, *running.framed(rows(1, 6100)))


def test_a_newer_schema_stops_its_partition_with_an_alarm_and_nothing_is_lost(running: Running) -> None:
    newer = json.loads(schemas.schema_text("audit_event"))
    newer["fields"].append({"name": "from_the_future", "type": "string", "default": "", "doc": "New.", "class": "fact"})
    registry = SchemaRegistry(running.space.env["AUDITWIRE_SCHEMA_REGISTRY_URL"])
    head = avro.frame(registry.register(f"{running.space.name}.raw-value", json.dumps(newer)))
    registry.close()
    assert running.healthy() == (200, "")
    before, value = running.sent[2], running.framed(rows(1, 7000))[0]
    produce(running.space, [(2, value), (2, head + value[5:] + b"\0"), (2, value)])
    until(lambda: running.healthy()[0] == 503, 60, running.worker.text)
    assert "from_the_future" in running.healthy()[1]
    assert "Upgrade the processor" in running.healthy()[1]
    assert committed(running.space)[2] == before + 1, "what came before is processed, the rest waits"
    running.send(0, *running.framed(rows(1, 7001)))


def test_sigterm_ends_it_with_zero(running: Running) -> None:
    assert running.worker.stop(10) == 0
    assert "Traceback" not in running.worker.text()
    assert SECRET not in running.worker.text()
