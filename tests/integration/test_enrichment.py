"""Reference data that change while processors run, on real servers: from PostgreSQL to the events of every processor."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType

import schemas
from connectors import avro
from connectors.postgres.reference import Revisions
from connectors.series import REFERENCE
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from pipeline import settings
from pipeline.reference.model import canonical
from tests.processing import PARTITIONS, Worker, bodies, cluster, event_frame, produce, read_all, rows
from tests.references import reader
from tests.space import Space
from tests.waiting import until

LIVE_SECONDS = 5.0


def document(risk: str, **tenant: str) -> str:
    tool = {
        "name": "run_sql",
        "owner": "data@example.com",
        "risk_tier": risk,
        "category": "read",
        "definitions": {"1": "sha256:aa"},
    }
    return canonical({"tool": [tool], "tenant": [{"id": f"tenant-{n}", "region": "eu", **tenant} for n in range(3)]})


def applied(space: Space, text: str) -> str:
    """Apply a document; the number of its revision."""
    dsn = space.settings(settings.Reference).postgres_dsn.get_secret_value()
    return str(Revisions(dsn, space.name, REFERENCE).apply(text, "ana@example.com", "a test")[0].revision)


@pytest.fixture
def publishing(provisioned: Space) -> Iterator[Space]:
    """A namespace with a running publisher."""
    env = {**base_environment(), **provisioned.part_env("reference-publisher")}
    process = subprocess.Popen([sys.executable, "-m", "pipeline", "reference-publisher"], env=env, cwd=CHECKOUT)
    yield provisioned
    process.terminate()
    process.wait(30)


class Calls:
    """Calls of one tool, sent to every partition, and the clean events they became."""

    def __init__(self, space: Space) -> None:
        self.space, self._head, self._sent = space, event_frame(space), 0

    def send(self) -> None:
        for partition in range(PARTITIONS):
            call = rows(1, self._sent, tool_name="run_sql", tool_version="1", tool_definition_digest="sha256:bb")
            produce(self.space, [(partition, self._head + body) for body in bodies(call)])
            self._sent += 1

    def clean(self, partition: int) -> list[dict[str, Any]]:
        found = [(record.value or b"")[5:] for record in read_all(self.space, "events", partition)]
        listed: list[dict[str, Any]] = avro.decode(found, schemas.schema_text("audit_event")).to_pylist() if found else []
        return [event for event in listed if event["tool_name"]]  # applying reference data is an event too

    def newest(self) -> list[dict[str, Any]]:
        """The last clean event of each partition, once all that was sent is clean."""
        wanted = self._sent // PARTITIONS
        until(lambda: all(len(self.clean(p)) == wanted for p in range(PARTITIONS)), 60)
        return [self.clean(p)[-1] for p in range(PARTITIONS)]


def seen_by(worker: Worker) -> float:
    """Number of the revision in use."""
    return _metric(worker, "processor_reference_revision")


def _metric(worker: Worker, name: str) -> float:
    """As the worker's metrics say; -1 while they do not."""
    try:
        with urllib.request.urlopen(f"http://{worker.admin}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return -1
    return float(
        next((line.rpartition(" ")[2] for line in lines if line.partition(" ")[0].partition("{")[0] == f"auditwire_{name}"), -1)
    )


def health(worker: Worker) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{worker.admin}/healthz", timeout=5) as answer:
            return answer.status, json.loads(answer.read())["reason"]
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())["reason"]
    except OSError:
        return 0, ""


def changed_while_they_run(space: Space, names: str = "ab", **env: str) -> list[dict[str, Any]]:
    """The newest event of each partition, sent five seconds after the second revision was applied."""
    calls = Calls(space)
    applied(space, document("low"))
    with reader(space) as topic:
        until(lambda: topic.current()[0] == "1", 60)
    workers = [Worker(space, name, ["-m", "tests.faults.worker"], PROCESSOR_LINGER_MS=5, **env) for name in names]
    try:
        until(lambda: all(_metric(w, "partitions_owned") == PARTITIONS / len(names) for w in workers), 90)
        calls.send()
        assert {e["processed_reference_revision"] for e in calls.newest()} == {"1"}
        applied(space, document("critical"))
        time.sleep(LIVE_SECONDS)  # the promise itself, not a wait for something
        calls.send()
        found = calls.newest()
        assert [worker.process.poll() for worker in workers] == [None] * len(names), "nobody was started again"
        return found
    finally:
        for worker in workers:
            worker.kill()


