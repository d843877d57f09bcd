"""A forked child is a producer of its own: identity, count and connections; nothing of the parent's is sent twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from auditwire import AuditClient, AuditEvent, DeliveryError, KafkaTransport
from auditwire._direct import Control
from auditwire.testing import RecordingTransport
from tests.forked import in_child


def identities(control: Control) -> tuple[tuple[str, int, int], tuple[str, int, int]]:
    """(producer, epoch, sequence) of the event recorded after a fork, in the parent and in the child."""
    transport = RecordingTransport()
    client = AuditClient(transport, service="s", tenant="t", control=control)
    client.record(AuditEvent(event_type="before"))

    def record() -> tuple[str, int, int]:
        client.record(AuditEvent(event_type="after"))
        stored = transport.events[-1]
        return stored["producer_id"], stored["producer_epoch"], stored["sequence"]

    child = in_child(record)
    return record(), tuple(child)


def test_the_child_has_an_identity_and_count_of_its_own() -> None:
    parent, child = identities(Control())
    assert parent[0] != child[0]
    assert parent[1] < child[1]
    assert (parent[2], child[2]) == (1, 0)


def test_control_without_it_two_processes_count_as_one() -> None:
    parent, child = identities(Control(new_identity_after_fork=False))
    assert parent == child


def test_the_parents_receipts_are_not_waited_for_in_the_child(event: AuditEvent) -> None:
    receipt = AuditClient(RecordingTransport(held=True), service="s", tenant="t").record(event)

    def wait() -> str:
        try:
            receipt.wait(5)
        except DeliveryError as error:
            return str(error)
        return "no error"

    assert in_child(wait).startswith("the event was recorded before os.fork()")


def test_a_lock_held_at_the_fork_does_not_hold_up_the_child(event: AuditEvent) -> None:
    client = AuditClient(RecordingTransport(), service="s", tenant="t")
    with client._lock, client._book._lock, client._book.room:
        sequence = in_child(lambda: client.record(event).sequence)
    assert sequence == 0


def test_the_parents_producer_is_never_freed_in_the_child(kafka: Callable[..., KafkaTransport]) -> None:
    """Freeing it there waits for ever for threads that only the parent has: no count of references may fall to zero."""
    transport = kafka()
    assert transport._running
    producer = transport._running.producer

    def references() -> int:
        before = sys.getrefcount(producer)
        transport.after_fork()
        return sys.getrefcount(producer) - before

    assert in_child(references) == 1


PROGRAM = """
import json, os, pathlib
from auditwire import AuditClient, AuditEvent
client = AuditClient.from_env("forker", tenant="acme")
receipts = [client.record(AuditEvent(event_type="parent", session_id=str(i))) for i in range(500)]
child = os.fork()
receipts = [client.record(AuditEvent(event_type="parent" if child else "child", session_id=str(i))) for i in range(100)]
positions = [receipt.wait(60) for receipt in receipts]
client.flush(60)
told = json.dumps([client.producer_id, [r.sequence for r in receipts], positions, client.counts.failed])
pathlib.Path(f"{os.getpid()}.json").write_text(told)  # two long lines into one pipe may mix
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.timeout(180)
def test_forking_with_events_under_way_on_a_real_broker(env: dict[str, str], tmp_path: Path) -> None:
    """Both processes end by themselves, as an interpreter does, and nothing is stored twice."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, **env},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(outcomes) == 2
    assert outcomes[0][0] != outcomes[1][0]
    assert sorted(o[1] for o in outcomes) == [list(range(100)), list(range(500, 600))]
    positions = [tuple(p[1:]) for o in outcomes for p in o[2]]
    assert len(set(positions)) == 200
    assert [o[3] for o in outcomes] == [0, 0]
