"""What is said about conditions without any event: never matching, covered by others. Never said wrongly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import conditions as many
from pipeline.rules import columnar
from pipeline.rules.condition import parse
from pipeline.rules.nodes import And, Field, Has, Not, Or, Tree
from pipeline.rules.reason import Meaning
from tests import conditions
from tests.conditions import Draw

Covered = Callable[[Tree, Sequence[Tree]], bool]
NEVER = [
    "tool_name = 'a' AND tool_name = 'b'",
    "tool_name = 'a' AND tool_name IN ('b', 'c')",
    "tool_name IS NULL",
    "tool_name < ''",
    "input_tokens > 5 AND input_tokens < 6",
    "input_tokens > 5 AND NOT input_tokens > 5",
    "input_tokens > 5 AND input_tokens IS NULL",
    "input_tokens BETWEEN 5 AND 4",
    "input_tokens < -9223372036854775808",
    "cost_usd > 0.5 AND cost_usd <= 0.5",
    "occurred_at < '1970-01-01T00:00:00Z'",
    "occurred_at >= '2026-01-01T00:00:00Z' AND occurred_at < '2025-01-01T00:00:00Z'",
    "starts_with(tool_name, 'ab') AND tool_name < 'ab'",
    "tool_name LIKE 'a%' AND tool_name LIKE 'b%'",
    "tool_name LIKE 'a%z_' AND starts_with(tool_name, 'b')",
    "tool_name IN ('a', 'b') AND tool_name LIKE '%c%'",
    "tool_name IN ('a', 'b') AND tool_name NOT ILIKE '_'",
    "tool_name LIKE '%shell%' AND NOT contains(tool_name, 'she')",
    "ends_with(tool_name, 'shell') AND tool_name NOT LIKE '%ell'",
    "has(tools_offered, 'a') AND NOT has(tools_offered, 'a')",
    "COALESCE(input_tokens, 0) > 5 AND input_tokens IS NULL",
    "COALESCE(input_tokens, 0) IS NULL",
    "CASE tool_name WHEN 'a' THEN 1 WHEN 'b' THEN 2 END > 1 AND tool_name <> 'b'",
    "CASE WHEN tool_name = 'a' THEN 1 ELSE 2 END = 3",
    "input_tokens IS NOT DISTINCT FROM 5 AND input_tokens IS DISTINCT FROM 5",
    "(tool_name = 'a' OR tool_name = 'b') AND (tool_name = 'c' OR tool_name = 'd')",
    "NOT (tool_name = 'a' OR tool_name <> 'a')",
]
SOMETIMES = [
    "tool_name = 'a' OR tool_name = 'b'",
    "input_tokens > 5 AND input_tokens < 7",
    "cost_usd > 0.5 AND cost_usd < 0.6",
    "tool_name = 'b' AND tool_name > 'a' AND starts_with(tool_name, '')",
    "tool_name LIKE '%a%' AND NOT contains(tool_name, 'ab')",
    "input_tokens IS NULL OR tool_name IS NULL",
    "has(tools_offered, 'a') AND NOT has(tools_offered, 'b') AND NOT has(processed_owners, 'a')",
    "input_tokens = 9223372036854775807 AND sequence = -9223372036854775808",
    "COALESCE(input_tokens, sequence, 7) = 7",
    "contains(tool_name, '') AND tool_name LIKE ''",
    "tool_name = '\U0010ffff' AND starts_with(tool_name, '\U0010ffff')",
    "tool_name > '\ud7ff' AND starts_with(tool_name, '\ud7ff')",
]
COVERED = [
    ("tool_name = 'a'", ["tool_name IN ('a', 'b')"]),
    ("tool_name = 'a' AND input_tokens > 5", ["input_tokens > 4"]),
    ("input_tokens > 5", ["input_tokens > 100", "input_tokens BETWEEN 6 AND 100"]),
    ("tool_name LIKE 'git%'", ["starts_with(tool_name, 'gi')"]),
    ("tool_name LIKE '%shell%'", ["contains(tool_name, 'hell')"]),
    ("tool_name IN ('shell', 'sh')", ["tool_name LIKE 'sh%' AND NOT tool_name = 'sh'", "tool_name ILIKE 'SH'"]),
    ("input_tokens IS NOT NULL", ["input_tokens > 5", "NOT input_tokens > 5"]),
    (None, ["input_tokens > 5", "NOT input_tokens > 5", "input_tokens IS NULL"]),
    (None, ["tool_name = 'a'", "tool_name <> 'a'"]),
    ("tool_name = 'a'", ["outcome = 'x'", None]),
    ("tool_category = 'delete'", ["CASE tool_category WHEN 'read' THEN 1 WHEN 'delete' THEN 3 ELSE 2 END >= 3"]),
]
NOT_COVERED = [
    ("tool_name = 'a'", []),
    ("tool_name = 'a'", ["tool_name = 'b'"]),
    ("tool_name = 'a'", ["tool_name = 'a' AND input_tokens > 5"]),
    ("input_tokens >= 5", ["input_tokens > 5"]),
    (None, ["input_tokens > 5", "NOT input_tokens > 5"]),  # NULL is left
    ("tool_name LIKE '%shell%'", ["contains(tool_name, 'shells')"]),
    ("cost_usd < 1", ["cost_usd < 0.5", "cost_usd > 0.5"]),
    (None, ["has(tools_offered, 'a')"]),
]


def never(tree: Tree) -> bool:
    return Meaning(tree).never()


def covered(tree: Tree | None, earlier: Sequence[Tree | None]) -> bool:
    return Meaning(tree).covered([Meaning(other) for other in earlier])


def _tree(text: str | None) -> Tree | None:
    return None if text is None else parse(text).tree


@pytest.mark.parametrize("text", NEVER)
def test_a_condition_that_contradicts_itself_is_found(text: str) -> None:
    assert never(parse(text).tree)


@pytest.mark.parametrize("text", SOMETIMES)
def test_a_condition_that_some_event_matches_is_not(text: str) -> None:
    assert not never(parse(text).tree)


@pytest.mark.parametrize(("text", "earlier"), COVERED)
def test_a_condition_that_others_cover_is_found(text: str | None, earlier: list[str | None]) -> None:
    assert covered(_tree(text), [_tree(other) for other in earlier])


@pytest.mark.parametrize(("text", "earlier"), NOT_COVERED)
def test_a_condition_with_an_event_of_its_own_is_not(text: str | None, earlier: list[str | None]) -> None:
    assert not covered(_tree(text), [_tree(other) for other in earlier])


def _said_wrongly(seed: int, covered: Covered = covered) -> tuple[int, list[str]]:
    """How often something was said about random conditions, and what was wrong in it, by random events."""
    draw, rng = Draw(seed), random.Random(seed)
    batch = conditions.batch(draw.rows(60))
    said, wrong = 0, []
    for _ in range(15):
        one = draw.tree(2)
        contrary = And((one, Not(draw.atom()), Not(one))) if rng.random() < 0.3 else And((one, draw.atom(), draw.atom()))
        if never(contrary):
            said += 1
            wrong += ["never"] * bool(columnar.mask(contrary, batch).any())
        others = [draw.tree(1), Or((one, draw.atom())) if rng.random() < 0.5 else draw.tree(2), Not(draw.atom())]
        if covered(one, others):
            said += 1
            union = sum(mask for mask in columnar.Program(others).masks(batch)) > 0
            wrong += ["covered"] * bool((columnar.mask(one, batch) & ~union).any())
    return said, wrong


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_nothing_is_said_wrongly(seed: int) -> None:
    assert _said_wrongly(seed)[1] == []


def test_something_is_said() -> None:
    """Else the test above would hold for a module that never says anything."""
    assert sum(_said_wrongly(seed)[0] for seed in range(4)) > 15


def test_whoever_forgets_null_is_found() -> None:
    """Negative control: what is no match taken for the contrary."""

    def forgetful(tree: Tree, earlier: Sequence[Tree]) -> bool:
        return never(And((tree, *map(Not, earlier))))

    assert any(_said_wrongly(seed, forgetful)[1] for seed in range(30))


def test_a_rule_that_one_of_a_hundred_covers_is_found() -> None:
    """The others are choices that have nothing to do with it."""
    texts = many.conditions(100)
    trees, asked = [parse(text).tree for text in texts], texts[7:100:7]
    assert [text for text in asked if not covered(parse(f"({text}) AND source = 'x'").tree, trees)] == []
    assert not covered(parse("source = 'x'").tree, trees)


def test_a_question_that_is_too_long_is_given_up() -> None:
    """Eight pigeons in seven holes: impossible, and no search of this kind shows it soon. A smaller one is shown."""
    assert never(_pigeons(4))
    started = time.process_time()
    assert not never(_pigeons(8))
    assert time.process_time() - started < 2


def _pigeons(count: int) -> Tree:
    held = [[Has(Field("tools_offered"), f"{pigeon} in {hole}") for hole in range(count - 1)] for pigeon in range(count)]
    apart = [Not(And((one[hole], other[hole]))) for one, other in combinations(held, 2) for hole in range(count - 1)]
    return And((*(Or(tuple(holes)) for holes in held), *apart))
