"""A lost sequence from the raw topic to the words of an extract: real servers, processor, both sinks, export service."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from auditwire import AuditClient, AuditEvent, KafkaTransport
from pipeline import completeness_command, settings
from pipeline.completeness import Safety
from pipeline.numbers import merged
from tests import export_service
from tests.completeness_world import (
    ANTON,
    MINUTE,
    NOW,
    OLGA,
    STEP,
    World,
    after,
    asked,
    at,
    by_hand,
    extract,
    ledger_id,
    sent,
)
from tests.export_service import trail
from tests.space import Space
from tests.waiting import until


@pytest.fixture(scope="module")
def world(new_space: Callable[[], Space]) -> Iterator[World]:
    with sent(new_space()) as made:
        yield made


def test_a_lost_number_is_named_with_its_times(world: World) -> None:
    with world.service() as ask:
        found = asked(ask(OLGA))
    known = {p["producer_id"]: p for p in found["producers"]}
    assert found["state"] == "incomplete"
    (gap,) = known["lossy"]["gaps"]
    assert (gap["kind"], gap["first"], gap["last"], gap["after"]) == ("missing", 2, 2, after("lossy", 1))
    assert known["lossy"]["stored"] == [[0, 1], [3, 4]] and known["lossy"]["heartbeat"]["sequence"] == 4
    assert (known["sound"]["standing"], known["sound"]["gaps"], known["sound"]["complete_until"]) == ("closed", [], None)
    assert (known["mute"]["standing"], known["mute"]["complete_until"]) == ("unknown", after("mute", 2))
    (drop,) = known["dropping"]["gaps"]
    assert (drop["kind"], drop["dropped"], drop["after"]) == ("dropped", 7, after("dropping", 1))
    assert drop["before"] >= at("dropping", 3)
    assert [(g["kind"], g["first"], g["last"]) for g in known["refused"]["gaps"]] == [("quarantined", 1, 1)]
    assert found["complete_until"] == min(after("lossy", 1), after("mute", 2), after("dropping", 1), after("refused", 0))


def test_the_manifest_names_the_gap_and_does_not_say_complete(world: World) -> None:
    start = NOW - 10 * MINUTE
    with world.service() as ask:
        manifest = extract(ask(OLGA), start, start + 4 * STEP)
    assert (manifest["complete"], manifest["pipeline_complete"]) == (False, True)
    named = {p["producer_id"]: [(g["kind"], g["first"]) for g in p["gaps"]] for p in manifest["completeness"]["producers"]}
    assert (
        named["lossy"] == [("missing", 2)] and named["dropping"] == [("dropped", 2)] and named["refused"] == [("quarantined", 1)]
    )
    assert "sound" not in named and "canary-acme" not in named


def test_a_range_that_nothing_touches_is_complete(world: World) -> None:
    with world.service() as ask:
        manifest = extract(ask(OLGA), NOW - 60 * MINUTE, NOW - 11 * MINUTE)
    assert manifest["complete"] and manifest["completeness"]["producers"] == []


def test_without_the_check_the_same_extract_would_be_called_complete(world: World) -> None:
    """Negative control."""
    start = NOW - 10 * MINUTE
    with world.service(Safety(holes=False, tails=False)) as ask:
        assert extract(ask(OLGA), start, start + 4 * STEP)["complete"]
    with world.service(Safety(tails=False)) as ask:
        assert not extract(ask(OLGA), start, start + 4 * STEP)["complete"]


def test_a_row_under_another_topic_id_fills_no_hole(world: World) -> None:
    """Nor one behind the topic's end. The last line is the control: the same row where the topic has a record does."""

    def gaps(topic_id: str, offset: int) -> list[tuple[int, int]]:
        row = f"SELECT 'demo', 'lossy', {NOW - 10 * MINUTE}, 'stored', 2, 2, '{topic_id}', 0, {offset}, now64(3) - 3600"
        where = "producer_id = 'lossy' AND first = 2 AND last = 2"
        with by_hand(world, "ledger_sequences", row, where), world.service() as ask:
            lossy = next(p for p in asked(ask(OLGA))["producers"] if p["producer_id"] == "lossy")
        return [(g["first"], g["last"]) for g in lossy["gaps"]]

    assert gaps("nobody", 0) == [(2, 2)]
    assert gaps(ledger_id(world), 1_000_000) == [(2, 2)]
    assert gaps(ledger_id(world), 0) == []


