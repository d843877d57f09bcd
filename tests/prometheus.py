"""promtool, and which metrics and labels an expression uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.stack.stack import CHECKOUT
from pipeline.metric_labels import LABELS
from tests.scrape import declared

FOLDER = CHECKOUT / "infra" / "prometheus"
RULES, TESTS = FOLDER / "rules.yml", FOLDER / "tests"
RUNBOOKS = CHECKOUT / "docs" / "runbooks"
TARGET = {"job", "instance", "service"}
"""Labels that Prometheus adds by its configuration."""
FOREIGN = ("up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds")
"""Metrics of Prometheus itself and of prometheus-client's process collector, which every part has."""
_METRIC = re.compile(r"\b(auditwire_\w+|process_\w+|up)\b(?:\{([^}]*)\})?")


def promtool(*arguments: str | Path, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    """Run it; it comes with Debian's package prometheus, or is named by PROMTOOL."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.fail("promtool is missing: install the package prometheus, or set PROMTOOL to its path")
    return subprocess.run([found, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)


def labels_of(name: str) -> set[str]:
    """Labels that a metric has by its declaration; fails where there is no such metric."""
    if name in FOREIGN:
        return set(TARGET)
    known = declared()
    assert name in known or name + "_bucket" in known, f"{name} is not declared in pipeline/metrics.py"
    return (
        set((known.get(name) or known[name + "_bucket"])._labelnames) | TARGET | ({"le"} if name.endswith("_bucket") else set())
    )


def check(expression: str) -> set[str]:
    """Metrics of an expression; fails where a metric, a label or a label's value is not as declared."""
    used = _METRIC.findall(expression)
    everywhere: set[str] = set()
    for name, matchers in used:
        everywhere |= labels_of(name)
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            assert label in labels_of(name), f"{name} has no label {label}"
            if operator in ("=", "!=") and label in LABELS:
                assert LABELS[label].allows(value), f"{label} is never {value!r}"
            elif label in LABELS and LABELS[label].values:
                assert [v for v in LABELS[label].values if re.fullmatch(value, v)], f"{label} never matches {value!r}"
    for listed in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression):
        for label in filter(None, (part.strip() for part in listed.split(","))):
            assert label in everywhere, f"no metric of {expression!r} has the label {label}"
    return {name for name, _ in used}
