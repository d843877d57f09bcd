"""A whole pipeline that can be broken: servers, supervised parts, wires between them, a steady load, spare instances."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from confluent_kafka import KafkaException

from bench.watch import Offsets
from connectors.kafka import Cluster, cluster_of
from connectors.kafka_read import ReadError
from infra.stack import Stack, env, own, parts, ports, supervisor
from infra.stack.server import StackError
from infra.stack.servers.clickhouse import ClickHouse
from infra.stack.supervisor import Supervisor
from pipeline import settings
from tests import mounts
from tests.faults.harness.controls import Control
from tests.faults.harness.producer import Load, NotSettled
from tests.wire import Wire

SERVERS = ("kafka", "registry", "clickhouse", "s3", "postgres")
PARTS = ("ingest", "processor", "clickhouse-sink", "archive-sink", "ledger-sink")
WIRED = {
    "clickhouse": "AUDITWIRE_CLICKHOUSE_URL",
    "s3": "AUDITWIRE_S3_ENDPOINT",
    "registry": "AUDITWIRE_SCHEMA_REGISTRY_URL",
}
SESSION_SECONDS = 6.0
TUNING = {
    "AUDITWIRE_CLICKHOUSE_SINK_FLUSH_MS": "500",
    "AUDITWIRE_PROCESSOR_LINGER_MS": "250",
    **{f"AUDITWIRE_{part}_SESSION_TIMEOUT_MS": "6000" for part in ("PROCESSOR", "CLICKHOUSE_SINK", "ARCHIVE_SINK")},
}
AS_INSTALLED = ("env", "ARROW_DEFAULT_MEMORY_POOL=system")  # as `auditwired` sets it for its parts
SMALL_DISK = 'mkdir -p "$0" && mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"'
Say = Callable[[str], None]


class Mortal(Stack):
    """A stack that does not start a server that is to stay away, whoever asks."""

    def __init__(self, directory: Path, *, fast_jvm: bool) -> None:
        super().__init__(directory, fast_jvm=fast_jvm)
        self.away: set[str] = set()

    def launch(self, name: str) -> None:
        while name in self.away:
            time.sleep(0.1)
        super().launch(name)


@dataclass
class World:
    """``with World(folder, …) as world``: everything answers and the load runs. ``say`` hears of what dies and comes back.

    ``flush_seconds``: at what age the archive closes an object; few seconds make many objects, which cost fsck a look each.
    """

    folder: Path
    off: Control | None = None
    rate: float = 300.0
    say: Say = lambda text: None
    fast_jvm: bool = False
    receiver_spool: bool = True
    flush_seconds: float = 4.0
    wires: dict[str, Wire] = field(default_factory=dict)
    spares: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._exits = ExitStack()
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._exits.close()

    def _start(self) -> None:
        self.stack = Mortal(self.folder / "state", fast_jvm=self.fast_jvm)
        kafka = self.wires["kafka"] = self._exits.enter_context(Wire(self.stack.env["AUDITWIRE_KAFKA_BOOTSTRAP"]))
        self.stack.place.advertised["kafka"] = kafka.port
        for name, setting in WIRED.items():
            self.wires[name] = self._exits.enter_context(Wire(self.stack.env[setting]))
        wired = {setting: _through(self.stack.env[setting], self.wires[name]) for name, setting in WIRED.items()}
        wired["AUDITWIRE_KAFKA_BOOTSTRAP"] = f"127.0.0.1:{kafka.port}"
        if self.receiver_spool:
            wired["AUDITWIRE_INGEST_SPOOL_DIR"] = str(self.folder / "state" / "spool-ingest")
        tuning = {**TUNING, "AUDITWIRE_ARCHIVE_SINK_FLUSH_SECONDS": str(self.flush_seconds)}
        self.env = {**own.settings_for(tuning, self.stack.env, False), **wired}
        supervisor.LONGEST_PAUSE = 1.0  # they die often here, and it is not this pause that is measured
        commands = {part: self.command(part) for part in PARTS}
        self.up = self._exits.enter_context(Supervisor(self.stack, self.env, self.say, commands=commands))
        self.progress = Offsets(settings.load(settings.Migrate, self.direct))
        self._exits.callback(self.progress.close)
        spool = {"AUDITWIRE_SPOOL_DIR": str(self.folder / "spool"), "AUDITWIRE_SPOOL_KEY": "5f" * 32}
        self.load = Load({**env.looker_in(self.stack.state, self.env), **spool}, self.folder, self.rate)
        self._exits.callback(self.load.kill)
        self.load.start()

    @property
    def direct(self) -> dict[str, str]:
        """Every setting, past the wires but Kafka's, which it advertises: for those who look and for operators."""
        return {**self.env, **{setting: self.stack.env[setting] for setting in WIRED.values()}}

    def command(self, part: str, name: str = "") -> list[str]:
        """How a part is started: with hooks for faults where it has named points, on a small disk where it needs one."""
        if part in ("ingest", "ledger-sink"):
            return [sys.executable, "-m", "pipeline", part]
        off = self.off.parts.get(part, ()) if self.off else ()
        argv = [*AS_INSTALLED, sys.executable, "-m", "tests.faults.harness.part", part, str(self.orders(part)), *off]
        if part == "archive-sink" and mounts.possible():
            spill = self.folder / "state" / ("spill" + name)
            return ["unshare", "-rm", "sh", "-c", SMALL_DISK, str(spill), *argv]
        return argv

    def orders(self, part: str) -> Path:
        """Where a part looks for what to do to itself; see `tests.faults.harness.part`."""
        return self.folder / f"orders-{part}"

    def order(self, part: str, text: str, seconds: float = 60.0) -> None:
        """Give an order and wait until it is carried out."""
        path = self.orders(part)
        draft = path.with_suffix(".draft")
        draft.write_text(text, encoding="ascii")
        draft.rename(path)
        try:
            self.until(lambda: not path.exists(), seconds, f"{part} did not come to {text!r}")
        finally:
            path.unlink(missing_ok=True)

    def send(self, name: str, number: int) -> int:
        """A signal to a part or server; its process id."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def pid(self, name: str) -> int:
        """Waits until the part or server runs."""
        self.until(lambda: self.stack.pid(name) is not None, 60, f"{name} does not run")
        return cast(int, self.stack.pid(name))

    def back(self, name: str, old: int | None = None, seconds: float = 150.0) -> None:
        """Wait until it answers, as another process than ``old``."""
        self.until(
            lambda: self.stack.pid(name) not in (None, old) and self.stack.answers(name), seconds, f"{name} does not answer"
        )

    def frozen(self, *names: str) -> str:
        """Wait until one of these instances is stopped by a signal; its name."""
        self.until(lambda: any(_stopped(self.stack.pid(name)) for name in names), 60, f"none of {names} stops")
        return next(name for name in names if _stopped(self.stack.pid(name)))

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Killed, and not started again before the block ends."""
        self.stack.away.add(name)
        try:
            self.send(name, signal.SIGKILL)
            yield
        finally:
            self.stack.away.discard(name)

    @contextmanager
    def spare(self, part: str, **overrides: str) -> Iterator[str]:
        """A second instance, which answers; it ends cleanly. Gives its name."""
        name = self.spares.get(part)
        if name is None:
            name = self.spares[part] = f"{part}-2"
            self.stack.add(self._second(part, name, overrides))
        self.stack.launch(name)
        try:
            try:
                self.stack.wait(name)
            except StackError:  # a server that has just come back may refuse it once: whoever supervises starts it again
                self.stack.launch(name)
                self.stack.wait(name)
            yield name
        finally:
            self.stack.stop(name)

    def _second(self, part: str, name: str, overrides: Mapping[str, str]) -> parts.Part:
        first, second = ports.pick(2, self.stack.state.ports.values())
        own_places = {
            "AUDITWIRE_INGEST_LISTEN": f"127.0.0.1:{second}",
            "AUDITWIRE_ARCHIVE_SINK_SPILL_DIR": str(self.folder / "state" / "spill-2"),
            "AUDITWIRE_INGEST_SPOOL_DIR": str(self.folder / "state" / "spool-ingest-2") if self.receiver_spool else "",
            "AUDITWIRE_PROCESSOR_DATA_DIR": str(self.folder / "state" / "faust-2"),
        }
        environment = parts.environment_of(part, {**self.env, **own_places, **overrides}, self.stack.place)
        environment["AUDITWIRE_ADMIN_LISTEN"] = f"127.0.0.1:{first}"
        return parts.Part(self.stack.place, name, environment, self.command(part, "-2"))

    def spare_environment(self, part: str) -> Mapping[str, str]:
        """Settings of the second instance."""
        return self.stack.servers[self.spares[part]].environment()

    def health(self, part: str) -> str:
        """What /healthz says when it is not well; empty when it is."""
        try:
            with urllib.request.urlopen(cast(parts.Part, self.stack.servers[part]).admin + "/healthz", timeout=5):
                return ""
        except urllib.error.HTTPError as refusal:
            return str(json.loads(refusal.read())["reason"])
        except OSError:
            return "no answer"

    def sent_on(self, receiver: str, seconds: float) -> None:
        """Wait until a receiver has nothing left in its spool; Kafka then has what was acknowledged."""
        part = cast(parts.Part, self.stack.servers[receiver])

        def empty() -> bool:
            with suppress(OSError), urllib.request.urlopen(part.admin + "/metrics", timeout=10) as answer:
                return re.search(rb"^auditwire_ingest_spool_records 0\.0$", answer.read(), re.MULTILINE) is not None
            return False

        self.until(empty, seconds, f"{receiver} keeps records in its spool")

    def log(self, part: str) -> str:
        return self.stack.log(part).read_text(errors="replace")

    def clickhouse(self, sql: str) -> str:
        """As the stack's own user, who may do what no part may."""
        return cast(ClickHouse, self.stack.servers["clickhouse"]).query(sql)

    def cluster(self, model: type[settings.Common]) -> Cluster:
        """Kafka as the user of a part or tool."""
        return cluster_of(dict(settings.load(model, self.direct)))

    def until(self, holds: Callable[[], object], seconds: float, what: str) -> float:
        """Seconds until it held. Raises NotSettled."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                raise NotSettled(f"{what} ({seconds:.0f} s)")
            time.sleep(0.05)
        return time.monotonic() - began

    def recover(self, seconds: float) -> None:
        """Wait until everything that is in the raw topic now is stored in both places. Raises NotSettled."""
        deadline = time.monotonic() + seconds
        ends = self._asked(lambda: self.progress.ends("processor"), deadline)
        self._reached(["processor"], ends, deadline)
        ends = self._asked(lambda: self.progress.ends("clickhouse-sink"), deadline)
        self._reached(["clickhouse-sink", "archive-sink"], ends, deadline)

    def _reached(self, stages: Sequence[str], ends: list[int], deadline: float) -> None:
        for stage in stages:
            while not self._asked(lambda stage=stage: (self.progress.reached(stage, ends),), deadline)[0]:  # type: ignore[misc]
                if time.monotonic() > deadline:
                    raise NotSettled(
                        f"{stage} has not done everything up to {ends}: {self.health(stage) or 'it calls itself well'}"
                    )
                time.sleep(0.1)

    def _asked(self, ask: Callable[[], Any], deadline: float) -> Any:
        while True:
            try:
                return ask()
            except (KafkaException, ReadError) as exc:
                if time.monotonic() > deadline:
                    raise NotSettled(f"Kafka does not tell where the groups stand: {exc}") from None
                self.progress.renew()
                time.sleep(0.2)


def _through(url: str, wire: Wire) -> str:
    """The same URL by way of a wire."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://127.0.0.1:{wire.port}/{rest.partition('/')[2]}".rstrip("/")


def _stopped(pid: int | None) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


def resume(pid: int) -> None:
    """SIGCONT, where the process is still there."""
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return
