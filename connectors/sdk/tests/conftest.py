"""Fixtures of the SDK's tests. Those on a real broker use the stack of the repository that this folder is part of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from auditwire import AuditEvent, KafkaTransport
from tests.conftest import new_space, run_folder, stack
from tests.space import Space

__all__ = ["new_space", "run_folder", "stack"]


@pytest.fixture(scope="session")
def space(new_space: Callable[[], Space]) -> Space:
    """A namespace with topics, ACLs and schemas on the real servers, shared by this worker's tests."""
    from pipeline import migrate, settings

    made = new_space()
    values = made.settings(settings.Migrate)
    migrate.kafka(values)
    migrate.registry(values)
    return made


@pytest.fixture(scope="session")
def env(space: Space) -> dict[str, str]:
    """The variables that an SDK user has."""
    return {k: v for k, v in space.env.items() if k.startswith("AUDITWIRE_")}


@pytest.fixture
def kafka(env: dict[str, str]) -> Iterator[Callable[..., KafkaTransport]]:
    """Makes Kafka transports; they are closed after the test."""
    made: list[KafkaTransport] = []

    def make(**changes: object) -> KafkaTransport:
        made.append(KafkaTransport(**{**arguments(env), **changes}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def arguments(env: dict[str, str]) -> dict[str, object]:
    return {
        "topic": f"{env['AUDITWIRE_NAMESPACE']}.raw",
        "bootstrap": env["AUDITWIRE_KAFKA_BOOTSTRAP"],
        "schema_registry_url": env["AUDITWIRE_SCHEMA_REGISTRY_URL"],
        "security_protocol": env["AUDITWIRE_KAFKA_SECURITY_PROTOCOL"],
        "sasl_mechanism": env["AUDITWIRE_KAFKA_SASL_MECHANISM"],
        "username": env["AUDITWIRE_KAFKA_USERNAME"],
        "password": env["AUDITWIRE_KAFKA_PASSWORD"],
    }


@pytest.fixture
def event() -> AuditEvent:
    return AuditEvent(event_type="tool.invoked", tool_name="search")
