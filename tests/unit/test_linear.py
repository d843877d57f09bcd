"""Patterns that stay compiled: each value with a match is named, with little memory, too."""

from __future__ import annotations

import random
import re

import pyarrow as pa
import pytest

from pipeline.stages import linear
from pipeline.stages.texts import Text

PATTERNS = ("ab", "b{2}c", "(?i:é)", "[0-9]{3}x")


@pytest.mark.parametrize("seed", range(20))
def test_every_value_with_a_match_is_named(seed: int) -> None:
    rng = random.Random(seed)
    values = ["".join(rng.choices("abcéÉ1x", k=rng.randrange(5))) for _ in range(60)]
    texts = [Text("prompt", "", pa.array(values[:20]), None), Text("response", "", pa.array(values).slice(20), None)]
    pattern = "|".join(PATTERNS)
    named = linear.values_with(texts, pattern).tolist()
    assert named == sorted(set(named))
    assert {place for place, value in enumerate(values) if re.search(pattern, value)} <= set(named)
    begins = {
        place
        for place in range(60)
        for match in re.finditer(f"(?=(?:{pattern}))", "".join(values[place:]))
        if match.start() < len(values[place])
    }
    assert set(named) <= begins


def test_values_without_a_match_and_none_at_all() -> None:
    assert linear.values_with([Text("prompt", "", pa.array(["", "a", ""]), None)], "b|$").tolist() == []
    assert linear.values_with([Text("prompt", "", pa.array([], pa.string()), None)], "b").tolist() == []


def test_a_set_names_the_patterns_that_match() -> None:
    assert sorted(linear.matches("xabbcÉ", PATTERNS)) == [0, 1, 2]
    assert list(linear.matches("", PATTERNS)) == []


def test_little_memory_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = tuple(f"(?:{letter}|b)[a-z]{{0,40}}{letter}x" for letter in "abcdefgh")
    texts = ["abcdefgh" * 100 + end for end in ("", "ax", "z" * 50 + "x", "hgx")]
    plenty = [sorted(linear.matches(text, patterns)) for text in texts]
    linear._set.cache_clear()
    monkeypatch.setattr(linear, "MEMORY", 50_000)
    assert [sorted(linear.matches(text, patterns)) for text in texts] == plenty
    assert plenty == [[n for n, one in enumerate(patterns) if re.search(one, text)] for text in texts]
    linear._set.cache_clear()
