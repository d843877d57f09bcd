"""Servers that do not answer, wrong credentials, missing rights: what each part and tool says, run as a process.

Every case names the server and its address or user, says what to do, comes within a bounded time, and quotes no password.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from infra.stack import ports
from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from pipeline import settings
from tests.export_service import DAY, TOKENS, write_principals
from tests.integration.test_ingest import TOKEN
from tests.sinks import CleanTopic
from tests.space import Space

NOBODY = "127.0.0.1:9"
SECRET = "wrong-hunter2"
SECONDS = 180.0
PATIENT = ("reference-publisher", "processor")  # what they wait for takes longest
TOOLS = {"migrate": ("migrate",), "fsck": ("fsck",), "quarantine": ("quarantine", "list")}

KAFKA = {"KAFKA_BOOTSTRAP": NOBODY}
REGISTRY = {"SCHEMA_REGISTRY_URL": f"http://{NOBODY}/apis/ccompat/v7"}
CLICKHOUSE = {"CLICKHOUSE_URL": f"http://{NOBODY}"}
S3 = {"S3_ENDPOINT": f"http://{NOBODY}"}
NO_KAFKA = r"Kafka 127.0.0.1:9 does not answer \(\w+\): is it up, is AUDITWIRE_KAFKA_BOOTSTRAP right\?"
NO_REGISTRY = r"schema registry http://127.0.0.1:9/apis/ccompat/v7 does not answer \(\w+\): check AUDITWIRE_SCHEMA_REGISTRY_URL"
NO_CLICKHOUSE = r"ClickHouse http://127.0.0.1:9 does not answer \(\w+\): is it up, is AUDITWIRE_CLICKHOUSE_URL right\?"
NO_S3 = r"S3 http://127.0.0.1:9 does not answer \(\w+\): is it up, is AUDITWIRE_S3_ENDPOINT right\?"
NO_POSTGRES = r"PostgreSQL 127.0.0.1:9/\w+ does not answer: is it up, is the POSTGRES_DSN setting right\?"


@dataclass(frozen=True)
class Case:
    """A part or tool with settings made wrong; ``code``: its exit code, None where it goes on and waits."""

    part: str
    wrong: dict[str, str] = field(hash=False)
    says: str
    code: int | None = None
    user: str = field(default="")  # run as this Kafka user, with its right password

    def __str__(self) -> str:
        kind = "secret" if any(SECRET in v and NOBODY not in v for v in self.wrong.values()) else "address"
        return f"{self.part}-{self.user + '-may-not' if self.user else '-'.join((*self.wrong, kind))}"


def password(user: str) -> str:
    return (
        rf"Kafka 127.0.0.1:\d+ refused the password of user {user}: correct the part's KAFKA_USERNAME and KAFKA_PASSWORD settings"
    )


def may_not(user: str, right: str, resource: str) -> str:
    grant = rf"`kafka-acls.sh --add --allow-principal User:{user} --operation {right} --{resource}`"
    return rf"Kafka user {user} lacks the right {right} on {resource}: run `auditwired migrate`, .* or {grant}"


def clickhouse_password(user: str) -> str:
    return rf"ClickHouse http://127.0.0.1:\d+ refused the name or password of user {user}: correct the part's CLICKHOUSE_USER and"


def s3_secret(key: str) -> str:
    return rf"S3 http://127.0.0.1:\d+.*access key {key} or its secret is wrong"


def postgres_password(user: str) -> str:
    return rf"PostgreSQL 127.0.0.1:\d+/\w+ refused the password of user {user}: correct the POSTGRES_DSN setting"


CASES = (
    # does not answer
    Case("ingest", KAFKA, NO_KAFKA),
    Case("ingest", REGISTRY, NO_REGISTRY),
    Case("processor", KAFKA, NO_KAFKA, 75),
    Case("processor", REGISTRY, NO_REGISTRY, 75),
    Case("clickhouse-sink", KAFKA, NO_KAFKA, 1),
    Case("clickhouse-sink", REGISTRY, NO_REGISTRY),
    Case("clickhouse-sink", CLICKHOUSE, NO_CLICKHOUSE),
    Case("archive-sink", KAFKA, NO_KAFKA, 1),
    Case("archive-sink", REGISTRY, NO_REGISTRY),
    Case("archive-sink", S3, NO_S3),
    Case("ledger-sink", KAFKA, NO_KAFKA, 1),
    Case("ledger-sink", CLICKHOUSE, NO_CLICKHOUSE),
    Case("export", KAFKA, r"no broker of 127.0.0.1:9 answers \(.*check AUDITWIRE_KAFKA_BOOTSTRAP, .*and the network"),
    Case("export", REGISTRY, r"the schema registry cannot be reached at http://127.0.0.1:9/.*check AUDITWIRE_SCHEMA_REGISTRY"),
    Case("export", CLICKHOUSE, NO_CLICKHOUSE),
    Case("export", S3, NO_S3),
    Case("export", {"EXPORT_POSTGRES_DSN": f"postgresql://export:{SECRET}@{NOBODY}/audit"}, NO_POSTGRES),
    Case("reference-publisher", KAFKA, NO_KAFKA),
    Case("reference-publisher", REGISTRY, NO_REGISTRY),
    Case("reference-publisher", {"REFERENCE_PUBLISHER_POSTGRES_DSN": f"postgresql://x:{SECRET}@{NOBODY}/audit"}, NO_POSTGRES),
    Case("lag-exporter", KAFKA, NO_KAFKA),
    Case("migrate", KAFKA, NO_KAFKA, 1),
    Case("migrate", REGISTRY, NO_REGISTRY, 1),
    Case("migrate", CLICKHOUSE, NO_CLICKHOUSE, 1),
    Case("migrate", S3, NO_S3, 1),
    Case("migrate", {"ADMIN_POSTGRES_DSN": f"postgresql://auditwire:{SECRET}@{NOBODY}/audit"}, NO_POSTGRES, 1),
    Case("fsck", KAFKA, NO_KAFKA, 2),
    Case("fsck", CLICKHOUSE, NO_CLICKHOUSE, 2),
    Case("fsck", S3, NO_S3, 2),
    Case("quarantine", KAFKA, NO_KAFKA, 1),
    # wrong credentials
    Case("ingest", {"INGEST_KAFKA_PASSWORD": SECRET}, password("ingest")),
    Case("processor", {"PROCESSOR_KAFKA_PASSWORD": SECRET}, password("processor"), 75),
    Case("clickhouse-sink", {"CLICKHOUSE_SINK_KAFKA_PASSWORD": SECRET}, password("clickhouse-sink"), 1),
    Case("clickhouse-sink", {"CLICKHOUSE_SINK_CLICKHOUSE_PASSWORD": SECRET}, clickhouse_password("sink"), 1),
    Case("archive-sink", {"ARCHIVE_SINK_KAFKA_PASSWORD": SECRET}, password("archive-sink"), 1),
    Case("archive-sink", {"ARCHIVE_SINK_S3_SECRET_ACCESS_KEY": SECRET}, s3_secret("archive"), 1),
    Case("ledger-sink", {"LEDGER_SINK_KAFKA_PASSWORD": SECRET}, password("ledger-sink"), 1),
    Case("ledger-sink", {"LEDGER_SINK_CLICKHOUSE_PASSWORD": SECRET}, clickhouse_password("ledger_sink"), 1),
    Case("export", {"EXPORT_KAFKA_PASSWORD": SECRET}, r"Kafka refused the credentials of user 'export' "),
    Case("export", {"EXPORT_CLICKHOUSE_PASSWORD": SECRET}, clickhouse_password("export")),
    Case("export", {"EXPORT_S3_SECRET_ACCESS_KEY": SECRET}, s3_secret("export")),
    Case("export", {"EXPORT_POSTGRES_DSN": f"postgresql://export:{SECRET}@{{postgres}}"}, postgres_password("export")),
    Case("reference-publisher", {"REFERENCE_PUBLISHER_KAFKA_PASSWORD": SECRET}, password("reference-publisher")),
    Case("lag-exporter", {"LAG_EXPORTER_KAFKA_PASSWORD": SECRET}, password("lag-exporter")),
    Case("migrate", {"ADMIN_KAFKA_PASSWORD": SECRET}, password("admin"), 1),
    Case("migrate", {"ADMIN_CLICKHOUSE_PASSWORD": SECRET}, clickhouse_password("admin"), 1),
    Case("migrate", {"ADMIN_S3_SECRET_ACCESS_KEY": SECRET}, s3_secret("admin"), 1),
    Case("migrate", {"ADMIN_POSTGRES_DSN": f"postgresql://auditwire:{SECRET}@{{postgres}}"}, postgres_password("auditwire"), 1),
    Case("fsck", {"OPERATOR_KAFKA_PASSWORD": SECRET}, password("operator"), 2),
    Case("fsck", {"OPERATOR_CLICKHOUSE_PASSWORD": SECRET}, clickhouse_password("operator"), 2),
    Case("fsck", {"OPERATOR_S3_SECRET_ACCESS_KEY": SECRET}, s3_secret("operator"), 2),
    Case("quarantine", {"OPERATOR_KAFKA_PASSWORD": SECRET}, password("operator"), 1),
    # a right is missing
    Case("ingest", {}, may_not("processor", "Write", r"topic \w+.raw"), user="processor"),
    Case("ingest", {}, may_not("archive-sink", "IdempotentWrite", "cluster"), 1, user="archive-sink"),
    Case("processor", {}, may_not("sdk", "Read", r"group \w+-processor"), 75, user="sdk"),
    Case("processor", {}, may_not("archive-sink", "Describe", r"topic \w+.raw"), 75, user="archive-sink"),
    Case("clickhouse-sink", {}, may_not("sdk", "Describe", r"topic \w+.events"), 1, user="sdk"),
    Case("clickhouse-sink", {}, may_not("archive-sink", "Read", r"group \w+-clickhouse-sink"), user="archive-sink"),
    Case("archive-sink", {}, may_not("clickhouse-sink", "Read", r"group \w+-archive-sink"), user="clickhouse-sink"),
    Case("ledger-sink", {}, may_not("operator", "Read", r"group \w+-ledger-sink"), user="operator"),
    Case("ledger-sink", {}, may_not("sdk", "Describe", r"topic \w+.ledger"), 1, user="sdk"),
    Case("export", {}, r"Kafka user 'archive-sink' may not write topic \w+.raw: use .* --producer", user="archive-sink"),
    Case("reference-publisher", {}, r"user sdk lacks the right Write on transactional-id \w+-reference-publisher", user="sdk"),
    Case("lag-exporter", {}, r"Kafka user sdk may not .*: run `auditwired migrate`", user="sdk"),
    Case("migrate", {}, r"user sdk may not administer the cluster .* set AUDITWIRE_ADMIN_KAFKA_USERNAME", 1, user="sdk"),
    Case("fsck", {}, may_not("sdk", "Describe", r"topic \w+.events"), 2, user="sdk"),
    Case("quarantine", {}, may_not("sdk", "Describe", r"topic \w+.quarantine"), 1, user="sdk"),
)  # fmt: skip


class Attempt:
    """One process of a case, watched until it says what is expected, ends or has had its time."""

    def __init__(self, space: Space, folder: Path, case: Case) -> None:
        self.case, self.space, self.log = case, space, folder / "log"
        folder.mkdir()
        admin, ingest, export = (f"127.0.0.1:{port}" for port in ports.pick(3))
        self.admin, self.ingest, self.export = admin, ingest, export
        own = {
            "ADMIN_LISTEN": admin,
            "INGEST_LISTEN": ingest,
            "EXPORT_LISTEN": export,
            "ARCHIVE_SINK_SPILL_DIR": str(folder / "spill"),
        }
        postgres = space.env["AUDITWIRE_EXPORT_POSTGRES_DSN"].partition("@")[2]
        wrong = {n: v.replace("{postgres}", postgres) for n, v in case.wrong.items()}
        self.env = {**space.env, **{settings.PREFIX + n: v for n, v in {**own, **wrong, **self._user()}.items()}}
        self.said = ""

    def _user(self) -> dict[str, str]:
        if not self.case.user:
            return {}
        part = {"migrate": "ADMIN", "fsck": "OPERATOR", "quarantine": "OPERATOR"}.get(self.case.part, self.case.part)
        name = part.upper().replace("-", "_")
        secret = self.space.stack.state.secrets[f"kafka_{self.case.user}"]
        return {f"{name}_KAFKA_USERNAME": self.case.user, f"{name}_KAFKA_PASSWORD": secret}

    def run(self) -> Attempt:
        start = time.monotonic()
        with self.log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *TOOLS.get(self.case.part, (self.case.part,))],
                env={**base_environment(), **self.env},
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            while process.poll() is None and time.monotonic() - start < SECONDS and not (self.case.code is None and self.heard()):
                self._ask()
                time.sleep(0.2)
            self.code = process.poll()
        finally:
            process.kill()
            process.wait()
        self.seconds = time.monotonic() - start
        return self

    def heard(self) -> bool:
        return re.search(self.case.says, self.text()) is not None

    def text(self) -> str:
        return self.said + self.log.read_text(errors="replace")

    def _ask(self) -> None:
        """What the health check says; and requests, for what shows only then."""
        try:
            urllib.request.urlopen(f"http://{self.admin}/healthz", timeout=2).close()
        except urllib.error.HTTPError as refusal:
            self.said += refusal.read().decode() + "\n"
            refusal.close()
        except OSError:
            return
        try:
            if self.case.part == "ingest":
                body = {"event_type": "x", "occurred_at": "2026-11-22T10:00:00Z", "source_event_id": "1"}
                httpx.post(f"http://{self.ingest}/v1/events", json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
            if self.case.part == "export":
                headers = {"Authorization": f"Bearer {TOKENS['olga@example.com']}"}
                httpx.post(f"http://{self.export}/v1/extracts", json=DAY, headers=headers, timeout=20)
        except httpx.HTTPError:
            pass


Attempts = dict[str, Future[Attempt]]


@pytest.fixture(scope="module")
def attempts(
    request: pytest.FixtureRequest, new_space: Callable[[], Space], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attempts]:
    """The chosen cases, some at a time; for the sinks there is an event in every partition."""
    empty, filled, folder = new_space(), new_space(), tmp_path_factory.mktemp("attempts")
    tokens, principals = folder / "tokens.yaml", folder / "principals.yaml"
    _write_tokens(tokens)
    write_principals(principals)
    for space in (empty, filled):
        space.provision()
        space.env |= {"AUDITWIRE_INGEST_TOKENS_FILE": str(tokens), "AUDITWIRE_EXPORT_PRINCIPALS_FILE": str(principals)}
    CleanTopic(filled).write(4)
    chosen = [c for c in CASES if any(f"[{c}]" in item.name for item in request.session.items)]
    with ThreadPoolExecutor(5) as pool:
        spaces = {c: filled if c.part.endswith("-sink") else empty for c in chosen}
        waiting = sorted(enumerate(chosen), key=lambda one: one[1].part not in PATIENT)  # these wait beside the others
        yield {str(c): pool.submit(Attempt(spaces[c], folder / str(i), c).run) for i, c in waiting}
        pool.shutdown(cancel_futures=True)


def _write_tokens(path: Path) -> None:
    from pipeline.tokens import source_entry

    path.write_text(source_entry("demo", "gitlab", TOKEN), encoding="utf-8")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_said_with_what_to_do(case: Case, attempts: Attempts) -> None:
    attempt = attempts[str(case)].result()
    assert re.search(case.says, attempt.text()), f"after {attempt.seconds:.0f} s: {attempt.text()[-3000:]}"
    assert attempt.code == case.code, attempt.text()[-2000:]
    assert SECRET not in attempt.text()
    assert "Traceback" not in attempt.text()


def test_every_part_is_tried_with_every_server_that_it_uses() -> None:
    servers = {"KAFKA_BOOTSTRAP": KAFKA, "SCHEMA_REGISTRY_URL": REGISTRY, "CLICKHOUSE_URL": CLICKHOUSE, "S3_ENDPOINT": S3}
    idle = {(part, "SCHEMA_REGISTRY_URL") for part in ("lag-exporter", "ledger-sink")}  # a setting of all parts, no use for it
    for part, model in settings.PARTS.items():
        for name in settings.names_of(model):
            short = name.removeprefix(settings.PREFIX)
            if short in servers and (part, short) not in idle:
                assert any(c.part == part and c.wrong == servers[short] for c in CASES), (part, short)
            if short.endswith(("KAFKA_PASSWORD", "CLICKHOUSE_PASSWORD", "S3_SECRET_ACCESS_KEY", "POSTGRES_DSN")):
                assert any(c.part == part and SECRET in c.wrong.get(short, "") for c in CASES), (part, short)
            if short.endswith("KAFKA_USERNAME"):
                assert any(c.part == part and c.user for c in CASES), (part, short)
