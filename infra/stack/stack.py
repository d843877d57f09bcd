"""The local stack: real servers, one state directory, no process left behind."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from infra.stack import child, env, install, servers, state
from infra.stack.server import Place, Server, StackError, base_environment

CHECKOUT = Path(__file__).resolve().parents[2]

# The kernel ends a child when the *thread* that started it ends, so all are started by one thread that lasts as long as we do.
_starter = ThreadPoolExecutor(1, thread_name_prefix="stack-starter")


class Stack:
    """``with Stack(directory) as stack:`` starts PostgreSQL, S3, ClickHouse, Kafka and the schema registry and stops them.

    ``directory`` keeps data, ports and secrets, so a later start finds everything as it was; ``cache`` keeps downloaded jars.
    ``names``: only these servers. ``namespaces``: databases and buckets that the least-privileged users may use;
    ``analysed``: those of them that the tenants' analysts may read (default: all).
    ``fast_jvm`` compiles with C1 only: half the start-up CPU, slower at load (leave it off for benchmarks).
    Making a Stack starts nothing: ``env`` and ``state`` of a stack that another process runs can be read from it.
    """

    def __init__(
        self,
        directory: Path,
        cache: Path | None = None,
        *,
        names: Iterable[str] = tuple(servers.ALL),
        namespaces: Iterable[str] = ("audit",),
        analysed: Iterable[str] | None = None,
        fast_jvm: bool = False,
    ) -> None:
        self.directory = directory.resolve()
        self.names = tuple(names)
        self.state = state.load(self.directory)
        whole = tuple(namespaces)
        read = whole if analysed is None else tuple(analysed)
        self.place = Place(self.directory, (cache or default_cache()).resolve(), self.state, fast_jvm, whole, read)
        self.servers: dict[str, Server] = {n: servers.ALL[n](self.place) for n in self.names}
        self.env = env.everything(self.directory, self.state, self.place.namespaces[0])
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock: int | None = None

    def start(self, *names: str) -> None:
        """Start all servers, or only ``names``, side by side, and wait until each answers.

        Raises StackError: one does not start (the end of its log is in the text) or the directory is in use; InstallError.
        """
        self.claim()
        install.jars(self.place.cache)
        env.write_token_files(self.directory, self.state)
        names, failed = names or self.names, Event()
        answers = {n: Event() for n in names}

        def one(name: str) -> None:
            try:
                for need in self.servers[name].needs:
                    while need in answers and not answers[need].wait(0.2) and not failed.is_set():
                        pass
                if not failed.is_set():
                    self.launch(name)
                    self.wait(name, cancelled=failed)
                    answers[name].set()
            except BaseException:
                failed.set()
                raise

        pool = ThreadPoolExecutor(max(len(names), 1))
        try:
            for task in [pool.submit(one, n) for n in names]:
                task.result()
        finally:
            failed.set()
            pool.shutdown()

    def add(self, server: Server) -> None:
        """Take in a further process; it is started by ``start(name)``, and stopped before what it needs."""
        self.servers[server.name] = server
        self.names += (server.name,)

    def claim(self) -> None:
        """Take the directory for this process; StackError when another one has it."""
        if self._lock is not None:
            return
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StackError(f"a stack already runs in {self.directory}: `make down` ends it") from None
        self._lock = lock

    def launch(self, name: str) -> None:
        """Start one server without waiting for it; ``wait`` does that."""
        server = self.servers[name]
        server.prepare()
        environment = {**base_environment(), **server.environment()}
        argv = child.wrapped(server.command(), userns=server.userns)
        self._processes[name] = spawn(argv, environment, self.log(name))

    def wait(self, name: str, limit: float = 90, cancelled: Event | None = None) -> None:
        """Return once the server answers a real request, or ``cancelled`` is set.

        Raises StackError after ``limit`` seconds without an answer, or at once when the server ended.
        """
        server, deadline, wrong = self.servers[name], time.monotonic() + limit, "no answer"
        while not (cancelled and cancelled.is_set()):
            if (code := self._processes[name].poll()) is not None:
                raise StackError(f"{name} ended with exit code {code} while it started. {tail(self.log(name))}")
            try:
                if server.ready():
                    server.settle()
                    return
            except Exception as exc:
                wrong = str(exc).strip()
            if time.monotonic() > deadline:
                raise StackError(f"{name} does not answer after {limit:.0f} s ({wrong}). {tail(self.log(name))}")
            time.sleep(0.05)

    def pid(self, name: str) -> int | None:
        """Process id of a server that was started here, None while it is down."""
        process = self._processes.get(name)
        return process.pid if process and process.poll() is None else None

    def answers(self, name: str) -> bool:
        """Whether the server answers a real request now; also for a stack that another process runs."""
        try:
            return self.servers[name].ready()
        except Exception:
            return False

    def poll(self, name: str) -> int | None:
        """Exit code of a server that has ended (negative: the signal), None while it runs."""
        return self._processes[name].poll()

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the kernel has taken it away."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stop(self, *names: str, limit: float = 20) -> None:
        """End all servers, or only ``names``, in order and cleanly; one that takes longer than ``limit`` seconds is killed."""
        left = [n for n in names or self.names if n in self._processes]
        while left:
            needed = {need for n in left for need in self.servers[n].needs}
            wave = [n for n in left if n not in needed]
            left = [n for n in left if n in needed]
            for name in wave:
                if self.poll(name) is None:
                    self._processes[name].send_signal(self.servers[name].stop_signal)
            for name in wave:
                end(self._processes[name], limit)
                self.servers[name].ended()
                del self._processes[name]
        if not self._processes and self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def log(self, name: str) -> Path:
        """Where the server's output goes."""
        return self.directory / "log" / f"{name}.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def spawn(argv: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a wrapped program (`child.wrapped`) with its output appended to ``log``, from the thread that lasts."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, umask=0o077
            )

    return _starter.submit(start).result()


def end(process: subprocess.Popen[bytes], limit: float) -> None:
    """Wait ``limit`` seconds for a process that was asked to end, then kill it."""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log as a text for people."""
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:] if log.exists() else []
    return f"The end of {log}:\n" + ("\n".join(f"  {line}" for line in text) or "  (it is empty)")


def default_cache() -> Path:
    """``AUDITWIRE_CACHE_DIR``, or `.cache/stack` in the checkout."""
    return Path(os.environ.get("AUDITWIRE_CACHE_DIR") or CHECKOUT / ".cache" / "stack")
