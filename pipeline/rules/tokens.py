"""The words of a condition before anything parses them: only those that the language has, in bounded number and depth."""

from __future__ import annotations

from itertools import pairwise

from sqlglot import tokenize
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from pipeline.rules.nodes import MAX_DEPTH
from pipeline.rules.refused import Refused

MAX_CHARACTERS = 8 * 1024
_SIGNS = frozenset(("=", "<>", "<", "<=", ">", ">=", "(", ")", ",", "-"))
_INSTEAD = {
    "!=": "write <>",
    "==": "write =",
    "<=>": "write IS NOT DISTINCT FROM",
    ";": "a condition is one expression; write one rule for each",
    "ISNULL": "write IS NULL",
    "NOTNULL": "write IS NOT NULL",
    "UNKNOWN": "write IS NULL",
    "TRUE": "no field holds true or false; write the comparison itself, or leave the condition out for every event",
    "FALSE": "no field holds true or false; write the comparison itself, or leave the rule out",
    "SELECT": "a condition looks at one event only; name what the subquery would find",
    "EXISTS": "a condition looks at one event only; for a list of texts write has(field, 'text')",
    "ANY": "write one comparison for each, joined by OR",
    "ALL": "write one comparison for each, joined by AND",
    "ESCAPE": "engines escape differently; use contains(), starts_with() or ends_with(), where % and _ mean themselves",
    "SYMMETRIC": "write the lower limit first",
    "DATE": "write the moment: TIMESTAMP '2026-11-01T00:00:00Z'",
    "TIMESTAMPTZ": "write TIMESTAMP '2026-11-01T00:00:00Z'; times are UTC",
    "DATETIME": "write TIMESTAMP '2026-11-01T00:00:00Z'; times are UTC",
    "CAST": "literals have the field's type already; leave the cast out",
    "::": "literals have the field's type already; leave the cast out",
    "LOWER": "for letters in any case use ILIKE, which is for ASCII",
    "UPPER": "for letters in any case use ILIKE, which is for ASCII",
    "STARTSWITH": "write starts_with(field, 'text')",
    "ENDSWITH": "write ends_with(field, 'text')",
    ".": "write fields without a table, and 0.5 for .5",
    "?": "parameters are not filled in; write the value",
    ":": "parameters are not filled in; write the value",
}
_INSTEAD |= dict.fromkeys(
    ("+", "*", "/", "%", "||", "^", "&", "|", "~"), "engines calculate differently; compare the field itself"
)
_INSTEAD |= dict.fromkeys(
    ("RLIKE", "REGEXP", "SIMILAR", "GLOB"),
    "engines match patterns differently; use LIKE, contains(), starts_with() or ends_with()",
)
_INSTEAD |= dict.fromkeys(
    ("CURRENT_DATE", "CURRENT_TIMESTAMP", "NOW", "INTERVAL"), "a condition means the same at any time; write TIMESTAMP '…Z'"
)
_CLOSES = {")": "(", "END": "CASE"}


def check(text: str) -> None:
    """Refuse what is no word of the language, too long, too deep, commented or empty. Raises Refused."""
    if len(text) > MAX_CHARACTERS:
        raise Refused(
            text, MAX_CHARACTERS, f"a condition of {len(text):,} characters; at most {MAX_CHARACTERS:,}: split the rule"
        )
    if "\0" in text:
        raise Refused(text, text.index("\0"), "no clean event holds the character U+0000; leave it out")
    try:
        found = tokenize(text)
    except TokenError:
        raise Refused(
            text, max(text.rfind("'"), text.rfind('"'), 0), "a quote that nothing closes; close it, or write '' for ' in a text"
        ) from None
    if not found:
        raise Refused(text, 0, "no condition; leave `when` out where the rule is for every event, and comments to YAML")
    for token in found:
        _known(text, token)
    for token, following in pairwise(found):
        if token.text == "," and following.text == ")":
            raise Refused(text, following.start, "a comma with nothing behind it; leave it out")
    _depth(text, found)


def null_at(text: str) -> int:
    """Where the first NULL stands that belongs to no IS NULL."""
    before = ""
    for token in tokenize(text):
        if token.text.upper() == "NULL" and token.token_type is TokenType.NULL and before not in ("IS", "NOT"):
            return token.start
        before = token.text.upper()
    return 0


def _known(text: str, token: Token) -> None:
    if token.comments:
        inside = text.find(token.comments[0])
        raise Refused(
            text,
            max(text.rfind("--", 0, inside), text.rfind("/*", 0, inside)),
            "comments are for the YAML document: put it there, behind a #",
        )
    if token.token_type in (TokenType.STRING, TokenType.NUMBER):
        if text[token.start] == "'" or token.token_type is TokenType.NUMBER:
            return
    elif text[token.start] == '"':
        raise Refused(text, token.start, "double quotes; write names without quotes and texts in single quotes")
    elif (token.text in _SIGNS or token.text.isidentifier()) and token.text.upper() not in _INSTEAD:
        return
    why = _INSTEAD.get(token.text.upper().partition(" ")[0], "docs/rules.md lists what a condition may consist of")
    raise Refused(text, token.start, f"{token.text[:32]} is no part of a condition; {why}")


def _depth(text: str, found: list[Token]) -> None:
    """Parentheses, CASEs and NOTs that stand inside of each other; the parser's own stack is bounded by it."""
    opened: list[str] = []
    for token in found:
        word = token.text.upper() if token.token_type is not TokenType.STRING else ""
        if word in ("AND", "OR", ",", "WHEN", "THEN", "ELSE", *_CLOSES):
            while opened and opened[-1] == "NOT":
                opened.pop()
        if word in ("(", "CASE", "NOT"):
            opened.append(word)
        elif opened and _CLOSES.get(word) == opened[-1]:
            opened.pop()
        if len(opened) > MAX_DEPTH:
            raise Refused(text, token.start, f"nested deeper than {MAX_DEPTH}; split the rule")
