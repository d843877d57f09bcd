"""Rules that change while a processor runs, on real servers: from the command line to each event, back again, and outdated."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

import pipeline.__main__ as command_line
import schemas
from connectors import avro
from connectors.postgres.reference import Revisions
from connectors.series import RULES
from pipeline import settings
from pipeline.reference.publisher import Publisher
from pipeline.stages import RULES_REVISION
from tests.processing import Worker, bodies, cluster, event_frame, ledger, produce, read_all, rows
from tests.references import store
from tests.scrape import scrape, total
from tests.space import Space
from tests.waiting import until

LIVE_SECONDS = 5.0
PARTITION = 0
ONE = "kind: redaction\nname: no-messages\nwhen: event_type = 'tool.invoked'\nfields: [message]\naction: mask\n"
TWO = """\
kind: capture
name: nothing
level: metadata
---
kind: retention_class
name: long
months: 24
---
kind: retention
name: all-long
class: long
"""


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    one = new_space()
    one.provision()
    return one


@pytest.fixture(scope="module")
def publishing(space: Space) -> Iterator[Space]:
    one = Publisher(space.settings(settings.ReferencePublisher), RULES)
    thread = threading.Thread(target=one.run)
    thread.start()
    yield space
    one.stop()
    thread.join()


@pytest.fixture
def shell(publishing: Space, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The environment of somebody who may publish rules, and nothing else."""
    for name in settings.names_of(settings.Rules):
        monkeypatch.setenv(name, publishing.env.get(name, ""))
    return publishing


class Events:
    """Events of one partition and what became of them."""

    def __init__(self, space: Space, first: int) -> None:
        self._space, self._head, self._first, self._sent = space, event_frame(space), first, 0

    def send(self) -> None:
        """One more event."""
        event = rows(1, self._first + self._sent, actor_name="ana")
        produce(self._space, [(PARTITION, self._head + body) for body in bodies(event)])
        self._sent += 1

    def clean(self) -> list[dict[str, Any]]:
        """Those that were sent and are clean, in order."""
        found = [(record.value or b"")[5:] for record in read_all(self._space, "events", PARTITION)]
        listed: list[dict[str, Any]] = avro.decode(found, schemas.schema_text("audit_event")).to_pylist() if found else []
        mine = {row["event_id"] for row in rows(self._sent, self._first)}
        return [event for event in listed if event["event_id"] in mine]

    def newest(self) -> dict[str, Any]:
        """The last one, once all are clean."""
        until(lambda: len(self.clean()) == self._sent, 60)
        return self.clean()[-1]


def publish(folder: Path, text: str, worker: Worker | None = None) -> int:
    """The number of the new revision, once the worker, if any, has heard of it; that takes at most five seconds."""
    folder.mkdir()
    (folder / "rules.yaml").write_text(text, encoding="utf-8")
    assert command_line.main(["rules", "publish", str(folder), "--reason", "a test", "--wait", "60"]) == 0
    values = settings.load(settings.Rules)
    newest = Revisions(values.postgres_dsn.get_secret_value(), values.namespace, RULES).newest()
    assert newest is not None
    if worker is not None:
        until(lambda: heard_by(worker) == newest.revision, LIVE_SECONDS)
    return newest.revision


def counted(worker: Worker, what: str, **labels: str) -> float:
    """A counter of what rules did."""
    return total(scrape(worker.admin), f"auditwire_processor_{what}_total", **labels)


def heard_by(worker: Worker) -> float:
    """Number of the revision that its next batch is under."""
    return total(scrape(worker.admin), "auditwire_processor_reference_revision", series=RULES.name)


@contextmanager
def unreadable(space: Space) -> Iterator[None]:
    """The processor's user may not read the topic of the rules, whatever else allows it."""
    user = f"User:{space.settings(settings.Processor).kafka_username}"
    place = (ResourceType.TOPIC, RULES.topic(space.name), ResourcePatternType.LITERAL)
    admin = AdminClient(cluster(space, "admin").config())
    for done in admin.create_acls([AclBinding(*place, user, "*", AclOperation.ALL, AclPermissionType.DENY)]).values():
        done.result(30)
    try:
        yield
    finally:
        for gone in admin.delete_acls([AclBindingFilter(*place, user, "*", AclOperation.ALL, AclPermissionType.DENY)]).values():
            gone.result(30)


