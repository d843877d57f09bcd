"""Reference data and rules side by side: other people, other rights, other numbers, one publisher that neither holds up."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka import cluster_of
from connectors.reference_publish import ReferenceWriter
from connectors.series import REFERENCE, RULES, SERIES, Series
from pipeline import metrics, migrate, settings
from pipeline.reference.compare import changes
from pipeline.reference.publisher import Publisher, Publishers
from pipeline.reference.revisions_command import Command
from tests.references import apply, cluster, document, held, reader, store, worker
from tests.space import Space
from tests.waiting import until

OTHER = {REFERENCE: RULES, RULES: REFERENCE}
names = pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)


@contextlib.contextmanager
def running(part: Publisher | Publishers) -> Iterator[None]:
    """In a thread."""
    thread = threading.Thread(target=part.run)
    thread.start()
    try:
        yield
    finally:
        part.stop()
        thread.join()


@contextlib.contextmanager
def publishers(space: Space) -> Iterator[Publishers]:
    """The part."""
    both = Publishers(space.settings(settings.ReferencePublisher))
    with running(both):
        yield both


def published(space: Space, series: Series, number: int) -> bool:
    found = store(space, series).get(number)
    return found is not None and found.published_at is not None


def waiting(series: Series) -> float:
    return float(metrics.REFERENCE_WAITING.labels(series.name)._value.get())


def fenced() -> float:
    return sum(float(metrics.REFERENCE_FENCED.labels(series.name)._value.get()) for series in SERIES)


def test_one_part_publishes_both_each_with_numbers_of_its_own(provisioned: Space) -> None:
    before = fenced()
    with publishers(provisioned) as part, reader(provisioned, REFERENCE) as data, reader(provisioned, RULES) as rules:
        apply(provisioned, "demo")
        apply(provisioned, "demo", series=RULES)
        apply(provisioned, "acme", series=RULES)
        until(lambda: (data.current()[0], rules.current()[0]) == ("1", "2"), otherwise="both are live")
        assert (data.current()[1], rules.current()[1]) == (document("demo"), document("acme"))
        until(lambda: part.healthy() is None, otherwise="the part is well")
    assert held(provisioned, REFERENCE).events == {"1": 1}
    assert held(provisioned, RULES).events == {"1": 1, "2": 1}
    assert fenced() == before, "they get into each other's way"


def test_control_with_one_transactional_id_for_both_they_fence_each_other(provisioned: Space) -> None:
    values, before = provisioned.settings(settings.ReferencePublisher), fenced()
    with running(Publisher(values, REFERENCE)), running(Publisher(values, dataclasses.replace(RULES, id_suffix=""))):
        for n in range(1, 4):
            for series in SERIES:
                apply(provisioned, f"t{n}", series=series)
                until(lambda s=series, n=n: published(provisioned, s, n), 60, "it is published")  # type: ignore[misc]
    assert fenced() > before


@names
def test_one_that_contradicts_its_topic_holds_up_no_other(provisioned: Space, series: Series) -> None:
    values, other = provisioned.settings(settings.ReferencePublisher), OTHER[series]
    writer = ReferenceWriter(cluster_of(dict(values)), values.schema_registry_url, provisioned.name, series)
    for tenant in ("demo", "acme"):
        writer.publish(apply(provisioned, tenant, series=series), None)
    writer.close()
    with psycopg.connect(provisioned.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as owner:  # an older backup
        for table in (series.outbox, series.revisions):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER; DELETE FROM {table} WHERE revision = 2".encode())
    with publishers(provisioned) as part:
        until(lambda: "holds a revision 2 that PostgreSQL" in (part.healthy() or ""), otherwise="it says what is wrong")
        apply(provisioned, "demo", series=other)
        until(lambda: published(provisioned, other, 1), 5, "the other series goes on")
        said = part.healthy() or ""
        assert said.startswith(f"{series.name}: topic {series.topic(provisioned.name)} holds")
        assert f"{other.name}: " not in said
        assert not published(provisioned, series, 1)
        assert (waiting(series), waiting(other)) == (1, 0)
        _delete(provisioned, series.topic(provisioned.name))
        until(lambda: published(provisioned, series, 1), 60, "the topic was made anew: it goes on without a restart")
        until(lambda: part.healthy() is None, otherwise="the part is well")


def _delete(space: Space, topic: str) -> None:
    admin = AdminClient(cluster(space).config())
    admin.delete_topics([topic])[topic].result(15)
    until(lambda: topic not in admin.list_topics(timeout=5).topics, otherwise="the topic is gone")
    migrate.provision(space.settings(settings.Migrate))


@names
def test_one_that_hangs_in_the_database_holds_up_no_other(provisioned: Space, series: Series) -> None:
    other = OTHER[series]
    apply(provisioned, "demo", series=series)
    with psycopg.connect(provisioned.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as owner:
        owner.execute(f"LOCK TABLE {series.revisions} IN ACCESS EXCLUSIVE MODE".encode())
        with publishers(provisioned):
            apply(provisioned, "demo", series=other)
            until(lambda: published(provisioned, other, 1), 10, "the other series goes on")
            marked = owner.execute(f"SELECT count(published_at) FROM {series.outbox}".encode()).fetchone()
            assert marked == (0,), "the lock held nothing up: this test shows nothing"
            owner.rollback()
            until(lambda: published(provisioned, series, 1), 60, "it goes on as soon as it can")


def test_a_publisher_of_rules_that_is_killed_before_it_marks_publishes_nothing_twice(provisioned: Space) -> None:
    apply(provisioned, "demo", series=RULES)
    with worker(provisioned, "committed", series=RULES) as process:
        assert process.wait(60) == -signal.SIGKILL
    with worker(provisioned, series=RULES):
        until(lambda: published(provisioned, RULES, 1), otherwise="it is published")
    found = held(provisioned, RULES)
    assert (found.revisions, found.pointers, found.events) == (["revision/1"], [1], {"1": 1})


def test_an_error_that_nobody_foresaw_is_said_and_ends_nothing(provisioned: Space) -> None:
    bugs = iter([ZeroDivisionError("hunter2")])

    def points(name: str) -> None:
        if name == "pointed" and (bug := next(bugs, None)) is not None:
            raise bug

    one, said = Publisher(provisioned.settings(settings.ReferencePublisher), RULES, points=points), set[str | None]()

    def done() -> bool:
        said.add(one.healthy())
        return published(provisioned, RULES, 1)

    apply(provisioned, "demo", series=RULES)
    with running(one):
        until(done, 60, "it has begun anew")
    assert "publishing failed with ZeroDivisionError: report it as a bug" in said
    found = held(provisioned, RULES)
    assert (found.revisions, found.events) == (["revision/1"], {"1": 1})


def refused(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement.encode())


@names
def test_whoever_adds_to_one_series_gets_at_nothing_of_the_other(provisioned: Space, series: Series) -> None:
    for each in SERIES:
        apply(provisioned, "demo", series=each)
    dsn, other = provisioned.env[f"AUDITWIRE_{series.name.upper()}_POSTGRES_DSN"], OTHER[series]
    columns = "(namespace, revision, applied_by, reason, sha256, document) VALUES ('x', 1, 'p', 'r', '', '')"
    refused(
        dsn,
        *(f"SELECT * FROM {table}" for table in (other.revisions, other.outbox)),
        f"INSERT INTO {other.revisions} {columns}",
        f"INSERT INTO {other.outbox} (namespace, revision) VALUES ('x', 1)",
        *(f"DELETE FROM {s.revisions}" for s in SERIES),
        *(f"UPDATE {s.revisions} SET reason = 'x'" for s in SERIES),
        *(f"UPDATE {s.outbox} SET published_at = now()" for s in SERIES),
        *("SELECT * FROM extract_jobs", "SELECT * FROM producer_statements"),
    )
    assert [r.revision for r in store(provisioned, series).history(9)] == [1], "its own it reads"


def test_the_publisher_reads_and_marks_rules_and_the_owner_changes_none(provisioned: Space) -> None:
    apply(provisioned, "demo", series=RULES)
    refused(
        provisioned.env["AUDITWIRE_REFERENCE_PUBLISHER_POSTGRES_DSN"],
        "INSERT INTO rules_outbox (namespace, revision) VALUES ('x', 1)",
        "UPDATE rules_outbox SET queued_at = now()",
        "UPDATE rules_revisions SET reason = 'x'",
        "DELETE FROM rules_outbox",
    )
    with psycopg.connect(provisioned.env["AUDITWIRE_ADMIN_POSTGRES_DSN"], autocommit=True) as owner:
        for wrong in (
            b"UPDATE rules_revisions SET reason = 'x'",
            b"DELETE FROM rules_revisions",
            b"TRUNCATE rules_revisions CASCADE",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="never changed: publish another one"):
                owner.execute(wrong)


def test_a_command_of_the_rules_says_publish(provisioned: Space, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `auditwired reference` does, with another series, another reader of folders and its words."""
    shared = Command(
        RULES,
        read=lambda folder: (document(*sorted(p.stem for p in folder.iterdir())), []),
        changes=changes,
        text_of=lambda text, heading: f"# {heading}\n{text}\n",
        store=lambda: store(provisioned, RULES),
    )
    top = argparse.ArgumentParser()
    shared.add_arguments(top.add_subparsers(dest="action"))

    def rules(*words: object) -> int:
        return shared.run(top.parse_args([str(word) for word in words]))

    (tmp_path / "demo").touch()
    with publishers(provisioned):
        assert rules("publish", tmp_path, "--reason", "the first", "--by", "ana@example.com", "--wait", 60) == 0
    said = capsys.readouterr().out
    assert "+ tenant demo\nrevision 1 is stored" in said
    assert "revision 1 is published: processors use it from their next batch on" in said
    (tmp_path / "acme").touch()
    assert rules("diff", tmp_path) == 1
    assert "+ tenant acme\n1 difference from revision 1" in capsys.readouterr().out
    assert rules("publish", tmp_path, "--reason", "r", "--expect", 4) == 1
    assert "auditwired rules: revision 1 is the newest, not 4" in (err := capsys.readouterr().err)
    assert "then publish again" in err
    assert rules("history", "--revision", 1) == 0
    assert capsys.readouterr().out.startswith("# Revision 1, published 20")
    assert store(provisioned).newest() is None, "nothing went to the other series"
