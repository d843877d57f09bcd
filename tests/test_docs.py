"""The documents: links lead somewhere, generated pages are current, every command and decision is where readers look for it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from infra import docs
from infra.stack.stack import CHECKOUT
from pipeline.__main__ import PARTS, TOOLS

PAGES = [
    CHECKOUT / line
    for line in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        goal = (page.parent / path) if path else page
        assert goal.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and goal.suffix == ".md":
            assert anchor in _anchors(goal), f"{page.name} links to {target}: no such heading"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("name", docs.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    assert (docs.DOCS / name).read_text(encoding="utf-8") == docs.PAGES[name](), "run `python -m infra.docs generate`"


RUNBOOKS = CHECKOUT / "docs" / "runbooks"
OPERATIONS = sorted(p for p in RUNBOOKS.glob("*.md") if p.name != "README.md" and not p.name.startswith("Auditwire"))


@pytest.mark.parametrize("page", OPERATIONS, ids=lambda p: p.stem)
def test_a_page_of_operations_says_when_what_to_do_and_when_it_is_over(page: Path) -> None:
    headings = re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert any(h.startswith("When") for h in headings), headings
    assert any(h.startswith("What you see") for h in headings), headings
    assert headings[-1] == "How to know it is over"
    assert f"({page.name})" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


def test_every_command_of_auditwired_is_documented() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (CHECKOUT / "docs").glob("*.md"))
    assert [name for name in (*PARTS, *TOOLS) if f"auditwired {name}" not in text] == []


def test_every_make_target_is_documented() -> None:
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8") + (CHECKOUT / "docs" / "operations.md").read_text(
        encoding="utf-8"
    )
    assert [t for t in targets if f"make {t}" not in text] == []


def test_the_project_names_no_package_registry() -> None:
    found = subprocess.run(
        ["git", "grep", "-nIE", r"https?://[^ \"]*(/simple\b|\.whl|repo1?\.maven|pypi\.org|files\.pythonhosted)"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert [line for line in found.splitlines() if "tests/test_docs.py" not in line] == []


def test_nobody_asks_the_admin_client_for_commits() -> None:
    """docs/decisions/0008: the call ends the process where the coordinator has moved."""
    found = subprocess.run(
        ["git", "grep", "-lE", r"\.list_consumer_group_offsets\(", "--", "*.py"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert found == ""
