"""Kafka is killed while a session is idle: its next transaction must go through, or fail and make room for another session."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kafka import cluster_of
from connectors.kafka_lanes import GroupOffsets, Session
from infra.stack import Stack
from pipeline import settings
from tests import space
from tests.processing import read_all
from tests.space import Space


@pytest.fixture
def mortal(fault_stack: Stack, tmp_path: Path) -> Iterator[Space]:
    """A provisioned namespace on servers that may be killed."""
    one = space.claim(fault_stack, tmp_path)
    one.provision()
    yield one
    one.drop()


def test_an_idle_session_commits_after_the_broker_came_back(mortal: Space, fault_stack: Stack) -> None:
    cluster = cluster_of(dict(mortal.settings(settings.Processor)))
    offsets, events = GroupOffsets(cluster, f"{mortal.name}-processor"), f"{mortal.name}.events"
    session = Session(cluster, offsets, f"{mortal.name}.raw", 0, outputs=[events])
    session.commit([(events, None, b"before")], 1)
    for number in (2, 3):
        fault_stack.kill("kafka")
        fault_stack.launch("kafka")
        fault_stack.wait("kafka")
        commit = threading.Thread(target=session.commit, args=([(events, None, b"after")], number), daemon=True)
        commit.start()
        commit.join(60)
        assert not commit.is_alive(), "the client waits for a coordinator that it has forgotten"
        assert session.position == number
    session.close()
    assert [record.value for record in read_all(mortal, "events", 0)] == [b"before", b"after", b"after"]
