"""What a stack keeps in its state directory from one start to the next: ports, secrets, identities."""

from __future__ import annotations

import base64
import fcntl
import json
import secrets
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.stack import ports

PARTS = ("ingest", "processor", "clickhouse-sink", "archive-sink", "ledger-sink", "export", "reference-publisher", "lag-exporter")
KAFKA_USERS = ("admin", "sdk", *PARTS, "operator", "retention")
CLICKHOUSE_USERS = (
    "ops",
    "admin",
    "sink",
    "ledger_sink",
    "rebuild",
    "retention",
    "rules",
    "export",
    "operator",
    "analyst",
    "analyst_demo",
    "analyst_acme",
)
S3_IDENTITIES = ("admin", "archive", "rebuild", "retention", "export", "reader", "operator")
PART_ROLES = ("export", "operator", "reference", "rules", "reference_publisher", "retention")
POSTGRES_ROLES = ("postgres", "registry", "auditwire", *PART_ROLES)

_PORTS = (
    "postgres",
    *("clickhouse_tcp", "clickhouse_http"),
    *("kafka", "kafka_controller"),
    *("registry", "registry_management"),
    *("s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "admin", "admin_grpc"),
    *("ingest_listen", "export_listen"),
    *(f"{part}_admin" for part in PARTS),
)
_SECRETS = (
    *(f"kafka_{u}" for u in KAFKA_USERS),
    "kafka_controller",
    *(f"clickhouse_{u}" for u in CLICKHOUSE_USERS),
    *(f"s3_{i}" for i in S3_IDENTITIES),
    *(f"postgres_{r}" for r in POSTGRES_ROLES),
    *("jwt_volume", "jwt_volume_read", "jwt_filer", "jwt_filer_read"),
    *("ingest_token", "export_token", "sealing_key", "retention_signing_key"),
)


@dataclass(frozen=True)
class State:
    """Ports by use, secrets by user, and Kafka's cluster id. Written once, mode 0600; a later start reads it back."""

    ports: dict[str, int]
    secrets: dict[str, str] = field(repr=False)
    cluster_id: str


def _secret(name: str) -> str:
    raw = secrets.token_bytes(32)
    return (
        base64.b64encode(raw).decode()
        if name in ("sealing_key", "retention_signing_key")
        else base64.urlsafe_b64encode(raw).decode().rstrip("=")
    )


def load(directory: Path) -> State:
    """The state in ``directory``, made at the first call; names that a newer version needs are added.

    Raises OSError when the directory cannot be written; give another one (AUDITWIRE_STATE_DIR).
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "state.json"
    with (directory / "state.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = path.read_text(encoding="utf-8") if path.exists() else '{"ports": {}, "secrets": {}, "cluster_id": ""}'
        old: dict[str, Any] = json.loads(text)
        state = State(
            ports=_with_ports(old["ports"] if _runs(directory) else _ours(old["ports"])),
            secrets={n: _secret(n) for n in _SECRETS} | old["secrets"],
            cluster_id=old["cluster_id"] or base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        )
        if asdict(state) != old:
            private(path, json.dumps(asdict(state), indent=1))
    return state


def _runs(directory: Path) -> bool:
    """Whether some process runs the stack in ``directory`` now: then its ports are in use rightly."""
    with (directory / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _ours(old: dict[str, int]) -> dict[str, int]:
    """The ports that we may still use; another program may have taken some while this stack was down."""
    kept = {name: port for name, port in old.items() if ports.usable(port)}
    if "admin" not in kept or "admin_grpc" not in kept:
        kept = {name: port for name, port in kept.items() if name not in ("admin", "admin_grpc")}
    return kept


def _with_ports(old: dict[str, int]) -> dict[str, int]:
    new = [n for n in _PORTS if n not in old]
    while True:
        found = {**old, **dict(zip(new, ports.pick(len(new), old.values()), strict=True))}
        # SeaweedFS's maintenance worker looks for the admin server's gRPC port there and nowhere else.
        found["admin"] = found["admin_grpc"] - 10_000
        if "admin" in old or (ports.usable(found["admin"]) and len(set(found.values())) == len(found)):
            return found


def private(path: Path, text: str) -> Path:
    """Write ``text`` to ``path`` in one step, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path
