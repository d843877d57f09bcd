"""`auditwired offsets`: shows what groups have committed; sets an offset only where nobody reads and the log has it."""

from __future__ import annotations

import argparse

import pytest
from confluent_kafka import Consumer

from pipeline import offsets, settings
from tests.sinks import CleanTopic
from tests.space import Space
from tests.waiting import until


def _run(space: Space, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    for name in settings.names_of(settings.Migrate):
        if name in space.env:
            monkeypatch.setenv(name, space.env[name])
    parser = argparse.ArgumentParser()
    offsets.add_arguments(parser)
    return offsets.run(parser.parse_args(arguments))


def test_an_offset_is_shown_and_set_and_harm_is_refused(
    provisioned: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = CleanTopic(provisioned)
    topic.write(20, partitions=(0,))
    wanted = ("set", "--group", "clickhouse-sink", "--partition", "0", "--to")
    assert _run(provisioned, monkeypatch, *wanted, "7") == 0
    assert "clickhouse-sink, partition 0: nothing -> 7" in capsys.readouterr().out
    assert topic.committed(f"{provisioned.name}-clickhouse-sink") == {0: 7}
    assert _run(provisioned, monkeypatch, "show") == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.split()[:1] == ["clickhouse-sink"])
    assert line.split() == ["clickhouse-sink", f"{topic.name}[0]", "7", "0", "21", "0"]
    assert _run(provisioned, monkeypatch, *wanted, "22") == 1
    assert "partition 0 holds 0..21, not 22: correct --to" in capsys.readouterr().err
    consumer = Consumer({**topic.client, "group.id": f"{provisioned.name}-clickhouse-sink", "log_level": 3})
    consumer.subscribe([topic.name])
    until(lambda: consumer.poll(0.2) is not None or bool(consumer.assignment()))
    assert _run(provisioned, monkeypatch, *wanted, "0") == 1
    consumer.close()
    assert "clickhouse-sink runs (1 members of its group): stop all of its processes first" in capsys.readouterr().err
