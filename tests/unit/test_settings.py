"""Settings: parsed once, unknown names refused with the nearest one, secrets never shown."""

from __future__ import annotations

import pytest

from auditwire._settings import _refuse_misspelt
from pipeline import settings

KAFKA = {"AUDITWIRE_KAFKA_BOOTSTRAP": "127.0.0.1:9092", "AUDITWIRE_SCHEMA_REGISTRY_URL": "http://127.0.0.1:8081"}
PROCESSOR = {**KAFKA, "AUDITWIRE_PROCESSOR_KAFKA_PASSWORD": "hunter2", "AUDITWIRE_SEALING_KEY": "c2VjcmV0"}


def test_defaults_and_values() -> None:
    values = settings.load(settings.Processor, {**PROCESSOR, "AUDITWIRE_PROCESSOR_LINGER_MS": "7"})
    assert (values.linger_ms, values.namespace, values.kafka_username) == (7, "audit", "processor")


def test_a_misspelt_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(settings.SettingsError, match="AUDITWIRE_SEALNG_KEY is not a setting.*Did you mean AUDITWIRE_SEALING_KEY"):
        settings.load(settings.Processor, {**PROCESSOR, "AUDITWIRE_SEALNG_KEY": "x"})


def test_other_parts_settings_are_no_misspellings() -> None:
    settings.load(settings.Processor, {**PROCESSOR, "AUDITWIRE_EXPORT_LISTEN": "127.0.0.1:1", "PATH": "/bin"})


def test_the_sdk_takes_none_of_the_services_settings_for_a_misspelling() -> None:
    """Both may stand in one environment, as `. .auditwire/env` makes it."""
    for name in sorted(settings.known_names()):
        _refuse_misspelt({name: ""})


def test_missing_settings_are_named_all_at_once() -> None:
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(settings.Processor, {})
    for name in (*KAFKA, "AUDITWIRE_PROCESSOR_KAFKA_PASSWORD", "AUDITWIRE_SEALING_KEY"):
        assert f"{name} is not set." in str(caught.value)


def test_secrets_show_neither_in_repr_nor_in_errors() -> None:
    assert "hunter2" not in repr(settings.load(settings.Processor, PROCESSOR))
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(settings.Processor, {**PROCESSOR, "AUDITWIRE_PROCESSOR_LINGER_MS": "hunter3"})
    assert "hunter" not in str(caught.value)
    assert "AUDITWIRE_PROCESSOR_LINGER_MS" in str(caught.value)


def test_settings_are_frozen() -> None:
    values = settings.load(settings.Processor, PROCESSOR)
    with pytest.raises(ValueError, match="frozen"):
        values.linger_ms = 1
