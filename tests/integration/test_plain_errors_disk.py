"""A full disk: the parts run with a tiny file system of their own under the folder in question, and say which folder is full."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.stack.server import base_environment
from infra.stack.stack import CHECKOUT
from tests import mounts
from tests.export_service import DAY, TOKENS, generate, mark, write_principals
from tests.sinks import CleanTopic
from tests.space import Space
from tests.waiting import until

MOUNT = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'


pytestmark = pytest.mark.skipif(not mounts.possible(), reason="no mount namespaces here")


@contextmanager
def on_a_full_disk(part: str, full: Path, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The part with 64 KiB under ``full``; it must end well on SIGTERM all the same."""
    full.mkdir(parents=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", MOUNT, str(full), sys.executable, "-m", "pipeline", part],
            env={**base_environment(), **env},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM), log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_the_spill_folder_of_the_archive_sink(provisioned: Space, tmp_path: Path) -> None:
    full, log = tmp_path / "spill", tmp_path / "log"
    CleanTopic(provisioned).write(4000, partitions=(0,))
    env = provisioned.part_env("archive-sink", ARCHIVE_SINK_SPILL_DIR=full)
    with on_a_full_disk("archive-sink", full, env, log):
        until(
            lambda: f"cannot write to {full} (No space left on device): make room there" in log.read_text(),
            90,
            lambda: log.read_text()[-3000:],
        )
    assert "Traceback" not in log.read_text()


def test_the_temporary_folder_of_the_export_service(provisioned: Space, tmp_path: Path) -> None:
    full, log, principals = tmp_path / "full", tmp_path / "log", tmp_path / "principals.yaml"
    write_principals(principals)
    generate(provisioned, 4000)
    mark(provisioned, dict.fromkeys(range(4), 1000))
    env = provisioned.part_env("export", EXPORT_PRINCIPALS_FILE=principals)
    says = f"{full} takes no more of an extract's file (No space left on device): make room there, or set TMPDIR to a folder with"
    headers = {"Authorization": f"Bearer {TOKENS['olga@example.com']}"}
    with (
        on_a_full_disk("export", full, {**env, "TMPDIR": str(full)}, log),
        httpx.Client(base_url=f"http://{env['AUDITWIRE_EXPORT_LISTEN']}", headers=headers, timeout=60) as client,
    ):
        until(lambda: _answers(client), 90, lambda: log.read_text()[-3000:])
        asked = client.post("/v1/extracts", json={**DAY, "format": "csv"})
        assert asked.status_code == 202, asked.text
        shown = f"/v1/extracts/{asked.json()['id']}"
        until(lambda: says in (client.get(shown).json()["error"] or ""), 90, lambda: log.read_text()[-3000:])
        assert client.get(shown).json()["state"] in ("queued", "running"), "it is tried again: there may be room later"
    assert says in log.read_text()
    assert "Traceback" not in log.read_text()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
