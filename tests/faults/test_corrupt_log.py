"""A clean record whose bytes changed on the broker's disk: the sink stops in front of it instead of storing or skipping it."""

from __future__ import annotations

from pathlib import Path

from tests.sinks import CleanTopic, SinkProcess, stored
from tests.space import Space
from tests.waiting import until


def segment(space: Space, topic: str) -> Path:
    """The log of partition 0 on the broker's disk."""
    (found,) = (space.stack.directory / "kafka" / f"{topic}-0").glob("*.log")
    return found


def test_a_record_that_fails_its_checksum_stops_the_partition(provisioned: Space) -> None:
    topic = CleanTopic(provisioned)
    for _ in range(3):
        topic.write(20, partitions=(0,))
    before = topic.records()
    path = segment(provisioned, topic.name)
    data = path.read_bytes()
    at = data.index(b"tenant-", len(data) // 2) + len(b"tenant-")
    with path.open("r+b") as file:  # another tenant's number: still a fine event
        file.seek(at)
        file.write(b"8")
    with SinkProcess(provisioned) as sink:
        until(lambda: "stopped:" in sink.log.read_text(), 60, sink.text)
        assert "cannot be read" in sink.log.read_text(), sink.log.read_text()[:600]
    assert set(stored(provisioned)) <= before  # what came before the damage, at most
