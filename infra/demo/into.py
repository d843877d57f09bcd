"""`make feed`: the demo's input into what `make up` runs, for whoever wants something to look at."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from rich.console import Console

from infra.demo import feed, sre
from infra.stack.__main__ import busy
from infra.stack.stack import CHECKOUT

# What lookers-in read has the last word: a producer's rights are enough for events.
FILES = ("operator.env", "env")


def main() -> int:
    """Exit code 0: everything is acknowledged; 1: the text says what to do."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo.into", description=__doc__)
    parser.add_argument("--sessions", type=int, default=150, help="agent sessions per tenant (about ten events each)")
    args = parser.parse_args()
    console = Console(soft_wrap=True)
    directory = Path(os.environ.get("AUDITWIRE_STATE_DIR") or CHECKOUT / ".auditwire")
    if not busy(directory):
        console.print(f"Nothing runs in {directory}: `make up` first.", highlight=False)
        return 1
    try:
        _feed(directory, args.sessions, console)
    except feed.DemoError as exc:
        console.print(f"[red]Not everything was fed:[/red] {exc}", highlight=False)
        return 1
    return 0


def _feed(directory: Path, sessions: int, console: Console) -> None:
    settings = {**os.environ, **{k: v for name in FILES for k, v in exported(directory / name).items()}}
    needed = ("AUDITWIRE_KAFKA_USERNAME", "AUDITWIRE_INGEST_TOKEN", "AUDITWIRE_REFERENCE_POSTGRES_DSN")
    if missing := [name for name in needed if not settings.get(name)]:
        raise feed.DemoError(f"set {', '.join(missing)}: with servers of your own only you know them.")
    feed.reference(settings, console)
    sre.reference_in_use(settings)
    fed = feed.everything(settings, sessions, console)
    counts = " and ".join(f"{count} of tenant {tenant}" for tenant, count in fed.events.items())
    console.print(f"Fed {counts}. They happened in the last half hour; GitLab's webhooks of tenant demo say 2022 and March 2026.")
    console.print("They are in ClickHouse within seconds, and in the archive within a quarter of an hour.")


def exported(file: Path) -> dict[str, str]:
    """The settings of a file that a shell reads with ``.``, as `make up` writes it."""
    words = (shlex.split(line) for line in file.read_text(encoding="utf-8").splitlines())
    return dict(name_value.split("=", 1) for _export, name_value in words)


if __name__ == "__main__":
    sys.exit(main())