def health(worker: Worker) -> tuple[int, str]:
    """Status and reason of /healthz; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{worker.admin}/healthz", timeout=5) as answer:
            return answer.status, json.loads(answer.read())["reason"]
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())["reason"]
    except OSError:
        return 0, ""


def said(event: dict[str, Any]) -> tuple[str, str, str, list[str]]:
    names = ("message", "processed_retention_class", "processed_rules_revision", "processed_redacted_fields")
    return tuple(event[name] for name in names)


def test_from_the_command_line_to_each_event_and_back_without_a_restart(shell: Space, tmp_path: Path, capsys: Any) -> None:
    events = Events(shell, 1000)
    with unreadable(shell):
        worker = Worker(shell, "a", PROCESSOR_LINGER_MS=5)
        until(lambda: health(worker)[0] == 503 and "events wait for the rules" in health(worker)[1], 60, worker.text)
        events.send()
        until(lambda: "is stopped at" in worker.text(), 60, worker.text)
        assert events.clean() == [], "nothing is processed before it is known which rules hold"
    try:
        assert said(events.newest()) == ("message number 1000", "standard", RULES_REVISION, [])
        assert publish(tmp_path / "one", ONE, worker) == 1
        events.send()
        first = ("[REDACTED:no-messages]", "standard", f"{RULES_REVISION}/1", ["message=rule:no-messages"])
        assert said(events.newest()) == first
        publish(tmp_path / "two", TWO, worker)
        events.send()
        assert said(events.newest()) == ("", "long", f"{RULES_REVISION}/2", ["message=rule:nothing"])
        capsys.readouterr()
        assert command_line.main(["rules", "history", "--revision", "1"]) == 0
        publish(tmp_path / "back", capsys.readouterr().out, worker)
        one, three = store(shell, RULES).get(1), store(shell, RULES).get(3)
        assert one and three and one.document == three.document, "what history prints is what was published"
        events.send()
        assert said(events.newest()) == (*first[:2], f"{RULES_REVISION}/3", first[3])
        assert worker.process.poll() is None, "nobody was started again"
        entries = [entry["rules_revision"] for entry in ledger(shell, PARTITION) if entry["clean"]]
        assert entries[-1] == f"{RULES_REVISION}/3" and set(entries) >= {e["processed_rules_revision"] for e in events.clean()}
        until(lambda: counted(worker, "touched_fields", action="mask", by="rule") == 2, 30)
        assert counted(worker, "captured_events", level="metadata") >= 1  # the audit event of a publication may be one more
        assert counted(worker, "classed_events", **{"class": "long"}) == counted(worker, "captured_events", level="metadata")
    finally:
        worker.kill()


def test_control_without_following_the_topic_a_new_rule_is_not_in_use(shell: Space, tmp_path: Path) -> None:
    events = Events(shell, 2000)
    publish(tmp_path / "before", ONE)
    worker = Worker(shell, "b", ["-m", "tests.faults.worker"], PROCESSOR_LINGER_MS=5, TEST_UNFOLLOWED="1")
    try:
        events.send()
        before = said(events.newest())
        publish(tmp_path / "after", TWO, worker)
        events.send()
        assert said(events.newest()) == before
    finally:
        worker.kill()


def test_without_news_of_the_rules_events_wait_or_keep_no_content_as_the_operator_says(shell: Space, tmp_path: Path) -> None:
    number = publish(tmp_path / "one", ONE + "---\nkind: retention\nname: all\nclass: extended\n")
    events = Events(shell, 3000)
    worker = Worker(shell, "c", PROCESSOR_LINGER_MS=5, PROCESSOR_RULES_MAX_AGE_SECONDS=10)
    try:
        events.send()
        assert events.newest()["processed_rules_revision"] == f"{RULES_REVISION}/{number}"
        with unreadable(shell):
            until(lambda: health(worker)[0] == 503 and "AUDITWIRE_PROCESSOR_RULES_MAX_AGE_SECONDS" in health(worker)[1], 60)
            events.send()
            until(lambda: "is stopped at" in worker.text(), 60, worker.text)
            assert len(events.clean()) == 1
        assert events.newest()["message"] == "[REDACTED:no-messages]"
        until(lambda: health(worker) == (200, ""), 30)
    finally:
        worker.kill()
