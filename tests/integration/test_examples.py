"""The examples run as they stand, as real processes, and their events are in Kafka."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.stack import ports
from infra.stack.stack import CHECKOUT
from tests.ingest import events_of
from tests.integration.test_ingest import TOKEN, raw, running
from tests.space import Space
from tests.waiting import until

EXAMPLES = CHECKOUT / "examples"


def environment(space: Space, **more: str) -> dict[str, str]:
    """What `. .auditwire/env` sets for an SDK user."""
    base = {n: os.environ[n] for n in ("PATH", "HOME", "GOCACHE", "GOPATH") if n in os.environ}
    sdk = {n: v for n, v in space.env.items() if re.fullmatch(r"AUDITWIRE_(KAFKA_.*|SCHEMA_REGISTRY_URL|NAMESPACE)", n)}
    return {**base, **sdk, **more}


def python(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


def recorded(space: Space) -> list[dict[str, Any]]:
    """What the examples recorded, without the ends that the SDK says by itself."""
    told = [e for e in events_of(raw(space)) if not e["event_type"].startswith("auditwire.")]
    return sorted(told, key=lambda e: (e["occurred_at"], e["sequence"] or 0))


@contextmanager
def serving(*command: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with SIGTERM, well."""
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=CHECKOUT, stdout=out, stderr=out)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()  # uvicorn raises it again, at its very end
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_the_async_agent(provisioned: Space) -> None:
    done = python("examples/async_agent.py", env=environment(provisioned))
    assert done.returncode == 0, done.stderr
    assert "stored at Position(topic=" in done.stdout
    events = recorded(provisioned)
    types = [e["event_type"] for e in events]
    assert (types[0], types[-1], types.count("tool.invoked")) == ("session.started", "session.ended", 3)
    assert {(e["tenant_id"], e["source"], e["human_principal_id"]) for e in events} == {("demo", "shop-agent", "ada@example.com")}
    assert len({e["session_id"] for e in events}) == 1
    lanes = {mode: [e["sequence"] for e in events if e["audit_mode"] == mode] for mode in ("best_effort", "blocking")}
    assert lanes == {"best_effort": list(range(7)), "blocking": [0]}


def test_python_examples_run_without_servers(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "AUDITWIRE_TRANSPORT": "print"}
    done = python("examples/async_agent.py", env=env)
    assert done.returncode == 0
    assert "STORED NOWHERE" in done.stderr and "#6 session.ended" in done.stderr
    done = python("-m", "examples.celery_app.send", env={**env, "SHOP_BROKER_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_the_fastapi_app(provisioned: Space, tmp_path: Path) -> None:
    port = ports.pick(1)[0]
    log = tmp_path / "log"
    command = ("uvicorn", "examples.fastapi_app.app:app", "--port", str(port))

    def ask(method: str, path: str, token: str, session: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Session-Id": session}
        return httpx.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, timeout=30)

    def answers() -> bool:
        try:
            return ask("GET", "/", "none", "").status_code == 401
        except httpx.TransportError:
            return False

    with serving(*command, env=environment(provisioned), log=log):
        until(answers, 90, log.read_text)
        assert ask("POST", "/orders/17/refund", "token-of-ada", "s1").json() == {"refunded": "17"}
        assert ask("GET", "/orders/18", "token-of-bob", "s2").json() == {"order": "18"}
        assert ask("GET", "/nowhere", "token-of-bob", "s3").status_code == 404
    told = [
        (e["tenant_id"], e["human_principal_id"], e["session_id"], e["event_type"], e["outcome"]) for e in recorded(provisioned)
    ]
    ada, bob = ("demo", "ada@example.com"), ("acme", "bob@example.com")
    assert told == [
        (*ada, "s1", "tool.invoked", ""),
        (*ada, "s1", "request.served", "success"),
        (*bob, "s2", "tool.invoked", ""),
        (*bob, "s2", "request.served", "success"),
        (*bob, "s3", "request.served", "failure"),
    ]


def test_the_celery_app_with_prefork_workers(provisioned: Space, tmp_path: Path) -> None:
    env = environment(provisioned, SHOP_BROKER_DIR=str(tmp_path / "broker"))
    log = tmp_path / "log"
    worker = "celery -A examples.celery_app.tasks worker --pool prefork --concurrency 2 --loglevel INFO"
    with serving(*worker.split(), env=env, log=log):
        sent = python("-m", "examples.celery_app.send", env=env)
        assert sent.returncode == 0, sent.stderr
        until(lambda: log.read_text().count("succeeded") == 4 and "there is no such order" in log.read_text(), 90, log.read_text)
    events = recorded(provisioned)  # all of them, although nobody waited: worker processes flush at their end
    told = {(e["session_id"], e["human_principal_id"], e["event_type"]) for e in events}
    people = ("ada", "bob", "cleo", "dan")
    kinds = ("tool.invoked", "order.packed", "tool.responded")
    wanted = {(f"order-{i}", f"{name}@example.com", kind) for i, name in enumerate(people) for kind in kinds}
    assert told == wanted | {("order-none", "eve@example.com", "tool.invoked"), ("order-none", "eve@example.com", "tool.failed")}
    assert len(events) == len(told)
    calls = {e["session_id"]: e["tool_call_id"] for e in events if e["event_type"] == "tool.invoked"}
    assert all(len(call) == 36 for call in calls.values()) and len(set(calls.values())) == 5
    lanes: dict[str, list[int]] = {}
    for event in events:
        lanes.setdefault(event["producer_id"], []).append(event["sequence"])
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in lanes.values())


GO = ["go", "run", "-trimpath", "-tags=nethttpomithttp2", "record.go"]  # without HTTP/2 there is less to compile
COMMANDS = {"sh": ["sh", "record.sh"], "node": ["node", "record.mjs"], "go": GO}


@pytest.mark.parametrize(
    "tool", [n if shutil.which(n) else pytest.param(n, marks=pytest.mark.skip(f"no {n} here")) for n in COMMANDS]
)
def test_http_from_other_languages(tool: str, provisioned: Space, tmp_path: Path) -> None:
    def send(url: str, token: str) -> subprocess.CompletedProcess[str]:
        env = environment(provisioned, AUDITWIRE_INGEST_URL=url, AUDITWIRE_INGEST_TOKEN=token, CGO_ENABLED="0")
        return subprocess.run(
            COMMANDS[tool], env=env, cwd=EXAMPLES / "http", capture_output=True, text=True, timeout=200, check=False
        )

    with running(provisioned, tmp_path) as part:
        first, second, wrong = send(part.url, TOKEN), send(part.url, TOKEN), send(part.url, "wrong")
    assert first.returncode == 0, first.stderr
    assert "accepted" in first.stdout
    assert second.returncode == 0
    assert wrong.returncode != 0
    assert "The token is missing or not known." in wrong.stdout + wrong.stderr
    events = recorded(provisioned)
    assert {(e["tenant_id"], e["source"], e["tool_name"]) for e in events} == {("demo", "gitlab", "search_orders")}
    assert len({e["event_id"] for e in events}) == len(events) / 2  # sent twice, one identity


def test_every_example_is_in_the_readme() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {p.relative_to(EXAMPLES) for p in EXAMPLES.rglob("*") if p.suffix in (".py", ".sh", ".mjs", ".go")}
    named = {f for f in files if str(f) in text or f"examples.{f.parent}.{f.stem}" in text}
    assert files - named == {Path("__init__.py"), Path("fastapi_app/__init__.py"), Path("celery_app/__init__.py")}
