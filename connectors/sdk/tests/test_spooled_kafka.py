"""Mode spooled and mode blocking against a real broker: kill -9, a broker that is away, a restart on the same volume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from auditwire import AuditClient, AuditEvent, DeliveryTimeoutError, KafkaTransport, RegistryError, SpoolBusyError, SpoolFolder
from auditwire.testing import decode
from tests import space as spaces
from tests.conftest import fault_stack
from tests.integration.test_ingest import raw
from tests.space import Space
from tests.waiting import until

__all__ = ["fault_stack"]
END = "auditwire.producer.closed"
RECORDING = """
import sys
from auditwire import AuditClient, AuditEvent
with AuditClient.from_env(sys.argv[1], tenant="acme") as client:
    for i in range(int(sys.argv[2])):
        receipt = client.record(AuditEvent(event_type="x", session_id=str(i)))
        print(receipt.event_id, flush=True)
"""


@pytest.fixture
def spooling(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The variables of a user of mode spooled."""
    folder = {"AUDITWIRE_SPOOL_DIR": str(tmp_path / "spool"), "AUDITWIRE_SPOOL_KEY": "0f" * 32, "AUDITWIRE_MODE": "spooled"}
    return {**env, **folder}


def program(service: str, count: int, variables: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    path = folder / "program.py"
    path.write_text(RECORDING, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, path, service, str(count)], env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )


def in_kafka(space: Space, service: str) -> list[dict[str, Any]]:
    """The service's events, each stored message once; what was sent again must be the same message."""
    seen: dict[tuple[str, int, int], bytes] = {}
    events = []
    for record in raw(space):
        event = decode(record.value[5:])
        if event["source"] != service:
            continue
        place = (event["producer_id"], event["producer_epoch"], event["sequence"])
        if place not in seen:
            seen[place] = record.value
            events.append(event)
        assert seen[place] == record.value
    return events


def lanes(events: Iterable[dict[str, Any]]) -> dict[int, list[tuple[int, str]]]:
    """(sequence, type) by epoch, in order."""
    found: dict[int, list[tuple[int, str]]] = {}
    for e in sorted(events, key=lambda e: (e["producer_epoch"], e["sequence"])):
        found.setdefault(e["producer_epoch"], []).append((e["sequence"], e["event_type"]))
    return found


@pytest.mark.timeout(180)
def test_what_a_process_recorded_before_kill_9_is_stored_and_its_lane_is_ended(
    space: Space, spooling: dict[str, str], tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    for _ in range(2):  # killed twice, the second time while it sends what the first left
        process = program("killed", 100_000, spooling, tmp_path)
        assert process.stdout
        for number, line in enumerate(process.stdout):
            acknowledged.append(line.strip())
            if number == 150:
                process.send_signal(signal.SIGKILL)
                break
        acknowledged += [line.strip() for line in process.stdout if len(line) == 37]
        process.stdout.close()
        process.wait(30)
    last = program("killed", 10, spooling, tmp_path)
    out, _ = last.communicate(timeout=120)
    assert last.returncode == 0
    acknowledged += out.split()
    events = in_kafka(space, "killed")
    assert set(acknowledged) <= {e["event_id"] for e in events}
    by_epoch = lanes(events)
    assert len(by_epoch) == 3
    for lane in by_epoch.values():
        assert [number for number, _ in lane] == list(range(len(lane)))
        assert [kind for _, kind in lane] == ["x"] * (len(lane) - 1) + [END]
    assert len({e["producer_id"] for e in events}) == 1


def test_a_broker_that_is_away_stops_blocking_events_and_keeps_spooled_ones_for_the_next_process(
    space: Space, spooling: dict[str, str], kafka: Callable[..., KafkaTransport], tmp_path: Path
) -> None:
    folder = SpoolFolder(tmp_path / "spool", b"\x0f" * 32)
    client = AuditClient(
        kafka(bootstrap="127.0.0.1:9"), service="cut off", tenant="acme", mode="spooled", deadline=0.5, spool=folder
    )
    began = time.monotonic()
    with pytest.raises(DeliveryTimeoutError, match=r"within the deadline of 0\.5 s.*may still be stored: refuse the action"):
        client.record(AuditEvent(event_type="x"), mode="blocking")
    assert 0.5 <= time.monotonic() - began < 20
    receipts = [client.record(AuditEvent(event_type="x")) for _ in range(20)]
    with pytest.raises(SpoolBusyError):
        AuditClient.from_env("cut off", env=spooling)
    with pytest.raises(DeliveryTimeoutError):
        client.close(0.5)  # for the blocking one: those in the spool are no loss
    with AuditClient.from_env("cut off", env=spooling, tenant="acme") as client:
        client.record(AuditEvent(event_type="x"))
    events = in_kafka(space, "cut off")
    first, second = lanes(events).values()
    assert first == [*((n, "x") for n in range(20)), (20, END)]
    assert second == [(0, "x"), (1, END)]
    assert {e["event_id"] for e in events} >= {r.event_id for r in receipts}


def test_a_restart_needs_no_registry_where_the_spool_remembers_the_schemas_id(
    space: Space, spooling: dict[str, str], tmp_path: Path
) -> None:
    gone = {**spooling, "AUDITWIRE_SCHEMA_REGISTRY_URL": "http://127.0.0.1:9"}
    with pytest.raises(RegistryError, match="cannot be reached"):
        AuditClient.from_env("restarted", env=gone)
    with AuditClient.from_env("restarted", env=spooling, tenant="acme") as client:
        client.record(AuditEvent(event_type="x"))
    with pytest.raises(RegistryError, match="cannot be reached"):  # another registry than the one that was asked
        AuditClient.from_env("restarted", env=gone)
    remembered = tmp_path / "spool" / "schema.json"
    text = remembered.read_text(encoding="utf-8").replace(spooling["AUDITWIRE_SCHEMA_REGISTRY_URL"], "http://127.0.0.1:9")
    remembered.write_text(text, encoding="utf-8")
    with AuditClient.from_env("restarted", env=gone, tenant="acme") as client:
        client.record(AuditEvent(event_type="x"))
    assert len(in_kafka(space, "restarted")) == 4


@pytest.mark.timeout(240)
def test_one_process_goes_on_by_itself_when_a_killed_broker_is_back(fault_stack: Any, tmp_path: Path) -> None:
    space = spaces.claim(fault_stack, tmp_path / "spaces")
    space.provision()
    variables = {k: v for k, v in space.env.items() if k.startswith("AUDITWIRE_")}
    spool = SpoolFolder(tmp_path / "spool", b"\x0f" * 32)
    client = AuditClient.from_env("patient", env=variables, tenant="acme", mode="spooled", spool=spool)
    for _ in range(50):
        client.record(AuditEvent(event_type="x"))
    fault_stack.kill("kafka")
    try:
        for _ in range(50):
            client.record(AuditEvent(event_type="x"))
        assert client.counts.spooled >= 50
    finally:
        fault_stack.launch("kafka")
        fault_stack.wait("kafka")
    until(lambda: client.counts.pending == 0, 120)
    client.close()
    assert lanes(in_kafka(space, "patient")).popitem()[1] == [*((n, "x") for n in range(100)), (100, END)]
    assert client.counts.stored == 100
