"""Which regular expressions a detector may have: such as mean the same to RE2, Rust's regex and Python's re, in linear time."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc


class Unusable(Exception):  # noqa: N818
    """A pattern that no detector may have; the text says where it goes wrong and what to write instead."""


REPEATED = 1000  # the engines' own limit of {n,m}
_TOKEN = re.compile(r"\\.|\(\?[a-zA-Z]*.?|\[\^?\]?(?:\\.|[^\]\\])*\]?|[*+?}][*+]|\{[0-9,]*\}|.", re.DOTALL)
_ESCAPES = frozenset("\\.+*?()|[]{}^$-/\"'#&~@%=:;,! tnrbdw")
_WAYS_OUT = {
    "s": "engines disagree on it: write [ \\t] or [ \\t\\r\\n]",
    "S": "engines disagree on it: write [^ \\t\\r\\n]",
    "B": "engines disagree on it: leave it out",
    "p": "engines disagree on it: write the characters out, as in [a-zäöü]",
    "P": "engines disagree on it: write the characters out",
}


def usable(pattern: str) -> None:
    """Return where it is. Raises Unusable."""
    for token in _TOKEN.findall(pattern):
        why = _wrong(token)
        if why:
            shown = f"'{token}'" if token.isprintable() else repr(token)
            raise Unusable(f"{shown}: {why}")
    try:
        re.compile(pattern, re.ASCII)
        empty = pc.match_substring_regex(pa.array([""]), pattern=pattern)[0].as_py()
    except (pa.ArrowInvalid, re.error) as exc:
        said = str(exc).partition(": ")[2] or str(exc)
        raise Unusable(f"is no regular expression that takes linear time ({said}): correct it") from None
    if empty:
        raise Unusable("finds the empty text, that is, something everywhere: make a part of it necessary, with + in place of *")


def _wrong(token: str) -> str:
    """Why a part of a pattern cannot be used, and the way out; empty where it can."""
    if token.startswith("\\"):
        return _escape(token[1:])
    if token.startswith("(?") and token not in ("(?:", "(?i:"):
        around = "look-around does not take linear time: match the text around it as well, or leave it out"
        return around if token[2:3] in "=!<" else "groups are written (…), (?:…) or, for any case of letters, (?i:…): change it"
    if token.startswith("["):
        return _list(token)
    if re.fullmatch(r"[*+?}][*+]", token):
        return "engines disagree on one repetition after another: remove the second, or put brackets around the first"
    return _count(token) if token.startswith("{") else ""


def _count(token: str) -> str:
    if not re.fullmatch(r"\{[0-9]+(?:,[0-9]*)?\}", token):
        return "engines disagree on it: write {0,n} for up to n repetitions, and \\{ for the character"
    most = max(int(number) for number in re.findall("[0-9]+", token))
    return f"at most {REPEATED:,} repetitions are counted: write {{n,}}" if most > REPEATED else ""


def _escape(letter: str) -> str:
    if letter.isdigit():
        return "a reference back to a group does not take linear time: write the text out"
    return "" if letter in _ESCAPES else _WAYS_OUT.get(letter, "engines disagree on this escape: write the character itself")


def _list(token: str) -> str:
    if not token.endswith("]") or len(token) < 3:
        return "a list of characters is not closed: add ], and write ] itself as \\]"
    if "[" in token[1:].replace("\\[", "") or re.search(r"&&|--|~~|\|\|", token):
        return "engines disagree on lists within lists: write one list, as in [a-z0-9], with \\[ for the character"
    escapes = re.findall(r"\\(.)", token, flags=re.DOTALL)
    return next(
        (why for letter in escapes if (why := "\\b means something else in lists" if letter == "b" else _escape(letter))), ""
    )