def test_intervals_become_ranges_whatever_their_number_and_order(world: World) -> None:
    """Holes, overlaps, rows that are there twice, blocks that are full, empty or begun, and the last number there is."""
    draw, at, rows = random.Random(5), 0, [(2**63 - 2, 2**63 - 2)]
    for _ in range(300):
        at += draw.choice([0, 0, 0, 1, 5, 70_000])
        length = draw.choice([1, 10, 1_000, 70_000])
        rows += [(at, at + length - 1 + draw.choice([0, 0, 3]))] * draw.choice([1, 1, 2])
        at += length
    topic_id = ledger_id(world)
    values = ", ".join(
        f"('many', 'p', 1, 'stored', {first}, {last}, '{topic_id}', 0, {n % 2}, '2026-01-01 00:00:00')"
        for n, (first, last) in enumerate(rows)
    )
    values_of = world.space.settings(settings.Operator)
    with (
        by_hand(world, "ledger_sequences", f"VALUES {values}", "tenant_id = 'many'"),
        completeness_command.producers(values_of, 1.0) as known,
    ):
        (producer,) = known.of("many")[1].producers
    assert list(producer.seen.stored) == merged(rows)


def test_an_extract_is_not_complete_while_clickhouse_holds_other_events_than_the_ledger_says(world: World) -> None:
    """The last lines are the negative control."""
    database, raw = f"`{world.space.name}`", "processed_raw_offset"
    row = (
        "(tenant_id, event_id, event_type, occurred_at, kafka_topic_id, kafka_partition, kafka_offset, kafka_timestamp,"
        f" {raw}, processed_retention_class) SELECT 'acme', 'by-hand', 'x', now64(6), kafka_topic_id, kafka_partition,"
        f" 1000000, kafka_timestamp, 0, processed_retention_class FROM {database}.events WHERE tenant_id = 'demo' LIMIT 1"
    )
    start, end = NOW - 60 * MINUTE, NOW - 11 * MINUTE
    with by_hand(world, "events", row, "event_id = 'by-hand'"):
        with world.service() as ask:
            manifest = extract(ask(OLGA), start, end)
            assert asked(ask(OLGA))["complete_until"].startswith("1970-01-01T00:00:00")
        assert (manifest["complete"], manifest["pipeline_complete"]) == (False, True)
        (problem,) = manifest["completeness"]["problems"]
        assert "ClickHouse does not hold" in problem and "auditwired fsck" in problem
        with world.service(Safety(counted=False)) as ask:
            assert extract(ask(OLGA), start, end)["complete"]
    with world.service() as ask:
        assert extract(ask(OLGA), start, end)["complete"]


def test_a_question_that_clickhouse_does_not_answer_fails_no_extract(world: World) -> None:
    view = f"`{world.space.name}`.sequences_of"
    with export_service.clickhouse(world.space) as admin, world.service() as ask:
        sql = admin.rows(f"SHOW CREATE TABLE {view}")[0][0].replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
        admin.command(f"CREATE OR REPLACE VIEW {view} AS SELECT throwIf(1) AS tenant_id WHERE {{tenant:String}} != ''")
        try:
            manifest = extract(ask(OLGA), NOW - 60 * MINUTE, NOW - 11 * MINUTE)
            refused = ask(OLGA).get("/v1/completeness", params={"tenant": "demo"})
        finally:
            admin.command(sql)
        assert manifest["complete"] is False and "Ask for the extract again" in manifest["completeness"]["problems"][0]
        assert refused.status_code == 503 and "Ask again later" in refused.json()["what_to_do"]
        assert extract(ask(OLGA), NOW - 60 * MINUTE, NOW - 11 * MINUTE)["complete"]


def test_a_tenant_hears_nothing_of_another_ones_producers(world: World) -> None:
    with world.service() as ask:
        assert "canary-acme" not in json.dumps(asked(ask(OLGA)))
        refused = ask(OLGA).get("/v1/completeness", params={"tenant": "acme"})
        assert (refused.status_code, "canary" in refused.text) == (403, False)
        nobody = ask("nora@example.com").get("/v1/completeness", params={"tenant": "demo"})
        assert nobody.status_code == 403
        own = {p["producer_id"].partition("/")[0]: p for p in asked(ask(ANTON), "acme")["producers"]}
        assert own.keys() <= {"canary-acme", "auditwire-export"}, "the service records who asks for whom"
        assert (own["canary-acme"]["standing"], own["canary-acme"]["gaps"]) == ("closed", [])
    seen = trail(world.space, event_type="export.searched", target_type="completeness")
    assert {(e["actor_id"], e["tenant_id"]) for e in seen} >= {(OLGA, "demo"), (ANTON, "acme")}


