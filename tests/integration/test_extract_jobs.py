"""The job table on a real PostgreSQL: whatever comes first wins, the others are told; one job for a definition and a period."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from connectors.postgres import PostgresError
from connectors.postgres.definitions import Definition, Definitions, NewDefinition
from connectors.postgres.jobs import Job, Jobs, LeaseLostError, LimitError, NewJob, Page
from pipeline import settings
from tests.space import Space

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MANY = 10_000


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    made.provision()
    return made


@pytest.fixture
def jobs(space: Space) -> Jobs:
    """A queue of this test's own, with leases that never end by themselves here."""
    return Jobs(dsn(space), f"q{uuid.uuid4().hex[:8]}", "first", 3600)


def dsn(space: Space) -> str:
    return space.settings(settings.Export).postgres_dsn.get_secret_value()


def new(principal: str = "olga@example.com", **more: Any) -> NewJob:
    return NewJob(uuid.uuid4(), "demo", principal, {"tenant": "demo"}, 1000, NOW, **more)


def queued(jobs: Jobs, **more: Any) -> Job:
    job = jobs.create(new(**more), MANY, MANY)
    assert job is not None
    return job


def lease_ends(space: Space, job: Job) -> None:
    with psycopg.connect(space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db:
        db.execute("UPDATE extract_jobs SET lease_until = now() - interval '1 s' WHERE id = %s", (job.id,))


Step = Callable[[Space, Jobs, Job], None]


def cancels(_space: Space, jobs: Jobs, job: Job) -> None:
    assert jobs.cancel(job.id) is not None


def finishes(_space: Space, jobs: Jobs, job: Job) -> None:
    jobs.finish(job, [{"name": "x"}], 1, 7)


def fails(_space: Space, jobs: Jobs, job: Job) -> None:
    jobs.fail(job, "for a reason")


def is_taken_over(space: Space, jobs: Jobs, job: Job) -> None:
    lease_ends(space, job)
    assert jobs.claim() is not None


def goes_back(_space: Space, jobs: Jobs, job: Job) -> None:
    jobs.release(job, 3600)


def is_renewed(_space: Space, jobs: Jobs, job: Job) -> None:
    jobs.renew(job, 1, 2)


STEPS: dict[str, Step] = {s.__name__: s for s in (cancels, finishes, fails, is_taken_over, goes_back, is_renewed)}
ENDS = {"cancels": "cancelled", "finishes": "done", "fails": "failed"}


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS, 3)), ids="-".join)
def test_in_every_order_the_first_end_stays(space: Space, jobs: Jobs, order: tuple[str, ...]) -> None:
    """A worker's steps are of its attempt; cancelling is of the job. After an end nothing changes any more."""
    queued(jobs)
    job = jobs.claim()
    assert job is not None
    expected, ours = "running", True
    for name in order:
        open_ = expected in ("running", "queued")
        may = open_ if name == "cancels" else expected == "running" and ours
        if name == "is_taken_over":
            may = expected == "running"
        if may:
            STEPS[name](space, jobs, job)
            expected = ENDS.get(name, "queued" if name == "goes_back" else expected)
            ours = ours and name not in ("is_taken_over", "goes_back")
        else:
            with pytest.raises((LeaseLostError, AssertionError)):
                STEPS[name](space, jobs, job)
        found = jobs.get(job.id)
        assert found is not None
        assert (found.state, found.files != []) == (expected, expected == "done")


def finished_now(jobs: Jobs, job: Job) -> bool:
    jobs.finish(job, [], 1, 7)
    return True


def test_at_the_same_time_one_of_cancel_finish_and_takeover_wins(space: Space, jobs: Jobs) -> None:
    for _ in range(40):
        queued(jobs)
        job = jobs.claim()
        assert job is not None
        lease_ends(space, job)
        gate = threading.Barrier(3)

        def at_once(step: Callable[[Job], object], job: Job = job, gate: threading.Barrier = gate) -> object:
            gate.wait()
            try:
                return step(job)
            except LeaseLostError:
                return None

        with ThreadPoolExecutor(3) as pool:
            cancelled = pool.submit(at_once, lambda j: jobs.cancel(j.id))
            finished = pool.submit(at_once, lambda j: finished_now(jobs, j))
            taken = pool.submit(at_once, lambda _: jobs.claim())
        found = jobs.get(job.id)
        assert found is not None
        assert found.state in ("cancelled", "done")
        assert (found.state == "done") == (finished.result() is not None) == (cancelled.result() is None)
        assert found.attempt == (2 if taken.result() else 1)
        assert not (taken.result() and finished.result())


