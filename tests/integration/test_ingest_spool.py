"""The receiver with a spool while Kafka and the registry are dead, killed itself: each event is in the clean topic once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

import schemas
from connectors import avro
from infra.stack import Stack
from tests import space as spaces
from tests.ingest import payload
from tests.integration.test_ingest import Part
from tests.processing import PARTITIONS, Worker, read_all
from tests.scrape import parsed
from tests.space import Space
from tests.waiting import until


def post_all(part: Part, names: list[str]) -> list[httpx.Response]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda name: part.post({**payload("git_deploy_key"), "id": name}), names))


def shown(part: Part) -> str:
    """What a healthy receiver says besides; empty where it is not well."""
    with part.http.stream("GET", part.health) as answer:
        answer.read()
        return str(answer.json()["reason"]) if answer.status_code == 200 else ""


def measured(part: Part, name: str) -> float:
    text = part.http.get(part.health.replace("healthz", "metrics")).text
    return next(sample.value for sample in parsed(text) if sample.name == name)


def clean(space: Space) -> list[str]:
    found: list[str] = []
    for partition in range(PARTITIONS):
        if values := [record.value or b"" for record in read_all(space, "events", partition)]:
            table = avro.decode([value[5:] for value in values], schemas.schema_text("audit_event"))
            found += table.column("source_event_id").to_pylist()
    return found


def spooled(space: Space, folder: Path) -> Part:
    """A receiver of this space with its spool in ``folder``."""
    folder.mkdir(exist_ok=True)
    return Part(space, folder, INGEST_SPOOL_DIR=folder / "spool")


@contextmanager
def without(stack: Stack, *servers: str) -> Iterator[None]:
    for name in servers:
        stack.kill(name)
    try:
        yield
    finally:
        for name in servers:
            stack.launch(name)
            stack.wait(name)


def test_an_outage_and_a_kill_lose_nothing_that_was_acknowledged(fault_stack: Stack, tmp_path: Path) -> None:
    space = spaces.claim(fault_stack, tmp_path / "spaces")
    space.provision()
    names = [f"n{number}" for number in range(300)]
    with ExitStack() as parts:

        def start(folder: str) -> Part:
            part = spooled(space, tmp_path / folder)
            parts.callback(part.http.close)
            parts.callback(part.stop, signal.SIGKILL)
            return part

        first = start("a")
        until(first.healthy)
        assert [answer.status_code for answer in post_all(first, names[:20])] == [202] * 20
        until(lambda: measured(first, "auditwire_ingest_spool_sent_total") == 20)
        with without(fault_stack, "kafka", "registry"):
            assert {answer.status_code for answer in post_all(first, names[:200])} == {202}, "with retries of the first"
            until(lambda: shown(first).startswith("200 records ("), 60, lambda: shown(first))
            until(lambda: measured(first, "auditwire_ingest_spool_oldest_seconds") > 0)
            first.stop(signal.SIGKILL)
            new = start("b")
            again = start("a")
            until(again.healthy)
            assert {answer.status_code for answer in post_all(again, names[150:])} == {202}
            until(lambda: measured(again, "auditwire_ingest_spool_records") == 350)
            until(lambda: answers(new))
            refused = new.post(payload("git_deploy_key"))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5"), "it does not know the schema ids"
            busy = start("a")
            assert busy.process.wait(30) != 0, "each needs a folder of its own"
        until(lambda: measured(again, "auditwire_ingest_spool_records") == 0, 90, lambda: shown(again))
        until(new.healthy)
        assert new.post({**payload("git_deploy_key"), "id": "new"}).status_code == 202
        assert (again.stop(), new.stop()) == (0, 0)
    worker = Worker(space)
    try:
        until(lambda: len(clean(space)) >= len(names) + 1, 90, lambda: worker.text()[-3000:])
        assert worker.stop() == 0
    finally:
        worker.kill()
    assert sorted(clean(space)) == sorted([*names, "new"]), "each once, retries of the sender included"


def answers(part: Part) -> bool:
    try:
        return part.http.get(f"{part.url}/nothing").status_code == 404
    except httpx.HTTPError:
        return False
