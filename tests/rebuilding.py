"""For tests of rebuilds: the command as a process, and an administrator who loses things."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass

from connectors import buckets
from connectors.clickhouse.store import Safety
from pipeline import rebuild as tool
from pipeline import settings
from pipeline.rebuild import command
from tests.fsck_world import query
from tests.sinks import ROOT
from tests.space import Space

MODELS = (settings.Operator, settings.Rebuild)


@dataclass(frozen=True)
class Done:
    """How a rebuild ended: exit code, the report, the progress."""

    code: int
    out: str
    err: str


def rebuild(space: Space, *arguments: str, safety: Safety | None = None, accounted: bool = True) -> Done:
    """`auditwired rebuild` with ``arguments``, in this process."""
    parser = argparse.ArgumentParser()
    tool.add_arguments(parser)
    values, rights, told = space.settings(settings.Operator), space.settings(settings.Rebuild), list[str]()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = command.run(parser.parse_args(arguments), values, rights, told.append, safety=safety, accounted=accounted)
    return Done(code, out.getvalue(), "\n".join(told) + err.getvalue())


def killed(space: Space, fault: str, *arguments: str) -> int:
    """The same as a process of its own, with ``fault`` as `tests.rebuild_worker` reads it; returns the exit code."""
    mine = {n: space.env[n] for model in MODELS for n in settings.names_of(model) if n in space.env}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}
    argv = [sys.executable, "-m", "tests.rebuild_worker", fault, "--", *arguments]
    return subprocess.run(argv, cwd=ROOT, env={**clean, **mine}, timeout=200, check=False).returncode


def lose_events(space: Space, where: str) -> None:
    """These events in ClickHouse are gone."""
    query(space, f"ALTER TABLE `{space.name}`.events DELETE WHERE {where} SETTINGS mutations_sync = 2")


def lose_object(space: Space, key: str) -> None:
    """All versions of an object are gone, past its lock: what a broken store or an administrator could do."""
    values = space.settings(settings.Migrate)
    secret = values.s3_secret_access_key.get_secret_value()
    client = buckets.admin_client(values.s3_endpoint, values.s3_region, values.s3_access_key_id, secret)
    for version in client.list_object_versions(Bucket=values.s3_bucket, Prefix=key).get("Versions", []):
        client.delete_object(Bucket=values.s3_bucket, Key=key, VersionId=version["VersionId"], BypassGovernanceRetention=True)
    client.close()
