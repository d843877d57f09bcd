"""Analysts of one tenant in ClickHouse: who they are (`analysts.yaml`), what they may read, and how much of it.

docs/analysts.md repeats limits and quota as SQL for servers of one's own; a test compares the two.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.stack import state
from infra.stack.server import StackError

FILE = "analysts.yaml"
DEMO = ("demo", "acme")
VIEWS = ("tool_calls", "denials_and_failures", "sessions", "model_usage", "approvals", "who_did_what_for_whom")
TABLES = ("events", "ledger_sequences")  # row policies filter these, and the views with them
READS = (*TABLES, *VIEWS)
LIMITS = {
    "max_execution_time": 30,
    "max_rows_to_read": 1_000_000_000,
    "max_result_rows": 100_000,
    "max_result_bytes": 100_000_000,
    "max_memory_usage": 1_000_000_000,
    "max_threads": 4,
}
"""Per query: may be lowered by the analyst, from 1 on (0 would mean no limit)."""

FIXED = {"max_concurrent_queries_for_user": 8, "max_temporary_data_on_disk_size_for_query": 2_000_000_000, "async_insert": 0}
FREE = (
    *("date_time_output_format", "extremes", "join_use_nulls", "log_comment", "session_timezone"),
    *("output_format_json_quote_64bit_integers", "output_format_json_quote_decimals", "output_format_pretty_row_numbers"),
    *("cancel_http_readonly_queries_on_client_close", "enable_http_compression", "send_progress_in_http_headers"),
)
"""Settings that change the form of an answer at most; clients send some of them unasked."""

QUOTAS: dict[int, dict[str, int]] = {
    60: {"queries": 1200},
    3600: {"read_rows": 20_000_000_000, "result_rows": 10_000_000, "execution_time": 1200},
}
"""Seconds → what a user may use up in so many seconds."""

HEAD = f"""\
# Who may read which tenant's events in ClickHouse; see docs/analysts.md. Read at start: `make down`, then `make up`.
# password_sha256: printf %s "$PASSWORD" | sha256sum
# Those of {" and ".join(f"analyst_{t}" for t in DEMO)} are in state.json.
"""
USER, TENANT, DIGEST = r"analyst_[a-z0-9_]{1,64}", r"[a-z0-9_.-]{1,64}", r"[0-9a-f]{64}"


@dataclass(frozen=True)
class Analyst:
    """A user who sees rows of one tenant."""

    user: str
    tenant: str
    password_sha256: str


def load(directory: Path, secrets: Mapping[str, str]) -> list[Analyst]:
    """The analysts that `analysts.yaml` in the state directory names; written at the first call with those of the demo.

    Raises StackError that names the entry and what is wrong with it, never a digest.
    """
    path = directory / FILE
    if not path.exists():
        lines = (
            f"- {{user: analyst_{t}, tenant: {t}, password_sha256: {_sha256(secrets[f'clickhouse_analyst_{t}'])}}}" for t in DEMO
        )
        state.private(path, HEAD + "\n".join(lines) + "\n")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except yaml.YAMLError as exc:
        raise StackError(f"{path} is not YAML: {getattr(exc, 'problem', '')} {getattr(exc, 'problem_mark', '')}") from None
    if not isinstance(found, list):
        raise StackError(f"{path} must be a list of entries {{user, tenant, password_sha256}}")
    analysts = [_entry(path, number, entry) for number, entry in enumerate(found, 1)]
    users = [a.user for a in analysts]
    if twice := sorted({u for u in users if users.count(u) > 1}):
        raise StackError(f"{path}: {twice[0]} is there twice; a user belongs to one tenant")
    return analysts


def _entry(path: Path, number: int, entry: object) -> Analyst:
    rules = {"user": USER, "tenant": TENANT, "password_sha256": DIGEST}
    if not isinstance(entry, dict) or set(entry) != set(rules):
        raise StackError(f"{path}, entry {number}: it must have user, tenant and password_sha256, and nothing else")
    values = {name: str(value) for name, value in entry.items()}
    for name, rule in rules.items():
        if not re.fullmatch(rule, values[name]):
            raise StackError(f"{path}, entry {number}: {name} must match {rule}")
    return Analyst(**values)


def profile() -> str:
    """The settings profile `analyst`: read only, with limits that an analyst can lower and not raise."""
    values = {"readonly": 1, **LIMITS, **FIXED}
    bounds = {name: f"<min>1</min><max>{value}</max>" for name, value in LIMITS.items()}
    free = {**bounds, **dict.fromkeys(FREE, "")}
    settings = "".join(f"      <{n}>{v}</{n}>\n" for n, v in values.items())
    allowed = "".join(f"        <{n}>{limits}<changeable_in_readonly/></{n}>\n" for n, limits in free.items())
    return f"    <analyst>\n{settings}      <constraints>\n{allowed}      </constraints>\n    </analyst>\n"


def quota() -> str:
    """The quota `analyst`, which counts for each user alone."""
    intervals = "".join(
        f"      <interval><duration>{seconds}</duration>{''.join(f'<{n}>{v}</{n}>' for n, v in limits.items())}</interval>\n"
        for seconds, limits in QUOTAS.items()
    )
    return f"    <analyst>\n{intervals}    </analyst>\n"


def grants(namespace: str) -> list[str]:
    """What an analyst of a tenant may read in one namespace.

    Without the columns that tell of parts: they count rows of others, and who may read a table as a whole may also ask
    mergeTreeAnalyzeIndexes what lies in it.
    """
    read = ", ".join(f"SELECT ON `{namespace}`.{name}" for name in READS)
    hidden = "_part, _part_offset, _part_starting_offset, _partition_id, _block_number, _block_offset"
    shown = ", ".join(f"SHOW COLUMNS ON `{namespace}`.{name}" for name in TABLES)
    return [f"GRANT {shown}, {read}", *(f"REVOKE SELECT({hidden}) ON `{namespace}`.{name}" for name in TABLES)]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def server_sql(namespace: str = "audit") -> str:
    """Profile, quota and role as SQL for a server of one's own."""
    free = "CHANGEABLE_IN_READONLY"
    limits = [f"{name} = {limit} MIN 1 MAX {limit} {free}" for name, limit in LIMITS.items()]
    settings = ["readonly = 1", *limits, *(f"{n} = {v}" for n, v in FIXED.items()), *(f"{name} {free}" for name in FREE)]
    quotas = [
        f"FOR INTERVAL {seconds} second MAX {', '.join(f'{n} = {v}' for n, v in limits.items())}"
        for seconds, limits in QUOTAS.items()
    ]
    granted, *revoked = grants(namespace)
    return (
        "CREATE SETTINGS PROFILE auditwire_analyst SETTINGS\n    " + ",\n    ".join(settings) + ";\n"
        "CREATE ROLE auditwire_analyst SETTINGS PROFILE 'auditwire_analyst';\n"
        "CREATE QUOTA auditwire_analyst KEYED BY user_name\n    "
        + ",\n    ".join(quotas)
        + "\n    TO auditwire_analyst;\n"
        + textwrap.fill(f"{granted} TO auditwire_analyst;", 120, subsequent_indent="    ")
        + "".join(f"\n{each} FROM auditwire_analyst;" for each in revoked)
    )
