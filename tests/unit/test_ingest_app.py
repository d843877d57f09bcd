"""What the part refuses to start with: the text says which setting and what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.ingest import app, spooling
from pipeline.ingest.auth import Tokens
from pipeline.sealing import Sealer
from pipeline.settings import Ingest, SettingsError, load
from tests.ingest import MASTER_KEY, write_tokens


def settings(tmp_path: Path, **changed: str) -> Ingest:
    env = {
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "SCHEMA_REGISTRY_URL": "http://127.0.0.1:1",
        "INGEST_KAFKA_PASSWORD": "x",
        "INGEST_TOKENS_FILE": str(tmp_path / "tokens.yaml"),
        "SEALING_KEY": MASTER_KEY,
        **changed,
    }
    return load(Ingest, {f"AUDITWIRE_{name}": value for name, value in env.items()})


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"INGEST_MAX_IN_FLIGHT_BYTES": "1000000"}, "at least 8 times AUDITWIRE_INGEST_MAX_BODY_BYTES"),
        ({"INGEST_TOKENS_FILE": "/nowhere.yaml"}, "AUDITWIRE_INGEST_TOKENS_FILE"),
        ({"SEALING_KEY": "short"}, "AUDITWIRE_SEALING_KEY"),
    ],
)
def test_it_does_not_start_with_settings_that_cannot_work(tmp_path: Path, changed: dict[str, str], text: str) -> None:
    write_tokens(tmp_path / "tokens.yaml")
    with pytest.raises(SettingsError, match=text):
        app.run(settings(tmp_path, **changed))


def test_the_settings_as_they_come_can_take_the_largest_body(tmp_path: Path) -> None:
    values = settings(tmp_path)
    assert values.max_in_flight_bytes >= 8 * values.max_body_bytes
    assert values.max_body_bytes == 25 * 1024 * 1024  # what GitLab sends at most


def test_a_sender_that_ended_ends_the_part_with_1(tmp_path: Path) -> None:
    """It would acknowledge what nobody sends on."""
    write_tokens(tmp_path / "tokens.yaml")
    values = settings(tmp_path, INGEST_SPOOL_DIR=str(tmp_path / "s"), INGEST_LISTEN="127.0.0.1:0")
    sealer, tokens = Sealer(MASTER_KEY), Tokens(tmp_path / "tokens.yaml")
    spool = spooling.opened(values, sealer)
    assert spool is not None

    async def run() -> int:
        serving = asyncio.create_task(app._serve_spooled(values, tokens, sealer, spool, spooling.refused(values, sealer)))
        await asyncio.sleep(0)
        [sender] = [task for task in asyncio.all_tasks() if task.get_name() == "spool to Kafka"]
        sender.cancel()
        return await asyncio.wait_for(serving, 60)

    assert asyncio.run(run()) == 1
