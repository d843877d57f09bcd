"""What the part refuses to start with: the text says which setting and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.ingest import app
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
