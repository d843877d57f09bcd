"""Settings from the environment: misspelt names are refused, the service's names are none of the SDK's business."""

from __future__ import annotations

import pytest

from auditwire import AuditClient, ConfigurationError
from auditwire._settings import NAMES, load
from pipeline import settings


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("AUDITWIRE_KAFKA_BOOTSRAP", "AUDITWIRE_KAFKA_BOOTSTRAP"),
        ("AUDITWIRE_KAFKA_USER", "AUDITWIRE_KAFKA_USERNAME"),
        ("AUDITWIRE_REGISTRY_URL", "AUDITWIRE_SCHEMA_REGISTRY_URL"),
        ("AUDITWIRE_TRANSPORTS", "AUDITWIRE_TRANSPORT"),
        ("AUDITWIRE_TENNANT", "AUDITWIRE_TENANT"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest_one(name: str, near: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AuditClient.from_env("s", env={"AUDITWIRE_TRANSPORT": "print", name: "hunter2"})
    assert f"{name} is not a setting of auditwire. Did you mean {near}? Unset it or correct its name" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_name_that_resembles_nothing_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match="AUDITWIRE_XYZZY_QUUX is not a setting of auditwire. Unset it"):
        load({"AUDITWIRE_XYZZY_QUUX": "1"})


def test_the_services_names_are_no_misspellings_and_the_sdks_are_known_to_the_service() -> None:
    everything = dict.fromkeys(settings.known_names(), "x")
    everything |= {"AUDITWIRE_TRANSPORT": "print", "AUDITWIRE_MODE": "spooled"}
    everything |= {"AUDITWIRE_REDACT": "true", "AUDITWIRE_REDACT_ENCODED": "base64"}
    assert load(everything).printed
    assert set(NAMES) <= settings.known_names()


def test_an_impossible_transport_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"AUDITWIRE_TRANSPORT must be kafka \(the default\) or print"):
        load({"AUDITWIRE_TRANSPORT": "stdout"})


def test_what_is_missing_names_the_way_without_kafka() -> None:
    with pytest.raises(ConfigurationError, match="AUDITWIRE_TRANSPORT=print to try without Kafka"):
        load({})
