"""`python -m infra.stack`: the pipeline on this machine. See --help."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from infra.stack import Stack, child, env, install, own, report
from infra.stack.install import InstallError
from infra.stack.server import StackError
from infra.stack.stack import CHECKOUT, default_cache, tail
from infra.stack.supervisor import Supervisor

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m infra.stack", description="Auditwire on this machine: servers and all parts.")
    state_dir = Path(os.environ.get("AUDITWIRE_STATE_DIR") or CHECKOUT / ".auditwire")
    top.add_argument(
        "--dir", type=Path, default=state_dir, help="data, ports, secrets, logs (AUDITWIRE_STATE_DIR; default .auditwire)"
    )
    sub = top.add_subparsers(dest="command", required=True)
    sub.add_parser("up", help="start everything in the background, print the endpoints")
    sub.add_parser("down", help="end it; data stay")
    sub.add_parser("status", help="a line each: name, pid, state, endpoint; exit code 1 when something is down")
    sub.add_parser("serve", help="the same as up, in the foreground")
    sub.add_parser("env", help="print shell exports for looking around")
    sub.add_parser("install", help="fetch what the servers run on")
    run = sub.add_parser("run", help="start, run a command with all settings in its environment, stop")
    run.add_argument("--servers-only", action="store_true", help="without the parts of the pipeline")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    return top


def supervisor(directory: Path) -> Supervisor:
    """Servers and parts as the environment says: local servers, or the user's own."""
    own_servers = own.uses_own_servers(os.environ)
    stack = Stack(directory, names=()) if own_servers else Stack(directory, fast_jvm=True)
    return Supervisor(stack, own.settings_for(os.environ, stack.env, own_servers), say)


def looker_in(one: Supervisor) -> dict[str, str]:
    """What `.auditwire/env` says; with servers of the user's own, only what the user told us about them."""
    local = env.looker_in(one.stack.state, {**one.stack.env, **one.env})
    if not own.uses_own_servers(os.environ):
        return local
    ours = {"AUDITWIRE_INGEST_URL", "AUDITWIRE_EXPORT_URL", "AUDITWIRE_METRICS_URLS"}
    for file, token in (("INGEST_TOKENS_FILE", "INGEST_TOKEN"), ("EXPORT_PRINCIPALS_FILE", "EXPORT_TOKEN")):
        if f"AUDITWIRE_{file}" not in os.environ:  # else only the user knows the tokens
            ours.add(f"AUDITWIRE_{token}")
    return {n: local[n] if n in ours else os.environ[n] for n in local if n in ours or n in os.environ}


def serve(one: Supervisor) -> int:
    """Run everything until a signal ends this process (`end_by_exit`)."""
    directory = one.stack.directory
    with one:
        report.write_files(directory, one.env, looker_in(one))
        one.announce()
        say("everything answers")
        while True:
            signal.pause()


def up(directory: Path) -> int:
    """Start a supervisor in the background and wait until everything answers."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    own.uses_own_servers(os.environ)
    log = directory / "log" / "supervisor.log"
    if not busy(directory):
        log.parent.mkdir(exist_ok=True, mode=0o700)
        with log.open("wb") as out:
            command = [sys.executable, "-m", "infra.stack", "--dir", str(directory), "serve"]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=CHECKOUT
            )
        try:
            _follow(process, log)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = 0  # it goes on without us
    elif not _wait_until(lambda: _is_up(directory), 120):
        raise StackError(f"a stack in {directory} is starting, but not up after 120 s: see {log}")
    found = report.read(directory)
    report.table(found.rows if found else (), directory)
    return 0


def _is_up(directory: Path, pid: int | None = None) -> bool:
    found = report.read(directory)
    return found is not None and found.up and pid in (None, found.pid)


def _follow(process: subprocess.Popen[bytes], log: Path) -> None:
    """Show what the supervisor says until everything answers. Raises StackError when it ends before."""
    directory = log.parent.parent
    with log.open(encoding="utf-8") as said:
        while not _is_up(directory, process.pid):
            ended = process.poll() is not None
            sys.stdout.write(said.read())
            sys.stdout.flush()
            if ended:
                raise StackError("not everything could be started: the reason is above")
            time.sleep(0.1)


def down(directory: Path) -> int:
    """End the supervisor and wait until everything is gone."""
    found = report.read(directory)
    if not busy(directory) or not found:
        say(f"nothing runs in {directory}")
        return 0
    os.kill(found.pid, signal.SIGTERM)
    if not _wait_until(lambda: not busy(directory), 60):
        raise StackError(f"process {found.pid} does not end: `kill -9 {found.pid}` ends it and everything it started")
    say("everything has ended; data stay")
    return 0


def status(directory: Path) -> int:
    """A line each; exit code 1 when something does not answer."""
    found = report.read(directory)
    if not busy(directory) or not found:
        say(f"nothing runs in {directory}: `make up` starts it")
        return 1
    rows, one = found.rows, supervisor(directory)
    with ThreadPoolExecutor(len(rows)) as pool:
        answers = list(pool.map(lambda row: one.answers(row.name), rows))
    for row, answer in zip(rows, answers, strict=True):
        row.state = "running" if answer else ("no answer" if row.state == "running" else row.state)
    sys.stdout.write("\n".join(report.lines(rows)) + "\n")
    for row in rows:
        if row.state != "running" or row.restarts:
            say(f"{row.name}: started again {row.restarts} time{'s' * (row.restarts != 1)}. {tail(one.stack.log(row.name))}")
    return 0 if all(answers) else 1


def run(directory: Path, argv: list[str], servers_only: bool) -> int:
    """Exit code of the command."""
    argv = argv[1:] if argv[:1] == ["--"] else argv
    if not argv:
        raise StackError("run: say which command: python -m infra.stack run -- COMMAND")
    if servers_only:
        with Stack(directory, fast_jvm=True) as stack:
            return _command(argv, stack.env)
    one = supervisor(directory)
    with one:
        return _command(argv, {**one.env, **looker_in(one)})


def _command(argv: Sequence[str], settings: dict[str, str]) -> int:
    return subprocess.run(child.wrapped(argv), env={**os.environ, **settings}, check=False).returncode


def busy(directory: Path) -> bool:
    """Whether a process runs a stack in ``directory``."""
    try:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _wait_until(true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def say(text: str) -> None:
    """A line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def end_by_exit() -> None:
    """From now on SIGTERM and SIGINT leave through every ``with``, so that nothing keeps running."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 done, 1 something is down or did not start."""
    args = parser().parse_args(argv)
    end_by_exit()
    directory: Path = args.dir.resolve()
    try:
        if args.command == "run":
            return run(directory, args.argv, args.servers_only)
        if args.command == "install":
            install.jars(default_cache())
            return 0
        if args.command == "env":
            one = supervisor(directory)
            sys.stdout.write(report.exports(looker_in(one)))
            return 0
        if args.command == "serve":
            return serve(supervisor(directory))
        return {"up": up, "down": down, "status": status}[args.command](directory)
    except (StackError, InstallError) as exc:
        sys.stderr.write(f"auditwire: {exc}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
