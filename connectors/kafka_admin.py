"""Topics and ACLs of `schemas/topics.yaml` on a cluster: created where missing, refused where they contradict it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

import schemas
from connectors.kafka import SILENT, Cluster, ErrorWatch, denied, error_of

Catalogue = dict[str, Any]


class ProvisionError(Exception):
    """The cluster contradicts the catalogue or refuses a change; the text says what to do. Nothing was deleted."""


def catalogue(namespace: str) -> Catalogue:
    """`schemas/topics.yaml` with the namespace put in."""
    parsed: Catalogue = yaml.safe_load(schemas.TOPICS.read_text(encoding="utf-8").replace("{namespace}", namespace))
    return parsed


class KafkaAdmin:
    """Administrative calls as a user who may create topics and ACLs."""

    def __init__(self, cluster: Cluster) -> None:
        self._watch = ErrorWatch(cluster.bootstrap, cluster.username)
        self._user = cluster.username
        self._admin = AdminClient({**cluster.config(error_cb=self._watch), **SILENT})

    def wait(self, seconds: float = 30.0) -> None:
        """Until a broker really answers. Raises ProvisionError with the reason (wrong password, or no answer)."""
        end = time.monotonic() + seconds
        while True:
            try:
                if self._admin.list_topics(timeout=2).brokers:
                    return
            except KafkaException:
                self._admin.poll(0)  # hands the errors of the background to the watch
            if self._watch.refused or time.monotonic() > end:
                raise ProvisionError(self._watch.explain() or "Kafka does not answer: check AUDITWIRE_KAFKA_BOOTSTRAP")

    def topics(self, found: Catalogue, replication: int, min_insync: int) -> list[str]:
        """Create missing topics, align settings of existing ones; returns what was done.

        Raises ProvisionError: replication of 3 or more with min.insync.replicas below 2 would lose acknowledged events with one
        broker; partition counts are fixed, growth is a new generation of topics (another namespace).
        """
        if replication >= 3 and min_insync < 2:
            raise ProvisionError(
                "AUDITWIRE_REPLICATION_FACTOR >= 3 needs AUDITWIRE_MIN_INSYNC_REPLICAS >= 2: else one broker can lose events"
            )
        existing = self._admin.list_topics(timeout=15).topics
        done, missing = [], []
        for name, topic in found["topics"].items():
            partitions = int(topic.get("partitions", found["partitions"]))
            config = {k: str(v) for k, v in topic["config"].items()} | {"min.insync.replicas": str(min_insync)}
            if name in existing:
                have = len(existing[name].partitions)
                if have != partitions:
                    raise ProvisionError(
                        f"topic {name} has {have} partitions, the catalogue says {partitions}: partition counts are fixed"
                    )
                done += self._align(name, config)
            else:
                missing.append(NewTopic(name, partitions, replication, config=config))
        for name, future in self._admin.create_topics(missing).items() if missing else ():
            self._created(future, f"topic {name}")
            done.append(f"topic {name} created with {found['topics'][name].get('partitions', found['partitions'])} partitions")
        self._poll(lambda: set(found["topics"]) <= set(self._admin.list_topics(timeout=5).topics), "topics are not visible")
        return done

    def _align(self, name: str, wanted: dict[str, str]) -> list[str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        have = self._answer(self._admin.describe_configs([resource])[resource])
        wrong = {k: v for k, v in wanted.items() if k not in have or have[k].value != v}
        if not wrong:
            return []
        change = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in wrong.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=change)
        self._answer(self._admin.incremental_alter_configs([resource])[resource])
        return [f"topic {name}: {', '.join(f'{k}={v}' for k, v in sorted(wrong.items()))}"]

    def acls(self, found: Catalogue) -> list[str]:
        """Create missing ACLs and wait until the brokers obey them (they acknowledge before they do); returns what was done."""
        wanted = {str(b): b for b in bindings(found)}
        there = self._existing(wanted.values())
        missing = [b for text, b in wanted.items() if text not in there]
        if missing:
            for future in self._admin.create_acls(missing).values():
                self._created(future, "ACL")
            ignored = "the brokers acknowledged the ACLs but do not apply them"
            self._poll(lambda: set(wanted) <= self._existing(wanted.values()), ignored)
        return [f"{len(missing)} ACLs created"] if missing else []

    def _existing(self, wanted: Iterable[AclBinding]) -> set[str]:
        """The ACLs on the resources of ``wanted``: of all others the cluster may have very many."""
        resources = {(b.restype, b.name, b.resource_pattern_type) for b in wanted}
        asked = [
            self._admin.describe_acls(AclBindingFilter(*one, None, None, AclOperation.ANY, AclPermissionType.ANY))
            for one in resources
        ]
        return {str(b) for future in asked for b in self._answer(future)}

    def delete_topics(self, names: list[str]) -> None:
        """Delete topics; for tests and for tearing a namespace down by hand. Unknown names are ignored."""
        for future in self._admin.delete_topics(names).values():
            try:
                future.result(15)
            except KafkaException as exc:
                error = error_of(exc)
                if error is None or error.name() != "UNKNOWN_TOPIC_OR_PART":
                    raise

    def _answer(self, future: Any) -> Any:
        try:
            return future.result(15)
        except KafkaException as exc:
            raise ProvisionError(self._refusal(exc)) from exc

    def _refusal(self, exc: KafkaException) -> str:
        error = error_of(exc)
        if denied(error, self._user, "Alter", "") is not None:
            return (
                f"Kafka user {self._user} may not administer the cluster ({error.name() if error else exc}): set "
                "AUDITWIRE_ADMIN_KAFKA_USERNAME and _PASSWORD to one who may create topics and ACLs, such as one of super.users"
            )
        return f"Kafka refused an administrative request ({error.str() if error else exc}): look at the brokers' logs"

    def _created(self, future: Any, what: str) -> None:
        try:
            future.result(30)
        except KafkaException as exc:
            error = error_of(exc)
            if error is not None and error.name() == "TOPIC_ALREADY_EXISTS":
                return
            raise ProvisionError(f"{what} could not be created: {self._refusal(exc)}") from exc

    @staticmethod
    def _poll(holds: Any, otherwise: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise ProvisionError(f"{otherwise} after {seconds:.0f} s: look at the brokers' logs")
            time.sleep(0.05)


def bindings(found: Catalogue) -> Iterator[AclBinding]:
    """The ACLs that the catalogue asks for: least rights per part."""
    for name, topic in found["topics"].items():
        for part in topic["writers"]:
            yield from _allow(ResourceType.TOPIC, name, part, AclOperation.WRITE, AclOperation.DESCRIBE)
        for part in topic["readers"]:
            yield from _allow(ResourceType.TOPIC, name, part, AclOperation.READ, AclOperation.DESCRIBE)
        for part in topic.get("deleters", ()):
            yield from _allow(ResourceType.TOPIC, name, part, AclOperation.DELETE)
        for part in topic.get("describers", ()):
            yield from _allow(ResourceType.TOPIC, name, part, AclOperation.DESCRIBE)
        for part in topic.get("config_describers", ()):
            yield from _allow(ResourceType.TOPIC, name, part, AclOperation.DESCRIBE_CONFIGS)
    for group, users in found["groups"].items():
        yield from _allow(ResourceType.GROUP, group, users["member"], AclOperation.READ, AclOperation.DESCRIBE)
        for part in users["describe"]:
            yield from _allow(ResourceType.GROUP, group, part, AclOperation.DESCRIBE)
    for prefix, part in found["transactional_ids"].items():
        for operation in (AclOperation.WRITE, AclOperation.DESCRIBE):
            yield _binding(ResourceType.TRANSACTIONAL_ID, prefix, ResourcePatternType.PREFIXED, part, operation)


def _allow(kind: ResourceType, name: str, part: str, *operations: AclOperation) -> Iterator[AclBinding]:
    for operation in operations:
        yield _binding(kind, name, ResourcePatternType.LITERAL, part, operation)


def _binding(kind: ResourceType, name: str, pattern: ResourcePatternType, part: str, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{part}", "*", operation, AclPermissionType.ALLOW)
