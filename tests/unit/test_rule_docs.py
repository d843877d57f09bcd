"""docs/rules.md about conditions: its examples are conditions, and what it says is refused is."""

from __future__ import annotations

import re

import pytest

from infra.stack.stack import CHECKOUT
from pipeline.rules import facts, literals, nodes, tokens
from pipeline.rules.condition import parse
from pipeline.rules.refused import Refused

PAGE = (CHECKOUT / "docs" / "rules.md").read_text(encoding="utf-8")
CONDITIONS = PAGE.partition("\n## Conditions\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```sql\n(.*?)```", CONDITIONS, flags=re.DOTALL)
REFUSED = [
    code
    for row in re.findall(r"^\|(.*?)\|", CONDITIONS.partition("### What is refused")[2].partition("###")[0], flags=re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", row)
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_a_condition(text: str) -> None:
    assert parse(text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_page_calls_refused_is(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


def test_the_page_has_examples_and_the_limits_of_the_code() -> None:
    assert len(EXAMPLES) >= 4
    assert len(REFUSED) >= 20
    limits = f"at most {tokens.MAX_CHARACTERS:,} characters, {nodes.MAX_NODES:,} parts and a depth of {nodes.MAX_DEPTH}"
    assert limits in CONDITIONS
    assert f"at most {literals.TEXT_CHARACTERS:,} characters" in CONDITIONS


def test_what_enrichment_writes_is_named_on_the_page_and_can_be_named_in_conditions() -> None:
    for name in facts.kinds():
        if name.startswith("processed_"):
            assert f"`{name}`" in CONDITIONS
