"""`auditwired retention` on real servers: what a plan says goes, the rest stays, and fsck counts with the certificates.

One namespace, and the tests go through the life of its two classes in order.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from connectors.clickhouse.client import ClickHouseError
from connectors.deletions import CERTIFICATE, INTENT, Place, objects_of
from connectors.kafka import cluster_of
from connectors.kafka_trim import delete_before
from connectors.s3 import Exists, Refused, Version
from pipeline import retention, settings
from pipeline.export.deleted import touching
from pipeline.export.queries import Query
from pipeline.fsck.check import Checker, Control, Scope
from pipeline.retention.certificate import CertificateError, Deletion, PublicKeys, SigningKey
from pipeline.retention.deleted import load
from pipeline.retention.extend import extend
from pipeline.retention.lengths import End, Unit, begin_of, later
from pipeline.retention.runner import DELETED, Runner, Safety
from pipeline.retention.servers import RetentionError, look
from tests import archive_bucket
from tests import retention_world as world
from tests.fsck_world import AccountedTopic, looked, query
from tests.rebuilding import lose_events, lose_object, rebuild
from tests.sinks import clickhouse
from tests.space import Space

PARTITIONS = (0, 1)


@pytest.fixture(scope="module")
def filled(new_space: Callable[[], Space]) -> AccountedTopic:
    topic = world.filled(new_space())
    world.rules(topic.space, short=1, standard=6)
    return topic


@pytest.fixture(scope="module")
def before(filled: AccountedTopic) -> world.Contents:
    return world.contents(filled)


def kinds(space: Space, control: Control | None = None) -> set[str]:
    return {kind for kind, _ in looked(space, control)}


def command(space: Space, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    for name, value in space.env.items():
        monkeypatch.setenv(name, value)
    parser = argparse.ArgumentParser()
    retention.add_arguments(parser)
    return retention.run(parser.parse_args(arguments))


def test_a_plan_says_of_each_class_what_becomes_of_it(filled: AccountedTopic, before: world.Contents) -> None:
    found = {line.unit.retention_class: line for line in world.planned(filled.space, world.after(1)).lines}
    assert {name: line.state for name, line in found.items()} == {"": "kept for ever", "short": "due", "standard": "kept"}
    assert {name: line.events for name, line in found.items()} == {n: len(keys) for n, keys in before.clickhouse.items()}
    assert (found["short"].why, found["short"].end and found["short"].end.at) == ("1 month by revision 1", world.after(1))
    early = world.planned(filled.space, world.after(1) - timedelta(seconds=1))
    assert not early.due


@contextmanager
def held(space: Space, one: Version) -> Iterator[None]:
    """A legal hold is on an object."""
    client, place = world.admin(space), {"Bucket": space.env["AUDITWIRE_S3_BUCKET"], "Key": one.key, "VersionId": one.version}
    client.put_object_legal_hold(**place, LegalHold={"Status": "ON"})
    try:
        yield
    finally:
        client.put_object_legal_hold(**place, LegalHold={"Status": "OFF"})
        client.close()


@contextmanager
def stuck(space: Space, retention_class: str) -> Iterator[None]:
    """It was decided to delete a class and month, and its events are not those that were decided on."""
    own, key = SigningKey(space.env["AUDITWIRE_RETENTION_SIGNING_KEY"]), Place(retention_class, world.month(), INTENT).key
    end, at = End(world.after(1), 1, 1, "0" * 64), world.after(1)
    intent = Deletion(space.name, world.unit(retention_class), end, (), (), world.BY, world.WHY, "0" * 16, at)
    archive_bucket.bucket(space).create(key, own.signed(intent))
    try:
        yield
    finally:
        world.forget(space, key)


def test_a_lock_and_a_hold_keep_it(filled: AccountedTopic) -> None:
    space, now = filled.space, world.after(1)
    bucket, client = archive_bucket.bucket(space, "operator"), world.admin(space)
    one = next(v for v in bucket.versions(objects_of("short", world.month())))
    place = {"Bucket": bucket.name, "Key": one.key, "VersionId": one.version}
    late = now + timedelta(days=1)
    with world.servers(space) as opened:
        before = look(opened, now)
        client.put_object_retention(**place, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": late})
        with held(space, one):
            (line,) = [line for line in look(opened, now).lines if line.unit.retention_class == "short"]
            assert line.state == "blocked" and "locked" in line.blocked[0] and "legal hold" in line.blocked[1]
            assert world.deleted(space, now) == 0
            with pytest.raises(RetentionError, match=r"short.*legal hold"):
                Runner(opened, lambda: now).run(before, world.BY, world.WHY)
        assert not opened.deletions().begun, "what was held before its turn came is not even decided"
    world.unlock(space, "short")
    client.close()


def test_where_the_stores_differ_nothing_is_due(filled: AccountedTopic) -> None:
    space, now = filled.space, world.after(1)
    lose_events(space, "kafka_partition = 0 AND processed_retention_class = 'short'")
    blocked = {line.unit.retention_class: line.blocked for line in world.planned(space, now).lines}
    assert "ClickHouse has no events" in blocked["short"][0] and "fsck" in blocked["short"][0]
    assert rebuild(space, "clickhouse", "--partition", "0").code == 0
    assert world.planned(space, now).due


def test_the_command_does_what_the_plan_said_and_no_other(
    filled: AccountedTopic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = filled.space
    assert command(space, monkeypatch, "plan", "--json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {line["state"] for line in shown["lines"]} == {"kept", "kept for ever"}
    assert command(space, monkeypatch, "run", "--plan", shown["plan"]) == 1
    assert "--by" in capsys.readouterr().err
    assert command(space, monkeypatch, "run", "--plan", "0" * 16, "--by", "ana", "--reason", "x") == 1
    assert f"the plan is {shown['plan']} now" in capsys.readouterr().err
    assert command(space, monkeypatch, "run", "--plan", shown["plan"], "--by", "ana", "--reason", "x") == 0
    assert command(space, monkeypatch, "plan") == 0
    assert "nothing is due" in capsys.readouterr().out


def test_killed_at_every_step_it_ends_with_a_certificate_of_exactly_what_is_gone(
    filled: AccountedTopic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    space, now = filled.space, world.after(1)
    before = world.contents(filled)
    assert world.stopped(space, now, "intent") and kinds(space) == set(), "nothing is decided yet"
    assert world.killed(space, now, "object:2") == -9
    assert "deletion_unfinished" in kinds(space)
    ends = filled.committed(f"{space.name}-archive-sink")
    asked = [("archive", "--partition", str(p), "--since", "0", "--until", str(ends[p])) for p in PARTITIONS]
    said = [rebuild(space, *arguments).err for arguments in asked]
    assert sum("`auditwired retention run` finishes it" in text for text in said) == 1, "the one that lost an object by now"
    with stuck(space, ""):
        left = [*archive_bucket.bucket(space, "operator").versions(objects_of("short", world.month()))]
        with held(space, left[-1]):
            assert command(space, monkeypatch, "run") == 1
        err = capsys.readouterr().err
        assert "2 classes and months are not deleted" in err and "(no class)" in err and "legal hold is on 1 object" in err
        assert [*archive_bucket.bucket(space, "operator").versions(objects_of("short", world.month()))] == left
        for point in ("partition", "look", "certificate"):
            assert world.stopped(space, now, point), "whatever else is stuck"
    assert {"deletion_unfinished", "missing_in_clickhouse", "missing_object"} <= kinds(space), "no certificate, no excuse"
    assert world.killed(space, now, "record:1") == -9
    assert kinds(space) == set(), "from the certificate on"
    for point in ("record", "audit", "mark"):
        assert world.stopped(space, now, point)
    assert world.deleted(space, now) == 0
    assert kinds(space) == set()
    (certificate,) = world.certificates(space).values()
    assert world.unproven(before, world.contents(filled), certificate) is None
    assert (certificate.by, certificate.reason, certificate.unit) == (world.BY, world.WHY, world.unit("short"))
    assert not [*archive_bucket.bucket(space, "operator").versions(objects_of("short", world.month()))]
    heard = world.said(filled, DELETED)
    assert len(heard) >= 1 and len(set(heard)) == 1, "the same bytes however often it was said"
    file = tmp_path / "certificate.json"
    file.write_bytes(archive_bucket.bucket(space, "operator").read(Place("short", world.month(), "certificate").key))
    keys = space.env["AUDITWIRE_RETENTION_PUBLIC_KEYS"]
    assert command(space, monkeypatch, "verify", str(file), "--public-keys", keys) == 0
    assert f"{certificate.events} events of short" in capsys.readouterr().out
    file.write_bytes(file.read_bytes().replace(b'"count":', b'"count":1', 1))
    assert command(space, monkeypatch, "verify", str(file), "--public-keys", keys) == 1


def test_without_certificates_or_their_key_fsck_finds_what_is_gone(filled: AccountedTopic) -> None:
    """Negative control of the counting."""
    gone = {"missing_in_clickhouse", "missing_in_archive", "missing_object"}
    assert gone <= kinds(filled.space, Control(certificates=False))
    with Checker(filled.space.settings(settings.Operator, RETENTION_PUBLIC_KEYS="")) as checker:
        found = {f.kind for f in checker.report(Scope(None, 0, None, 100_000)).findings}
    assert gone | {"bad_certificate"} <= found


def test_what_the_export_service_counts_and_says_knows_what_was_deleted(filled: AccountedTopic) -> None:
    space, month = filled.space, world.month()
    assert world.counted(space) is None
    with clickhouse(space, "EXPORT") as client:
        deleted = [{"class": "short", "month": month, "certificate": Place("short", month, "certificate").key}]
        for since, time, said in ((month, "ingested", deleted), ("2026-01", "ingested", []), ("2026-01", "occurred", deleted)):
            start, end = (int(begin_of(at).timestamp() * 1_000_000) for at in (since, later(since, 1)))
            assert touching(client, space.name, Query("demo", start, end, {}, [], "jsonl", time)) == said
    query(space, f"TRUNCATE TABLE `{space.name}`.deletions")
    assert "as many events as the ledger says" in str(world.counted(space)), "control: it is the table that explains it"
    world.deleted(space, world.after(1))
    assert world.counted(space) is None, "a run writes what the table has lost"


def test_nothing_is_deleted_past_a_lock_that_was_extended(filled: AccountedTopic) -> None:
    space, now = filled.space, world.after(6)
    with world.servers(space) as opened:
        assert extend(opened, world.after(1)) == sum(len(line.objects) for line in world.planned(space, now).due) > 1
        assert extend(opened, world.after(1)) == 0
    before = world.contents(filled)
    with pytest.raises(RetentionError, match="refused|Denied|AccessDenied"):  # the store goes by its own clock
        world.deleted(space, now, safety=Safety(intent=False))
    assert world.contents(filled) == before
    assert kinds(space) == set()


def test_where_kafka_has_nothing_left_the_ledger_and_the_certificates_add_up(filled: AccountedTopic) -> None:
    space = filled.space
    delete_before(cluster_of(dict(space.settings(settings.Migrate))), filled.name, dict.fromkeys(PARTITIONS, -1))
    assert kinds(space) == set()
    assert {"ledger_differs", "missing_object"} <= kinds(space, Control(certificates=False))
    lost = min(offset for partition, offset, _ in world.contents(filled).clickhouse[""] if partition == 0)
    lose_events(space, f"kafka_partition = 0 AND kafka_offset = {lost}")
    assert kinds(space) == {"missing_in_clickhouse", "certified_differs"}
    assert rebuild(space, "clickhouse", "--partition", "0").code == 0


def test_rules_that_are_published_during_a_run_count_for_what_is_not_decided_yet(filled: AccountedTopic) -> None:
    space, now = filled.space, world.after(6)
    with world.servers(space) as opened:
        plan = look(opened, now)
        assert [line.unit.retention_class for line in plan.due] == ["standard"]
        world.rules(space, short=1, standard=7)
        with pytest.raises(RetentionError, match="standard.*plan again"):
            Runner(opened, lambda: now).run(plan, world.BY, world.WHY)
    assert "deletion_unfinished" not in kinds(space)


def test_a_deletion_without_a_certificate_is_found(filled: AccountedTopic) -> None:
    space = filled.space
    world.unlock(space, "standard")
    assert world.deleted(space, world.after(7), safety=Safety(intent=False, certificate=False)) == 1
    assert kinds(space) == {"missing_object", "certified_differs"}


def test_what_a_sink_has_not_stored_is_known(filled: AccountedTopic) -> None:
    with world.servers(filled.space) as opened:
        assert set(opened.stored_until(world.month()).values()) == {True}
        filled.write(4, partitions=(2,))
        assert [p for p, done in opened.stored_until(world.month()).items() if not done] == [2]
        assert all(opened.stored_until("2026-01").values()), "an earlier month is none of its business"


def test_who_deletes_may_do_nothing_else(filled: AccountedTopic) -> None:
    space = filled.space
    bucket = archive_bucket.bucket(space, "retention")
    for prefix in ("ranges/", "plans/", "deletions/"):
        one = next(bucket.versions(prefix))
        with pytest.raises(Refused):
            bucket.delete_version(one.key, one.version)
    with pytest.raises(Refused):
        bucket.create("events/class=standard/dt=2026-03-01/mine.parquet", b"x")
    with pytest.raises(Exists):
        bucket.create(Place("short", world.month(), "certificate").key, b"x")
    with clickhouse(space, "RETENTION") as client:
        for statement in (
            "SELECT prompt FROM events",
            "SELECT tenant_id FROM events",
            "SELECT * FROM ledger",
            "DROP TABLE events",
        ):
            with pytest.raises(ClickHouseError, match="ACCESS_DENIED"):
                client.command(statement, database=space.name)
        for table in ("fence", "ledger", "deletions"):
            with pytest.raises(ClickHouseError, match="ACCESS_DENIED"):
                client.command(f"ALTER TABLE {table} DELETE WHERE 1", database=space.name)
        with pytest.raises(ClickHouseError, match="ACCESS_DENIED"):
            client.command("INSERT INTO events (event_id) VALUES ('x')", database=space.name)
    with psycopg.connect(space.env["AUDITWIRE_RETENTION_POSTGRES_DSN"]) as db, pytest.raises(InsufficientPrivilege):
        db.execute("INSERT INTO rules_outbox (namespace, revision) VALUES ('x', 1)")


def test_a_range_of_which_a_part_is_deleted_is_not_made_again(filled: AccountedTopic) -> None:
    space, end = filled.space, filled.committed(f"{filled.space.name}-archive-sink")[1]
    asked = ("archive", "--partition", "1", "--since", "0", "--until", str(end))
    key = next(k for k in archive_bucket.bucket(space).keys(objects_of("", world.month())) if "-001-" in k)
    lose_object(space, key)
    done = rebuild(space, *asked)
    assert done.code == 1 and "were deleted with a certificate" in done.err, done.err


def test_no_file_that_the_archive_sink_can_put_covers_a_loss(filled: AccountedTopic) -> None:
    space, now = filled.space, world.month()
    sink, operator = archive_bucket.bucket(space), archive_bucket.bucket(space, "operator")
    ((short, mine),) = world.certificates(space).items()
    own, stranger = SigningKey(space.env["AUDITWIRE_RETENTION_SIGNING_KEY"]), SigningKey(base64.b64encode(bytes(32)).decode())
    wanted = replace(mine, unit=world.unit("standard"))
    forged = {
        Place("standard", now, CERTIFICATE): stranger.signed(wanted),
        Place("standard", "2020-01", CERTIFICATE): own.signed(mine),  # of another class and month
        Place("short", "2020-01", CERTIFICATE): own.signed(mine),  # of another month
        Place("short", "2020-02", CERTIFICATE): own.signed(replace(mine, unit=Unit("short", "2020-02"), namespace="other")),
        Place("short", "2020-03", CERTIFICATE): own.signed(replace(mine, unit=Unit("short", "2020-03"), completed=None)),
        Place("", now, CERTIFICATE): b"{}",
    }
    for place, file in forged.items():
        sink.create(place.key, file)
    with world.servers(space) as opened:
        found = load(operator, space.name, opened.keys)
        assert (set(found.certified), set(found.bad)) == ({short}, {place.key for place in forged})
        with pytest.raises(CertificateError, match="Nothing is deleted"):
            Runner(opened, lambda: world.after(99)).resume()
    assert {"bad_certificate", "missing_object", "certified_differs"} <= kinds(space)
    with pytest.raises(Refused):
        operator.create(Place("standard", "2020-05", CERTIFICATE).key, own.signed(wanted))
    archive_bucket.bucket(space, create_only=False).create(Place("short", now, CERTIFICATE).key, stranger.signed(mine))
    assert not load(operator, space.name, PublicKeys.of(space.env["AUDITWIRE_RETENTION_PUBLIC_KEYS"])).certified
    assert "extra_version" in kinds(space), "what was written over counts no more, and it is known that it was"
