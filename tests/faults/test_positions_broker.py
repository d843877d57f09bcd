"""Kafka is killed and comes back with newer leader epochs: whoever asks for positions gets answers again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kafka import cluster_of
from connectors.kafka_lag import LagError, Observer
from connectors.kafka_marks import Positions
from infra.stack import Stack
from pipeline import settings
from tests import space
from tests.space import Space
from tests.waiting import until


@pytest.fixture
def own(fault_stack: Stack, tmp_path: Path) -> Iterator[Space]:
    """A provisioned namespace on servers that may be killed."""
    one = space.claim(fault_stack, tmp_path)
    one.provision()
    yield one
    one.drop()


def test_positions_are_told_after_kafka_came_back(own: Space) -> None:
    values, topic, every = own.settings(settings.Export), f"{own.name}.events", [0, 1, 2, 3]
    positions = Positions(cluster_of(dict(values)))
    observer = Observer(cluster_of(dict(own.settings(settings.LagExporter))))
    places = [(topic, p) for p in every]
    before = positions.ends(topic, every), observer.bounds(places)

    def observed() -> bool:
        """Whoever observes asks again later."""
        with contextlib.suppress(LagError):
            return observer.bounds(places) == before[1]
        return False

    for _ in range(2):
        own.stack.kill("kafka")
        own.stack.launch("kafka")
        own.stack.wait("kafka")
        assert positions.ends(topic, every) == before[0]
        until(observed, 30)
        assert positions.committed(f"{own.name}-processor", f"{own.name}.raw", every) == dict.fromkeys(every)
