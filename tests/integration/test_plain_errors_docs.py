"""docs/errors.md quotes texts as the code has them, and leaves out none that the other tests of plain errors look for."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from infra.stack.stack import CHECKOUT
from tests.integration.test_plain_errors_servers import CASES

PAGE = (CHECKOUT / "docs" / "errors.md").read_text(encoding="utf-8")
QUOTED = [cell for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for cell in re.findall(r"`([^`]+)`", row)]


@cache
def texts() -> tuple[str, ...]:
    """Every string of the code, with … for what is put in."""
    found = []
    for folder in ("connectors", "pipeline"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            if "tests" not in path.parts:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                found += [rendered(node) for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
    return tuple(found)


def rendered(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(rendered(part) for part in node.values)
    return "…"


def in_code(quoted: str) -> bool:
    return any(quoted in text for text in texts())


@pytest.mark.parametrize("quoted", QUOTED)
def test_what_is_quoted_is_in_the_code(quoted: str) -> None:
    assert in_code(quoted), f"no text of the code is {quoted!r}: correct docs/errors.md"


def test_the_check_can_fail() -> None:
    assert len(QUOTED) > 40
    assert not in_code("Kafka … does not reply (…): is it up")


def test_every_text_that_servers_cause_is_on_the_page() -> None:
    known = [part for quoted in QUOTED for part in quoted.split("…") if len(part) > 9]  # what does not differ
    for says in {case.says for case in CASES}:
        plain = re.sub(r"\\w\+|\\d\+|\.\*", " ", says).replace("\\", "")
        assert any(part[:20] in plain for part in known), f"docs/errors.md does not tell of: {plain}"
