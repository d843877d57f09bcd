"""`make demo`: starts everything, feeds real input through it, shows what each of the four users sees, and stops."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from infra.demo import feed, show, sre
from infra.stack import Stack, env, own, report
from infra.stack.__main__ import busy
from infra.stack.install import InstallError
from infra.stack.server import StackError
from infra.stack.stack import CHECKOUT
from infra.stack.supervisor import Supervisor

# The archive closes objects after 15 minutes; nobody wants to wait for that here.
TUNING = {"AUDITWIRE_ARCHIVE_SINK_FLUSH_SECONDS": "3"}


def main() -> int:
    """Exit code 0: every step held; 1: the step that failed is the last one printed, with what to do."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description=__doc__)
    parser.add_argument("--sessions", type=int, default=150, help="agent sessions per tenant (about ten events each)")
    args = parser.parse_args()
    console, directory, start = Console(soft_wrap=True), _directory(), time.monotonic()
    if busy(directory):
        console.print(f"A demo is running in {directory}; wait for it, or set AUDITWIRE_STATE_DIR to another folder.")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    console.rule("[bold]Auditwire demo")
    try:
        with _supervisor(directory, console) as running:
            _demo(running, directory, args.sessions, console)
    except (StackError, InstallError, feed.DemoError, show.DemoError) as exc:
        console.print(f"[red]The demo failed:[/red] {exc}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; every server and part has ended.")
        return 130
    console.rule("[bold]Done")
    console.print(f"{time.monotonic() - start:.0f} s; every server and part has ended. Left for you to look at:")
    console.print(f"  {directory}/extract/   the extract with its manifest\n  {directory}/log/       the logs of every part")
    console.print("Next: [bold]make up[/bold] keeps everything running; README.md says what each user does first.")
    return 0


def _directory() -> Path:
    return Path(os.environ.get("AUDITWIRE_STATE_DIR") or CHECKOUT / ".auditwire") / "demo"


def _supervisor(directory: Path, console: Console) -> Supervisor:
    directory.mkdir(parents=True, mode=0o700)
    stack = Stack(directory, fast_jvm=True)
    return Supervisor(stack, own.settings_for(TUNING, stack.env, False), lambda text: console.print(f"  {text}", highlight=False))


def _demo(running: Supervisor, directory: Path, sessions: int, console: Console) -> None:
    settings = {**running.env, **env.looker_in(running.stack.state, running.env)}
    report.write_files(directory, running.env, env.looker_in(running.stack.state, running.env))
    console.rule("1  What an agent team sees", align="left")
    feed.development(console)
    feed.reference(settings, console)
    sre.reference_in_use(settings)
    fed = feed.everything(settings, sessions, console)
    console.rule("2  Stored, exactly once, in two stores", align="left")
    show.stored(settings, fed, console)
    console.rule("3  What an analyst sees", align="left")
    show.analyst(settings, fed, console)
    console.rule("4  What compliance gets", align="left")
    show.overview(settings, fed, console)
    show.extract(settings, fed, directory / "extract", console)
    console.rule("5  What an SRE sees", align="left")
    sre.show(settings, fed, console)


if __name__ == "__main__":
    sys.exit(main())
