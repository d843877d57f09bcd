"""The short cut for values that are plainly drawn says nothing else than the patterns it saves."""

from __future__ import annotations

import random
import re

import pytest

from auditwire.redaction import shapes

WORDS = (
    *(
        "xxx",
        "XXXXX",
        "example",
        "EXAMPLE",
        "Placeholder",
        "changeme",
        "your",
        "My",
        "the",
        "fill",
        "arn",
        "projects",
        "null",
        "test",
    ),
    *(
        "env",
        "getenv",
        "environ",
        "vault",
        "keyring",
        "getpass",
        "prompt",
        "valueFrom",
        "secretKeyRef",
        "SecretManager",
        "sk",
        "AKIA",
    ),
    *("password", "Add", "demo", "fake", "todo", "0000", "1234", "a", "B", "7", "9f3e", "Zq", "ms", "GB"),
)
PATTERNS = (shapes._PLACEHOLDER, shapes._REFERENCE, shapes._WORDS, shapes._ASSIGNMENT, shapes._DATE)


def values() -> list[str]:
    rng = random.Random(7)
    return ["".join(rng.choices(WORDS, k=rng.randrange(1, 7))) for _ in range(20_000)]


def wrong() -> list[str]:
    drawn = [value for value in values() if shapes._plainly_drawn(value)]
    return [value for value in drawn if shapes._CODE.search(value) or any(one.fullmatch(value) for one in PATTERNS)]


def test_no_pattern_for_something_else_matches_what_is_plainly_drawn() -> None:
    assert wrong() == []
    assert sum(map(shapes._plainly_drawn, values())) > 300


@pytest.mark.parametrize("name", ["_BEGIN", "_WITHIN"])
def test_the_comparison_sees_a_short_cut_that_is_too_short(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, name, re.compile(r"(?!)"))
    assert wrong() != []
