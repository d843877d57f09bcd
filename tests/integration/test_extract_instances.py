"""Two export services on one queue: every extract is done once, also when one of them is killed in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from infra.stack import ports
from tests import export_service
from tests.export_service import PRINCIPALS, Running, ask, fetch_all, recorded, wait, write_principals
from tests.space import Space

ROWS, EXTRACTS, LEASE = 60_000, 8, 3.0
WATCH = """
    CREATE TABLE ended (id uuid, state text, attempt integer);
    CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO public.ended VALUES (NEW.id, NEW.state, NEW.attempt); RETURN NEW; END $$;
    CREATE TRIGGER ends AFTER UPDATE ON extract_jobs FOR EACH ROW
    WHEN (NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION ends();
"""


@pytest.fixture
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    export_service.generate(made, ROWS)
    export_service.mark(made, dict.fromkeys(range(4), ROWS))
    limits = {"open_extracts": 100}
    write_principals(made.folder / "export-principals.yaml", [{**PRINCIPALS[0], "limits": limits}])
    with psycopg.connect(made.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db:
        db.execute(WATCH)
    return made


def start(space: Space, **more: Any) -> Running:
    return Running(space, space.part_env("export", EXPORT_LEASE_SECONDS=LEASE, **more))


def rows(space: Space, sql: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db:
        return db.execute(sql).fetchall()


def both_work(space: Space) -> None:
    deadline = time.monotonic() + 60
    while len(rows(space, "SELECT DISTINCT worker FROM extract_jobs WHERE state = 'running' AND rows_done > 0")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_services_finish_everything_once_although_one_is_killed(space: Space) -> None:
    request: dict[str, Any] = {"format": "jsonl", "columns": ["event_id", "occurred_at", "tool_args"]}
    with start(space) as first, first.client() as client:
        wanted = [ask(client, **request) for _ in range(EXTRACTS)]
        with start(space, EXPORT_LISTEN=f"127.0.0.1:{ports.pick(1, space.stack.state.ports.values())[0]}") as second:
            both_work(space)
            first.kill()
            with second.client() as other:
                done = [wait(other, extract) for extract in wanted]
                bodies = [fetch_all(other, extract)[1] for extract in wanted]
    assert {d["state"] for d in done} == {"done"}
    assert {d["counts"]["rows"] for d in done} == {ROWS}
    assert all(body == bodies[0] for body in bodies)
    assert sorted(str(r[0]) for r in rows(space, "SELECT id FROM ended")) == sorted(wanted)
    attempts = [r[0] for r in rows(space, "SELECT attempt FROM extract_jobs ORDER BY attempt")]
    assert attempts == [1] * (EXTRACTS - 1) + [2]
    delivered = [e["target_id"] for e in recorded(space) if e["event_type"] == "export.delivered"]
    assert sorted(delivered) == sorted(wanted)
