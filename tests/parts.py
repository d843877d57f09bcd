"""Parts as processes of their own with JSON logs: what they log, what /metrics and /healthz say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from infra.stack.stack import CHECKOUT
from pipeline import settings
from tests.scrape import Sample, parsed
from tests.space import Space


class PartProcess:
    """``python -m pipeline PART`` in a space; ``overrides`` are settings by the name after ``AUDITWIRE_``, or
    ``TEST_`` variables for a module of the tests that ``argv`` names instead."""

    def __init__(self, space: Space, part: str, argv: tuple[str, ...] = (), **overrides: object) -> None:
        self.space, self.part = space, part
        own = {"LOG_FORMAT": "json", **_defaults(space).get(part, {}), **overrides}
        self.env = space.part_env(part, **{k: v for k, v in own.items() if not k.startswith("TEST_")})
        self.log = space.folder / f"{part}-{os.urandom(4).hex()}.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(settings.PREFIX)}
        clean |= {k: str(v) for k, v in overrides.items() if k.startswith("TEST_")}
        command = [sys.executable, "-m", *(argv or ("pipeline", part))]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=CHECKOUT, env={**clean, **self.env}, stdout=out, stderr=out)

    def __enter__(self) -> PartProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(30)

    def end(self) -> None:
        """By SIGTERM, so that it leaves its group and the next member need not wait for its session's end."""
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; (0, "") where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://{self.env['AUDITWIRE_ADMIN_LISTEN']}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def health(self) -> tuple[int, str]:
        """Status and reason."""
        status, text = self.get("/healthz")
        return status, json.loads(text)["reason"] if text else ""

    def healthy(self) -> bool:
        return self.get("/healthz")[0] == 200

    def scrape(self) -> list[Sample]:
        return parsed(self.get("/metrics")[1])

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def story(self) -> str:
        """For a failing test: its health and the end of its log."""
        return f"{self.part}: {self.get('/healthz')} {self.text()[-2000:]}"

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines; fails where one is not JSON."""
        return [json.loads(line) for line in self.text().splitlines()]


def _defaults(space: Space) -> dict[str, dict[str, object]]:
    mark = os.urandom(4).hex()
    folder: Path = space.folder
    return {
        "processor": {"PROCESSOR_SESSION_TIMEOUT_MS": 6000, "PROCESSOR_DATA_DIR": folder / f"faust-{mark}"},
        "clickhouse-sink": {"CLICKHOUSE_SINK_SESSION_TIMEOUT_MS": 6000, "CLICKHOUSE_SINK_FLUSH_MS": 100},
        "ledger-sink": {"LEDGER_SINK_SESSION_TIMEOUT_MS": 6000},
        "archive-sink": {
            "ARCHIVE_SINK_SESSION_TIMEOUT_MS": 6000,
            "ARCHIVE_SINK_FLUSH_SECONDS": 0.5,
            "ARCHIVE_SINK_SPILL_DIR": folder / f"spill-{mark}",
        },
        "lag-exporter": {"LAG_EXPORTER_EVERY_SECONDS": 0.5},
    }
