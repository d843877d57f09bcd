"""The publisher on real servers: every revision once and in order, whatever dies; each safety switched off shows its harm."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka import cluster_of
from connectors.postgres.reference import Revision
from connectors.reference_publish import KEPT, PublishError, ReferenceWriter
from connectors.reference_topic import ReferenceTopicError
from connectors.series import REFERENCE
from infra.stack.server import base_environment
from pipeline import migrate, settings
from pipeline.reference import publisher
from pipeline.reference.check import DOCUMENT_BYTES
from pipeline.reference.model import canonical
from pipeline.reference.publisher import Publisher, audit_event
from tests.references import apply, cluster, document, held, reader, store, worker
from tests.space import Space
from tests.waiting import until

POINTS = ("read", "begun", "produced", "pointed", "committed", "marked")


def writer(space: Space, transactional: bool = True) -> ReferenceWriter:
    values = space.settings(settings.ReferencePublisher)
    place = (cluster_of(dict(values)), values.schema_registry_url, space.name)
    return ReferenceWriter(*place, REFERENCE, transactional=transactional)


def published(space: Space, number: int) -> bool:
    found = store(space).get(number)
    return found is not None and found.published_at is not None


def killed(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(60) == -signal.SIGKILL


def test_killed_at_every_point_it_publishes_each_revision_and_its_event_once(provisioned: Space) -> None:
    apply(provisioned, "demo")
    for n, point in enumerate(POINTS):
        apply(provisioned, "demo", f"t{n}")
        with worker(provisioned, point) as process:
            killed(process)
    newest = len(POINTS) + 1
    with worker(provisioned):
        until(lambda: published(provisioned, newest), otherwise="the last revision is published")
    found = held(provisioned)
    numbers = [str(n + 1) for n in range(newest)]
    assert found.revisions == [f"revision/{n}" for n in numbers]
    assert found.pointers == [int(n) for n in numbers]
    assert found.events == dict.fromkeys(numbers, 1)


@pytest.mark.parametrize(("off", "point"), [("transactional", "produced"), ("look_first", "committed")])
def test_control_without_a_transaction_or_without_looking_first_something_is_there_twice(
    provisioned: Space, off: str, point: str
) -> None:
    apply(provisioned, "demo")
    with worker(provisioned, point, 1, off) as process:
        killed(process)
    with worker(provisioned, "never", 1, off):
        until(lambda: published(provisioned, 1), otherwise="the revision is published")
    found = held(provisioned)
    assert (found.revisions, found.events) == (["revision/1"] * 2, {"1": 2})


def _overtaken(space: Space, transactional: bool) -> list[int]:
    """A writer that stood still before its commit goes on after another one has published more; the pointers then."""
    first, second = apply(space, "demo"), apply(space, "demo", "acme")
    late = writer(space, transactional=transactional)
    quick = writer(space, transactional=transactional)
    for revision in (first, second):
        quick.publish(revision, None)
    try:
        late.publish(first, None)
    except PublishError as exc:
        assert exc.fenced
    else:
        assert not transactional
    late.close()
    quick.close()
    return held(space).pointers


def test_a_publisher_that_was_overtaken_cannot_move_the_pointer_back(provisioned: Space) -> None:
    assert _overtaken(provisioned, transactional=True) == [1, 2]


def test_control_without_the_shared_transactional_id_the_pointer_goes_back(provisioned: Space) -> None:
    assert _overtaken(provisioned, transactional=False) == [1, 2, 1]


def test_two_publishers_one_works_and_the_other_takes_over(provisioned: Space) -> None:
    with worker(provisioned) as one:
        apply(provisioned, "demo")
        until(lambda: published(provisioned, 1), otherwise="the first publishes")
        with worker(provisioned) as two, reader(provisioned) as live:
            live.wait_loaded()
            for n in range(5):
                apply(provisioned, "demo", f"a{n}")
            until(lambda: live.current()[0] == "6", otherwise="both run, the newest is live")
            os.kill(one.pid, signal.SIGKILL)
            apply(provisioned, "demo", "last")
            until(lambda: live.current()[0] == "7", otherwise="the other one has taken over")
            assert two.poll() is None
    found = held(provisioned)
    assert found.pointers == [1, 2, 3, 4, 5, 6, 7]
    assert found.events == {str(n): 1 for n in range(1, 8)}


def test_the_part_says_how_it_is_and_wakes_up_at_once(provisioned: Space) -> None:
    env = provisioned.part_env("reference-publisher")
    admin = f"http://{env['AUDITWIRE_ADMIN_LISTEN']}"
    argv = [sys.executable, "-m", "pipeline", "reference-publisher"]
    process = subprocess.Popen(argv, env={**base_environment(), **env}, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _healthy(admin), otherwise="the part is healthy")
        with reader(provisioned) as live:
            live.wait_loaded()
            assert live.current() == ("", "")
            for n in range(1, 4):
                begun = time.monotonic()
                apply(provisioned, *(f"t{i}" for i in range(n)))
                until(lambda n=n: live.current()[0] == str(n), 20, "the revision is live")  # type: ignore[misc]
                assert time.monotonic() - begun < 5
        metrics = urllib.request.urlopen(f"{admin}/metrics").read().decode()
        assert 'auditwire_reference_revision{series="reference"} 3.0' in metrics
        assert 'auditwire_reference_published_total{series="reference"} 3.0' in metrics
        assert 'auditwire_reference_waiting{series="reference"} 0.0' in metrics
    finally:
        process.terminate()
        code = process.wait(30)
    assert code == 0


def _healthy(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{admin}/healthz") as answer:
            return bool(json.load(answer)["healthy"])
    except OSError:
        return False


def run(space: Space) -> tuple[Publisher, Callable[[], None]]:
    """A publisher in a thread; call what comes with it to end it."""
    one = Publisher(space.settings(settings.ReferencePublisher), REFERENCE)
    thread = threading.Thread(target=one.run)
    thread.start()

    def end() -> None:
        one.stop()
        thread.join()

    return one, end


def test_kafka_forgets_old_documents_and_keeps_the_newest(provisioned: Space) -> None:
    one = writer(provisioned)
    for n in range(KEPT + 3):
        one.publish(apply(provisioned, f"t{n}"), None)
    one.close()
    again = writer(provisioned)
    assert again.position == KEPT + 3
    again.close()
    with reader(provisioned) as live:
        live.wait_loaded()
        assert live.current() == (str(KEPT + 3), document(f"t{KEPT + 2}"))


def test_the_largest_document_that_check_lets_through_goes_through_kafka(provisioned: Space) -> None:
    dice = random.Random(1)
    tools = [{"name": f"t{n}", "definitions": {"1": dice.randbytes(100).hex()}} for n in range(DOCUMENT_BYTES // 250)]
    text = canonical({"tool": tools})
    assert 0.9 * DOCUMENT_BYTES < len(text.encode()) <= DOCUMENT_BYTES
    revision, _ = store(provisioned).apply(text, "ana@example.com", "x" * 2000)
    one = writer(provisioned)
    one.publish(revision, audit_event(revision, provisioned.name, REFERENCE))
    one.close()
    with reader(provisioned) as live:
        live.wait_loaded()
        assert live.current() == ("1", text)


@pytest.mark.parametrize("running", [True, False], ids=["while it rests", "while it is down"])
def test_a_revision_that_kafka_lost_is_published_again_without_a_second_event(
    provisioned: Space, running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "POLL_SECONDS", 1.0)
    _, end = run(provisioned)
    apply(provisioned, "demo")
    until(lambda: published(provisioned, 1), otherwise="it is published")
    if not running:
        end()
    topic = f"{provisioned.name}.reference"
    admin = AdminClient(cluster(provisioned).config())
    admin.delete_topics([topic])[topic].result(15)
    until(lambda: topic not in admin.list_topics(timeout=5).topics, otherwise="the topic is gone")
    migrate.provision(provisioned.settings(settings.Migrate))
    if not running:
        _, end = run(provisioned)
    try:
        until(lambda: held(provisioned).pointers == [1], otherwise="it is there again")
    finally:
        end()
    assert held(provisioned).events == {"1": 1}


@pytest.mark.parametrize("older", [True, False], ids=["the revision is gone", "the number has another content"])
def test_a_database_from_an_older_backup_is_refused_in_words(provisioned: Space, older: bool) -> None:
    apply(provisioned, "demo")
    other = Revision(**{**vars(apply(provisioned, "acme")), "sha256": "0" * 64})
    one = writer(provisioned)
    one.publish(other if not older else Revision(**{**vars(other), "revision": 3}), None)
    one.close()
    refusing, end = run(provisioned)
    want = "holds a revision 3 that PostgreSQL does not have" if older else "holds a revision 2 that PostgreSQL has otherwise"
    until(lambda: want in (refusing.healthy() or ""), otherwise=f"it says: {want}")
    end()
    assert not published(provisioned, 1)


def test_readers_see_a_revision_only_with_its_pointer(provisioned: Space) -> None:
    """The document of revision 2 without its pointer, as a publisher without transactions leaves it when it dies there."""
    one = writer(provisioned)
    one.publish(apply(provisioned, "demo"), None)
    one.close()
    apply(provisioned, "demo", "acme")
    with reader(provisioned) as live:
        live.wait_loaded()
        with worker(provisioned, "produced", 1, "transactional") as process:
            killed(process)
        assert held(provisioned).revisions == ["revision/1", "revision/2"]
        assert live.current() == ("1", document("demo"))
        with worker(provisioned):
            until(lambda: live.current()[0] == "2", otherwise="the whole revision is live")
        assert live.current() == ("2", document("acme", "demo"))


def test_a_reader_waits_for_the_topic_and_says_so(namespace: Space) -> None:
    with reader(namespace) as live, pytest.raises(ReferenceTopicError, match=r"run `auditwired migrate`|does not answer"):
        live.wait_loaded(3)


def test_a_reader_goes_on_after_its_topic_was_made_anew(provisioned: Space) -> None:
    topic = f"{provisioned.name}.reference"
    one = writer(provisioned)
    one.publish(apply(provisioned, "demo"), None)
    one.close()
    with reader(provisioned) as live:
        live.wait_loaded()
        admin = AdminClient(cluster(provisioned).config())
        admin.delete_topics([topic])[topic].result(15)
        until(lambda: topic not in admin.list_topics(timeout=5).topics, otherwise="the topic is gone")
        assert live.current()[0] == "1"
        migrate.provision(provisioned.settings(settings.Migrate))
        until(lambda: "made anew and holds nothing" in (live.problem() or ""), 30, "the reader has found the empty topic")
        until(lambda: live.age() > 5, 30, "reading in vain is no news")
        assert live.current() == ("1", document("demo")), "an event must not fall back to no reference data"
        one = writer(provisioned)
        for n in range(3):
            one.publish(apply(provisioned, f"t{n}"), None)
        one.close()
        until(lambda: live.current()[0] == "4", otherwise="the reader has found the new topic")


def test_the_publishers_user_has_no_further_rights(provisioned: Space) -> None:
    values = provisioned.settings(settings.ReferencePublisher)
    with psycopg.connect(values.postgres_dsn.get_secret_value(), autocommit=True) as db:
        for wrong in (
            "INSERT INTO reference_outbox (namespace, revision) VALUES ('x', 1)",
            "UPDATE reference_outbox SET queued_at = now()",
            "UPDATE reference_revisions SET reason = 'x'",
            "DELETE FROM reference_outbox",
            "SELECT * FROM extract_jobs",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(wrong)


def test_the_event_is_a_function_of_the_revision(provisioned: Space) -> None:
    revision = apply(provisioned, "demo")
    assert audit_event(revision, provisioned.name, REFERENCE) == audit_event(
        store(provisioned).history(1)[0], provisioned.name, REFERENCE
    )
    assert audit_event(revision, "other", REFERENCE) != audit_event(revision, provisioned.name, REFERENCE)