def test_what_the_sdk_says_of_itself_is_understood(world: World) -> None:
    env, sdk = world.space.env, world.space.stack.state.secrets["kafka_sdk"]
    transport = KafkaTransport(
        topic=f"{world.space.name}.raw",
        bootstrap=env["AUDITWIRE_KAFKA_BOOTSTRAP"],
        schema_registry_url=env["AUDITWIRE_SCHEMA_REGISTRY_URL"],
        security_protocol=env["AUDITWIRE_KAFKA_SECURITY_PROTOCOL"],
        sasl_mechanism=env["AUDITWIRE_KAFKA_SASL_MECHANISM"],
        username="sdk",
        password=sdk,
    )
    with world.service() as ask:
        with AuditClient(transport, service="team", tenant="sdk", mode="blocking", heartbeat=0.5) as client:
            client.record(AuditEvent(event_type="tool.invoked"))
            until(lambda: _team(asked(ask(ANTON), "sdk")).get("standing") == "live", 60, lambda: str(asked(ask(ANTON), "sdk")))
        until(lambda: _team(asked(ask(ANTON), "sdk")).get("standing") == "closed", 60, lambda: str(asked(ask(ANTON), "sdk")))
        team = _team(asked(ask(ANTON), "sdk"))
    assert (team["gaps"], team["stored"], team["heartbeat"]["interval_seconds"]) == (
        [],
        [[0, team["heartbeat"]["sequence"]]],
        0.5,
    )


def _team(found: dict[str, Any]) -> dict[str, Any]:
    own = [p for p in found["producers"] if p["producer_id"].startswith("team/")]
    return dict(own[0]) if own else {}


def test_an_operator_asks_and_declares_a_producer_dead(world: World) -> None:
    done = world.run("completeness", "--tenant", "demo", "--settle", "1")
    assert done.returncode == 1, done.stderr
    assert "missing 2-2" in done.stdout and "mute epoch" in done.stdout and "canary" not in done.stdout
    said = ("--by", ANTON, "--reason", "its host is gone")
    epoch = str(NOW - 10 * MINUTE)
    wrong = world.run("producer", "declare-dead", "--tenant", "demo", "--producer", "mut", "--epoch", epoch, *said)
    assert wrong.returncode == 1 and "was never heard of" in wrong.stderr
    closed = world.run("producer", "declare-dead", "--tenant", "demo", "--producer", "sound", "--epoch", epoch, *said)
    assert closed.returncode == 1 and "is closed" in closed.stderr
    dead = world.run("producer", "declare-dead", "--tenant", "demo", "--producer", "mute", "--epoch", epoch, *said)
    assert dead.returncode == 0, dead.stderr
    assert "its host is gone" in world.run("producer", "list", "--tenant", "demo").stdout
    with world.service() as ask:
        mute = next(p for p in asked(ask(OLGA))["producers"] if p["producer_id"] == "mute")
        assert (mute["standing"], mute["complete_until"], mute["statement"]["by"]) == ("dead", None, ANTON)
    assert world.run("completeness", "--tenant", "nobody", "--settle", "1").returncode == 0


def test_a_statement_is_never_changed(world: World) -> None:
    import psycopg

    for role in ("operator", "export"):
        dsn = world.space.env[f"AUDITWIRE_{role.upper()}_POSTGRES_DSN"]
        with psycopg.connect(dsn) as db, pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("DELETE FROM producer_statements")
    with (
        psycopg.connect(world.space.env["AUDITWIRE_EXPORT_POSTGRES_DSN"]) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute(
            "INSERT INTO producer_statements (namespace, tenant, producer_id, producer_epoch, stated_by, reason)"
            " VALUES ('a', 'b', 'c', 1, 'd', 'e')"
        )
    with psycopg.connect(world.space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db, pytest.raises(psycopg.errors.RaiseException):
        db.execute("UPDATE producer_statements SET reason = 'x'")
