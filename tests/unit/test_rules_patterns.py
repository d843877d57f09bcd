"""Which regular expressions a detector may have."""

from __future__ import annotations

import pytest

from pipeline.rules.patterns import Unusable, usable

GOOD = [
    "KD-[0-9]{8}",
    r"\bE[0-9]+\b",
    "(?:a|b)c+",
    "(?i:kunde) [0-9]+",
    r"[a-z\]\[-]+x",
    r"a\.b\\c",
    "[^ ]x",
    "[]a]+",
    "x{2,}",
    "a+?",
]
BAD = {
    "(?=x)y": "look-around does not take linear time",
    "(?<!x)y": "look-around",
    r"(a)\1": r"'\1': a reference back to a group",
    "(?P<n>x)": "groups are written",
    "(?x: a)": "groups are written",
    r"\s+x": "write [ \\t]",
    r"\p{L}": "write the characters out",
    r"a\Z": "write the character itself",
    "a++": "one repetition after another",
    "[[:alpha:]]x": "lists within lists",
    "[a&&b]": "lists within lists",
    r"[\b]": "something else in lists",
    "[a": "not closed",
    "(a": "is no regular expression that takes linear time",
    "a{1001}": "at most 1,000 repetitions",
    "a{,3}b": "write {0,n}",
    r"\<a": "write the character itself",
    "a*": "finds the empty text",
    "x|": "finds the empty text",
}


@pytest.mark.parametrize("pattern", GOOD)
def test_what_all_engines_read_alike_is_taken(pattern: str) -> None:
    usable(pattern)


@pytest.mark.parametrize("pattern", BAD)
def test_all_else_is_refused_with_a_way_out(pattern: str) -> None:
    with pytest.raises(Unusable) as refused:
        usable(pattern)
    assert BAD[pattern] in str(refused.value)
