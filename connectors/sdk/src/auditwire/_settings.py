"""Settings of the client from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auditwire._errors import ConfigurationError
from auditwire._kafka import KafkaTransport


@dataclass(frozen=True)
class Settings:
    """Where Kafka and the registry are, and who we are there."""

    bootstrap: str
    schema_registry_url: str
    security_protocol: str
    sasl_mechanism: str
    username: str
    password: str
    namespace: str
    tenant: str

    def __repr__(self) -> str:
        return f"Settings(bootstrap={self.bootstrap!r}, username={self.username!r}, namespace={self.namespace!r})"

    def transport(self) -> KafkaTransport:
        """The transport that they name. Raises RegistryError, ConfigurationError."""
        return KafkaTransport(
            topic=f"{self.namespace}.raw",
            bootstrap=self.bootstrap,
            schema_registry_url=self.schema_registry_url,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            username=self.username,
            password=self.password,
        )


def load(env: Mapping[str, str]) -> Settings:
    """Settings from ``AUDITWIRE_*`` variables. Raises ConfigurationError that names what is missing."""
    protocol = env.get("AUDITWIRE_KAFKA_SECURITY_PROTOCOL") or "SASL_SSL"
    needed = ["AUDITWIRE_KAFKA_BOOTSTRAP", "AUDITWIRE_SCHEMA_REGISTRY_URL"]
    if protocol.startswith("SASL"):
        needed += ["AUDITWIRE_KAFKA_USERNAME", "AUDITWIRE_KAFKA_PASSWORD"]
    missing = [name for name in needed if not env.get(name)]
    if missing:
        raise ConfigurationError(f"not set: {', '.join(missing)}. Set them in the environment (see the README's table)")
    return Settings(
        bootstrap=env["AUDITWIRE_KAFKA_BOOTSTRAP"],
        schema_registry_url=env["AUDITWIRE_SCHEMA_REGISTRY_URL"],
        security_protocol=protocol,
        sasl_mechanism=env.get("AUDITWIRE_KAFKA_SASL_MECHANISM") or "SCRAM-SHA-512",
        username=env.get("AUDITWIRE_KAFKA_USERNAME", ""),
        password=env.get("AUDITWIRE_KAFKA_PASSWORD", ""),
        namespace=env.get("AUDITWIRE_NAMESPACE") or "audit",
        tenant=env.get("AUDITWIRE_TENANT", ""),
    )