def test_many_workers_never_have_one_job_at_once(space: Space, jobs: Jobs) -> None:
    wanted = {queued(jobs).id for _ in range(60)}
    others = [Jobs(dsn(space), jobs._namespace, f"worker {i}", 3600) for i in range(4)]

    def claims(mine: Jobs) -> list[uuid.UUID]:
        return [job.id for job in iter(mine.claim, None)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [number for found in pool.map(claims, others) for number in found]
    assert len(claimed) == len(wanted)
    assert set(claimed) == wanted


def test_limits_hold_when_requests_come_at_once(jobs: Jobs) -> None:
    def one(_: int) -> bool:
        try:
            return jobs.create(new("nora@example.com"), 3, MANY) is not None
        except LimitError as exc:
            assert exc.use.open == 3
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one, range(12))) == 3
    assert jobs.use("nora@example.com").open == 3
    with pytest.raises(LimitError):
        jobs.create(new("nora@example.com"), MANY, 3)
    assert jobs.use("olga@example.com").today == 0


def test_the_list_is_newest_first_in_pages_and_of_the_wanted_only(jobs: Jobs) -> None:
    made = [queued(jobs).id for _ in range(5)]
    jobs.cancel(made[2])
    first = jobs.newest(Page(["demo"], 2))
    queued(jobs)  # what comes meanwhile is no longer on later pages
    second = jobs.newest(Page(["demo"], 10, after=(first[-1].created_at, first[-1].id)))
    assert [j.id for j in first + second] == made[::-1]
    assert [j.id for j in jobs.newest(Page(["demo"], 10, state="cancelled"))] == [made[2]]
    assert jobs.newest(Page(["acme"], 10)) == jobs.newest(Page([], 10)) == []


def definition(space: Space, jobs: Jobs) -> Definition:
    saved = Definitions(dsn(space), jobs._namespace).create(
        uuid.uuid4(), NewDefinition("monthly", "demo", "olga@example.com", {}, "month")
    )
    assert saved is not None
    return saved


def test_one_job_for_a_period_whatever_the_number_of_instances(space: Space, jobs: Jobs) -> None:
    number = definition(space, jobs).id

    def one(_: int) -> bool:
        return jobs.create(new(definition=number, period_start=NOW), MANY, MANY) is not None

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one, range(12))) == 1
    assert jobs.periods(number, NOW - timedelta(days=1)) == {NOW}
    assert all(jobs.create(new(definition=number), MANY, MANY) for _ in range(2))


def test_without_the_constraint_no_scheduled_job_can_be_made_at_all(new_space: Callable[[], Space]) -> None:
    space = new_space()
    space.provision()
    jobs = Jobs(dsn(space), space.name, "first", 3600)
    number = definition(space, jobs).id
    with psycopg.connect(space.env["AUDITWIRE_ADMIN_POSTGRES_DSN"]) as db:
        db.execute("DROP INDEX extract_jobs_period")
    with pytest.raises(PostgresError):
        jobs.create(new(definition=number, period_start=NOW), MANY, MANY)


def test_only_one_instance_has_the_turn(space: Space, jobs: Jobs) -> None:
    with jobs.turn("schedules") as mine, jobs.turn("schedules") as other, jobs.turn("else") as third:
        assert (mine, other, third) == (True, False, True)
    with jobs.turn("schedules") as again:
        assert again


def test_names_of_definitions_are_unique_until_they_are_deleted(space: Space, jobs: Jobs) -> None:
    saved = definition(space, jobs)
    table = Definitions(dsn(space), jobs._namespace)
    assert table.create(uuid.uuid4(), NewDefinition("monthly", "demo", "x", {}, None)) is None
    assert table.create(uuid.uuid4(), NewDefinition("monthly", "acme", "x", {}, None)) is not None
    assert [d.id for d in table.scheduled()] == [saved.id]
    assert table.delete(saved.id)
    assert not table.delete(saved.id)
    assert table.get(saved.id) is None
    assert definition(space, jobs).id != saved.id


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE extract_jobs SET definition = NULL",
        "UPDATE extract_jobs SET most_rows = 9",
        "UPDATE extract_jobs SET period_start = NULL",
        "INSERT INTO extract_jobs (id, expires_at) VALUES (gen_random_uuid(), now())",
        "DELETE FROM extract_definitions",
        "UPDATE extract_definitions SET query = '{}'",
        "UPDATE extract_definitions SET principal = 'x'",
        "UPDATE extract_definitions SET every = 'day'",
        "INSERT INTO extract_definitions (id, stopped) VALUES (gen_random_uuid(), 'x')",
        "DROP INDEX extract_jobs_period",
        "SELECT * FROM schema_migrations",
    ],
)
def test_role_export_can_neither_delete_nor_rewrite_what_was_asked(space: Space, sql: str) -> None:
    with psycopg.connect(dsn(space)) as db, pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(sql)
