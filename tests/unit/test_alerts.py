"""Alert rules: promtool's unit tests are green, and red where a rule is switched off or always on; each rule has its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.stack import report, state
from infra.stack.stack import CHECKOUT
from pipeline.__main__ import PARTS, TOOLS
from tests.prometheus import FOLDER, RULES, RUNBOOKS, TARGET, TESTS, check, labels_of, promtool

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
}
SECTIONS = ["What it means", "What is at risk", "How to look", "What to do", "When to escalate", "How to see that it is over"]
each = pytest.mark.parametrize("name", ALERTS)


def unit_test(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((TESTS / f"{name}.yml").read_text(encoding="utf-8"))
    return found


def test_promtool_accepts_rules_and_configuration(tmp_path: Path) -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test_and_every_unit_test_its_alert() -> None:
    assert {path.stem for path in TESTS.glob("*.yml")} == set(ALERTS)


def green(rule: dict[str, Any], folder: Path, wanted: str = "") -> bool:
    """Whether the tests of an alert whose names begin with ``wanted`` are green with this rule, which stands alone: promtool
    evaluates every rule it is given at every step of every test.
    """
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [rule]}]}))
    tests = unit_test(rule["alert"])
    assert tests["rule_files"] == ["../rules.yml"]
    kept = [one for one in tests["tests"] if one["name"].startswith(wanted)]
    assert kept, f"{rule['alert']}.yml has no test {wanted!r}"
    (folder / "test.yml").write_text(yaml.safe_dump({**tests, "rule_files": ["rules.yml"], "tests": kept}))
    return promtool("test", "rules", folder / "test.yml", folder=folder).returncode == 0


@each
def test_a_rule_that_never_fires_makes_its_unit_test_red(name: str, tmp_path: Path) -> None:
    assert not green({**ALERTS[name], "expr": "vector(0) > 1", "for": "0m"}, tmp_path, "fires")


@each
def test_a_rule_that_always_fires_makes_its_unit_test_red(name: str, tmp_path: Path) -> None:
    assert not green({**ALERTS[name], "expr": "vector(1)", "for": "0m"}, tmp_path, "silent")


@each
def test_the_unit_tests_of_a_rule_are_green(name: str, tmp_path: Path) -> None:
    assert green(ALERTS[name], tmp_path)


@each
def test_a_rule_uses_declared_metrics_and_says_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert check(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbooks/{name}.md"
    firing = next(t for t in unit_test(name)["tests"] if t["name"] == "fires")["promql_expr_test"][0]["exp_samples"][0]["labels"]
    shown = set(re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["description"]))
    assert shown <= set(re.findall(r'(\w+)="', firing)), "the text names a label that the alert does not have"
    assert "{{" not in notes["description"]


@each
def test_the_series_of_a_unit_test_are_as_the_parts_serve_them(name: str) -> None:
    for one in unit_test(name)["tests"]:
        for series in one["input_series"]:
            metric, _, labels = series["series"].partition("{")
            have = set(re.findall(r"(\w+)=", labels))
            assert check(series["series"]) == {metric}
            assert have | TARGET == labels_of(metric) | TARGET, series["series"]


@each
def test_every_alert_has_its_page_with_every_section(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert f"Severity: {ALERTS[name]['labels']['severity']}." in text
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == SECTIONS
    for block in re.findall(r"```promql\n(.*?)```", text, flags=re.DOTALL):
        for line in block.strip().splitlines():
            assert check(line)
    for inline in re.findall(r"`([^`\n]*auditwire_\w+[^`\n]*)`", text):
        assert check(inline)
    _commands_exist(text)


def _commands_exist(text: str) -> None:
    for command in re.findall(r"auditwired ([a-z-]+)", text):
        assert command in PARTS or command in TOOLS, f"auditwired {command}"
    targets = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", targets, flags=re.MULTILINE), f"make {''.join(target)}"
    servers = {"kafka", "supervisor", "clickhouse", "postgres", "registry", "s3"}
    for part in re.findall(r"\.auditwire/log/([a-z-]+)\.log", text):
        assert part in servers or part in PARTS, f"no log {part}.log"
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for line in block.strip().splitlines():
            assert line.split()[0] in ("make", "grep", "tail", "curl", "(."), line


def test_every_page_has_its_alert_and_the_list_is_complete() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("Auditwire*.md")}  # the others tell what to do by hand, without an alert
    assert pages == set(ALERTS)
    listed = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert [name for name, rule in ALERTS.items() if f"[{name}]({name}.md) | {rule['labels']['severity']} |" not in listed] == []


def test_a_metric_that_is_not_declared_is_found() -> None:
    with pytest.raises(AssertionError, match="not declared"):
        check("auditwire_nothing > 1")
    with pytest.raises(AssertionError, match="no label tenant"):
        check('auditwire_sink_lag{tenant="demo"}')
    with pytest.raises(AssertionError, match="is never"):
        check('auditwire_sink_lag{sink="tape"}')
    with pytest.raises(AssertionError, match="has the label colour"):
        check("sum by (colour) (auditwire_sink_lag)")


def test_prometheus_finds_every_part_where_make_up_says() -> None:
    urls = [f"http://127.0.0.1:{4000 + i}/metrics" for i, _ in enumerate(state.PARTS)]
    found = report.targets(",".join(urls))
    assert [(t["labels"]["service"], t["targets"]) for t in found] == [
        (part, [f"127.0.0.1:{4000 + i}"]) for i, part in enumerate(state.PARTS)
    ]
