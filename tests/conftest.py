"""Fixtures on real servers. The whole run shares one stack; each test gets a namespace of its own on it.

``stack``: the running servers (do not kill them: others use them). ``namespace``: a fresh `Space`. ``provisioned``: the same
after `auditwired migrate`. ``new_space``: for tests that want one a module, or several. ``fault_stack``: servers of this
worker alone, for tests that kill them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from infra.stack import Stack, env, holder
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT, tail
from tests import space
from tests.space import Space

# No deadline for an example: how long one takes says more about the machine's load than about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def stack(run_folder: Path) -> Stack:
    """The servers all tests of this run share; the first worker that needs them starts them."""
    directory = run_folder / "stack"
    directory.mkdir(exist_ok=True, mode=0o700)
    with (directory / "starting").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / holder.READY).exists():
            _hold(directory)
            _without_fsync(Stack(directory, namespaces=space.POOL, fast_jvm=True))
    return Stack(directory, namespaces=space.POOL, fast_jvm=True)


def _hold(directory: Path) -> None:
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    log = directory / "holder.log"
    keep = {k: v for k, v in os.environ.items() if k in ("AUDITWIRE_CACHE_DIR", "JAVA_HOME")}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.stack.holder", str(directory), str(owner), str(len(space.ANALYSED)), *space.POOL],
            env={**base_environment(), **keep},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    while not (directory / holder.READY).exists():
        if process.poll() is not None:
            pytest.exit(f"The local stack does not start. {tail(log, 30)}", returncode=3)
        time.sleep(0.05)
    process.returncode = 0  # it ends by itself after this run: nobody waits for it


def _without_fsync(stack: Stack) -> None:
    """PostgreSQL need not outlive this machine; with fsync it writes a database to the disk whenever a test drops its own."""
    with psycopg.connect(env.postgres_dsn(stack.state, "postgres", "postgres"), autocommit=True) as db:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            db.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name)))
        db.execute("SELECT pg_reload_conf()")


WAITING = ("tests/faults", "tests/e2e", "tests/browser")
LONG_FIRST = ("tests/integration", "tests/contracts", "connectors", "tests/unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker is left alone with it at the end; and among those, between two files of
    work each one that mostly waits, so that the cores are not idle meanwhile.
    """
    files = dict.fromkeys(item.path.relative_to(CHECKOUT).as_posix() for item in items)
    waiting = iter(sorted((f for f in files if f.startswith(WAITING)), key=lambda f: _place(f, WAITING)))
    order: list[str] = []
    for number, file in enumerate(sorted((f for f in files if not f.startswith(WAITING)), key=lambda f: _place(f, LONG_FIRST))):
        order += [*islice(waiting, number % 2 == 0), file]
    order += waiting
    items.sort(key=lambda item: order.index(item.path.relative_to(CHECKOUT).as_posix()))


def _place(file: str, folders: Sequence[str]) -> int:
    return next((n for n, folder in enumerate(folders) if file.startswith(folder)), 0)


def pytest_unconfigure(config: pytest.Config) -> None:
    """At the end of the run: end the shared stack and wait for it, so that nothing is left when the command returns."""
    factory = getattr(config, "_tmp_path_factory", None)
    if factory is None or "PYTEST_XDIST_WORKER" in os.environ:
        return
    ready = factory.getbasetemp() / "stack" / holder.READY
    if not ready.exists():
        return
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(int(ready.read_text(encoding="ascii")))
        signal.pidfd_send_signal(watched, signal.SIGTERM)
        select.select([watched], [], [], 60)
        os.close(watched)


@pytest.fixture(scope="session")
def new_space(stack: Stack, run_folder: Path) -> Iterator[Callable[[], Space]]:
    """Makes namespaces; they are dropped at the end of the session."""
    made: list[Space] = []

    def make() -> Space:
        made.append(space.claim(stack, run_folder / "spaces"))
        return made[-1]

    yield make
    for one in made:
        one.drop()


@pytest.fixture(scope="session")
def new_analysed_space(stack: Stack, run_folder: Path) -> Iterator[Callable[[], Space]]:
    """The same of namespaces that tenants' analysts may read; there are few of them."""
    made: list[Space] = []

    def make() -> Space:
        made.append(space.claim(stack, run_folder / "spaces", space.ANALYSED))
        return made[-1]

    yield make
    for one in made:
        one.drop()


@pytest.fixture
def namespace(stack: Stack, run_folder: Path) -> Iterator[Space]:
    """A namespace of this test's own, empty."""
    one = space.claim(stack, run_folder / "spaces")
    yield one
    one.drop()


@pytest.fixture
def provisioned(namespace: Space) -> Space:
    """A namespace with topics, ACLs, schemas, tables and buckets."""
    namespace.provision()
    return namespace


@pytest.fixture(scope="module")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of this module alone, gone with it; tests may kill them and must leave them answering."""
    with Stack(tmp_path_factory.mktemp("fault-stack"), namespaces=space.POOL, fast_jvm=True) as own:
        yield own
