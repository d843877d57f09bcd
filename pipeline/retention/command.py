"""The actions of `auditwired retention`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline import settings
from pipeline.counts import counted
from pipeline.retention.certificate import CertificateError, PublicKeys, public_pem, public_text
from pipeline.retention.extend import extend
from pipeline.retention.plan import BEGUN, DUE, Plan
from pipeline.retention.runner import Runner
from pipeline.retention.servers import FAILED, RetentionError, Servers, look


def run(args: argparse.Namespace) -> int:
    """See `pipeline.retention`."""
    try:
        if args.action == "verify":
            return _verify(args.file, args.public_keys)
        with ExitStack() as stack:
            servers = Servers(settings.load(settings.RetentionRuns), stack)
            return {"plan": _plan, "run": _run, "extend": _extend, "key": _key}[args.action](args, servers)
    except FAILED as exc:
        sys.stderr.write(f"auditwired retention: {exc}\n")
        return 1


def _now() -> datetime:
    return datetime.now(UTC)


def _plan(args: argparse.Namespace, servers: Servers) -> int:
    plan = look(servers, _now())
    if args.json:
        shown = {"namespace": plan.namespace, "plan": plan.identity, "lines": [line.as_json() for line in plan.lines]}
        sys.stdout.write(json.dumps(shown, indent=1) + "\n")
    else:
        show(plan)
    return 0


def show(plan: Plan) -> None:
    """The plan for people."""
    columns = ("class", "month", "events", "MB in ClickHouse", "objects", "MB in the archive", "stays until (UTC)", "why", "now")
    table = Table(*columns, box=None)
    for line in plan.lines:
        table.add_row(
            line.unit.retention_class or "(none)",
            line.unit.month,
            str(line.events),
            _megabytes(line.bytes),
            str(len(line.objects)),
            _megabytes(sum(o.size for o in line.objects)),
            "for ever" if line.end is None else f"{line.end.at:%Y-%m-%d}",
            line.why,
            "; ".join((line.state, *line.blocked)),
        )
    Console(width=None if sys.stdout.isatty() else 300).print(table)
    begun = sum(line.state == BEGUN for line in plan.lines)
    if begun:
        print(f"{begun} begun and not finished: `auditwired retention run` goes on with them")
    if plan.due:
        print(f"{len(plan.due)} {DUE}: auditwired retention run --plan {plan.identity} --by NAME --reason TEXT")
    else:
        print("nothing is due")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _run(args: argparse.Namespace, servers: Servers) -> int:
    runner = Runner(servers, _now, lambda text: print(text, flush=True))
    if args.plan is None:
        print(f"{_units(runner.resume())} finished that had been begun")
        return 0
    if not args.by or not args.reason:
        raise RetentionError("say who decides it (--by NAME) and why (--reason TEXT): the certificate needs both")
    plan = look(servers, _now())
    if plan.identity != args.plan:
        raise RetentionError(
            f"the plan is {plan.identity} now, not {args.plan}: something changed since. Nothing was deleted; run "
            "`auditwired retention plan` again, look at it, then run that one"
        )
    print(f"{_units(runner.run(plan, args.by, args.reason))} deleted")
    return 0


def _units(count: int) -> str:
    return counted(count, "class and month is", "classes and months are")


def _extend(args: argparse.Namespace, servers: Servers) -> int:
    del args
    print(f"{counted(extend(servers, _now()), 'object is', 'objects are')} locked for longer")
    return 0


def _key(args: argparse.Namespace, servers: Servers) -> int:
    del args
    print(f"AUDITWIRE_RETENTION_PUBLIC_KEYS={public_text(servers.key.public)}\n{public_pem(servers.key.public)}", end="")
    return 0


def _verify(file: Path, keys: str) -> int:
    try:
        known = Path(keys).read_text(encoding="utf-8") if Path(keys).is_file() else keys
        found = PublicKeys.of(known).opened(file.read_bytes())
    except OSError as exc:
        raise CertificateError(f"{exc.filename} cannot be read: {exc.strerror}") from exc
    except CertificateError as exc:
        raise CertificateError(f"{file}: {exc}") from None
    if found.completed is None:
        raise CertificateError(f"{file} is an intent, no certificate: it says what was decided, not that it was done")
    print(
        f"signed and unaltered: {counted(found.events, 'event')} of {found.unit} of {found.namespace} in"
        f" {counted(len(found.objects), 'object')}, deleted {found.completed:%Y-%m-%d %H:%M:%S} UTC,"
        f" decided by {found.by}: {found.reason}"
    )
    return 0