def test_a_change_reaches_the_events_of_all_processors_within_five_seconds(publishing: Space) -> None:
    for event in changed_while_they_run(publishing):
        assert (event["processed_reference_revision"], event["processed_tool_risk"]) == ("2", "critical")
        assert event["processed_flags"] == ["tool_definition_differs=sha256:aa"]
        assert (event["tool_category"], event["processed_owners"]) == ("read", ["tool:data@example.com"])
        assert (event["processed_tenant_region"], event["processed_retention_class"]) == ("eu", "standard")


def test_without_following_the_topic_the_same_test_is_red(publishing: Space) -> None:
    assert {e["processed_tool_risk"] for e in changed_while_they_run(publishing, "a", TEST_UNFOLLOWED="1")} == {"low"}


def test_a_retention_class_that_the_processor_lacks_stops_it_with_an_alarm_until_it_is_taken_back(publishing: Space) -> None:
    calls = Calls(publishing)
    worker = Worker(publishing, "c", PROCESSOR_LINGER_MS=5)
    try:
        calls.send()
        calls.newest()
        applied(publishing, document("low", retention_class="eternal"))
        until(lambda: _sent_until(calls, lambda: health(worker)[0] == 503), 60, worker.text)
        assert "AUDITWIRE_RETENTION_CLASSES" in health(worker)[1] and "eternal" in health(worker)[1]
        applied(publishing, document("high", retention_class="extended"))
        events = calls.newest()
        assert {(e["processed_retention_class"], e["processed_tool_risk"]) for e in events} == {("extended", "high")}
        assert health(worker) == (200, "") and seen_by(worker) == 2
    finally:
        worker.kill()


def _sent_until(calls: Calls, true: Callable[[], bool]) -> bool:
    """A batch is what takes a revision up, so send until it shows."""
    if not true():
        calls.send()
    return true()


def test_events_wait_for_reference_data_that_cannot_be_read_yet(provisioned: Space) -> None:
    acl = _refused(provisioned)
    admin = AdminClient(cluster(provisioned, "admin").config())
    for done in admin.create_acls([acl]).values():
        done.result(30)
    calls = Calls(provisioned)
    worker = Worker(provisioned, "d", PROCESSOR_LINGER_MS=5)
    try:
        calls.send()
        until(lambda: health(worker)[0] == 503 and "reference" in health(worker)[1], 60, worker.text)
        until(lambda: "is stopped at" in worker.text(), 60, worker.text)
        assert [calls.clean(p) for p in range(PARTITIONS)] == [[]] * PARTITIONS
        _allow(admin, acl)
        assert {e["processed_reference_revision"] for e in calls.newest()} == {""}
        until(lambda: health(worker) == (200, ""), 30)
    finally:
        worker.kill()


def test_processing_goes_on_with_the_last_revision_while_the_topic_cannot_be_read(publishing: Space) -> None:
    applied(publishing, document("high"))
    calls, acl = Calls(publishing), _refused(publishing)
    worker = Worker(publishing, "e", PROCESSOR_LINGER_MS=5)
    admin = AdminClient(cluster(publishing, "admin").config())
    try:
        until(lambda: _sent_until(calls, lambda: health(worker)[0] == 200 and seen_by(worker) == 1), 60, worker.text)
        for done in admin.create_acls([acl]).values():
            done.result(30)
        until(lambda: _age(worker) > 8, 60, worker.text)
        calls.send()
        assert {e["processed_reference_revision"] for e in calls.newest()} == {"1"}
        _allow(admin, acl)
        number = applied(publishing, document("low"))
        until(lambda: _sent_until(calls, lambda: seen_by(worker) == int(number)), 60, worker.text)
        assert _age(worker) < 12
    finally:
        worker.kill()


def _age(worker: Worker) -> float:
    return _metric(worker, "processor_reference_age_seconds")


def _refused(space: Space) -> AclBinding:
    """A rule that keeps the processor from the topic, whatever else allows it."""
    user = f"User:{space.settings(settings.Processor).kafka_username}"
    place = (ResourceType.TOPIC, f"{space.name}.reference", ResourcePatternType.LITERAL)
    return AclBinding(*place, user, "*", AclOperation.ALL, AclPermissionType.DENY)


def _allow(admin: AdminClient, acl: AclBinding) -> None:
    from confluent_kafka.admin import AclBindingFilter

    place = (acl.restype, acl.name, acl.resource_pattern_type)
    rule = AclBindingFilter(*place, acl.principal, "*", AclOperation.ALL, AclPermissionType.DENY)
    for done in admin.delete_acls([rule]).values():
        done.result(30)
