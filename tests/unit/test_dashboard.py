"""The Grafana dashboard: every expression parses and uses declared metrics and labels; no plugin, no panel on another."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.stack.stack import CHECKOUT
from tests.prometheus import check, labels_of, promtool

DASHBOARD: dict[str, Any] = json.loads((CHECKOUT / "infra" / "grafana" / "auditwire.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
EXPRESSIONS = [(panel["title"], target) for panel in PANELS for target in panel.get("targets", ())]
ROWS = ["At a glance", "Flow", "Lag", "Correctness", "Rules", "Stores", "Export", "Processes"]


def test_the_rows_and_nothing_but_built_in_panels() -> None:
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == ROWS
    assert {panel["type"] for panel in PANELS} == {"row", "stat", "timeseries"}
    assert "__inputs" not in DASHBOARD
    assert all(panel.get("description") for panel in PANELS if panel["type"] != "row")
    assert all(target["datasource"]["uid"] == "${datasource}" for _, target in EXPRESSIONS)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.mark.parametrize(("title", "target"), EXPRESSIONS, ids=[f"{t}-{x['refId']}" for t, x in EXPRESSIONS])
def test_an_expression_uses_declared_metrics_and_labels(title: str, target: dict[str, Any]) -> None:
    names = check(target["expr"])
    assert names
    shown = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
    kept = [set(filter(None, re.split(r"[,\s]+", by))) for by in re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])]
    have = set.union(*kept) if kept else set.union(*map(labels_of, names))
    assert shown <= have, f"{title}: the legend names labels that the result does not have"


def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for number, (_, target) in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "rules.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
