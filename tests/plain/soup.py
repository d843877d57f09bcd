"""Texts with secrets at any place, in any disguise, and what looks like them."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable

from tests.unit.findings import FINDINGS, HARMLESS

WORDS = ("the", "report", "of", "select", "naïve", "日本", "🙂", "a", "x1", "quarterly", "[REDACTED:email]")
PIECES = (
    *("://", ":\\/\\/", ":", "@", "%40", "%3A", "%3a%2F%2f", "/", "\\/", "?", "#", "=", "==", ";", ",", "|", "`", "<", ">", "'"),
    *('"', '\\"', "\\", "\\\\", "\\n", "\\u0040", "\\u003A", "\\u0022", "\\\\u0022", "\\u005c", "u0067", "\\u00", "\\u0020"),
    *(
        " ",
        "\n",
        "\r",
        "\t",
        "\v",
        "\f",
        "\x1c",
        "\x85",
        "\xa0",
        "\u2028",
        "\x7f",
        "é",
        "\u212a",
        "\u017f",
        "\u0130",
        "ı",
        "\ufeff",
    ),
    *(
        "Bearer ",
        "bearer\v",
        "authorization: ",
        'AUTHORIZATION": "basic ',
        "authorization=>Token\t",
        "-H private-token:",
        "api-\u212aey: ",
    ),
    *(
        "aws_\u017fecret_key=",
        "secret_access_key => ",
        "acce\u017f\u017f_key='",
        "AccountKey=",
        "sig=",
        "sig%3d",
        "SESSIONTOKEN:",
    ),
    *(
        "eyJ",
        "glpat-",
        "glrtr-",
        "ghp_",
        "github_pat_",
        "GR1348941",
        "xoxb-",
        "xoxe.xoxp-",
        "xapp-1-",
        "AKIA",
        "AIza",
        "hooks.slack.com/",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "---- BEGIN A B PRIVATE KEY BLOCK ----",
        "-----END PRIVATE KEY-----",
        "BEGIN",
        "PRIVATE KEY",
    ),
    *(
        "git",
        "git@",
        "hg@",
        "bob",
        "host",
        ".",
        "-",
        "_",
        "example.com",
        ".com",
        "v1.2",
        "^1.0",
        "2x.png",
        ".service",
        "~/",
        "80",
        "0",
    ),
)
LOOK_ALIKES = [text for text in HARMLESS if len(text) < 1000]  # `re` takes long for a long run of letters
ALPHABETS = (
    string.ascii_letters + string.digits,
    string.ascii_letters + string.digits + "-_",
    "ab/+=",
    "0123456789",
    "ABCDEFG234",
    "a.b-c",
)


def run(rng: random.Random, most: int = 45) -> str:
    """Characters of one alphabet."""
    letters = rng.choice(ALPHABETS)
    return "".join(rng.choice(letters) for _ in range(rng.randrange(1, most)))


def words(rng: random.Random, most: int = 8) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(most)))


def within(rng: random.Random, text: str) -> str:
    """The text somewhere in others."""
    glue = rng.choice((" ", "", "\n", "é", '"', ",", "/"))
    return words(rng) + glue + text + glue + words(rng)


def escaped(rng: random.Random, text: str) -> str:
    """As a string of JSON with some of its characters as escapes, perhaps in JSON again."""
    code, often = rng.choice(("\\u{:04x}", "\\u{:04X}")), rng.choice((1, 2, 7))
    spelled = "".join(code.format(ord(c)) if ord(c) < 128 and rng.randrange(often) == 0 else json.dumps(c)[1:-1] for c in text)
    return nested(rng, '{"k":"' + spelled + '"}')


def nested(rng: random.Random, text: str) -> str:
    """In JSON in JSON."""
    for _ in range(rng.randrange(3)):
        text = json.dumps({"k": text}, ensure_ascii=rng.random() < 0.5)
    return text


def encoded(rng: random.Random, text: str) -> str:
    """In base64, in one line or in several, padded or not, perhaps cut."""
    made = rng.choice((base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes))(text.encode()).decode()
    made = made.rstrip("=\n") if rng.random() < 0.5 else made
    return made[: rng.randrange(len(made) + 1)] if rng.random() < 0.2 else made


def finding(rng: random.Random) -> str:
    return rng.choice(FINDINGS).text


def cut(rng: random.Random) -> str:
    """Ends within a secret."""
    text = within(rng, finding(rng))
    return text[: rng.randrange(len(text) + 1)]


def mixed(rng: random.Random) -> str:
    """Pieces of patterns in any order."""
    return "".join(run(rng) if rng.random() < 0.35 else rng.choice(PIECES) for _ in range(rng.randrange(2, 16)))


def any_characters(rng: random.Random) -> str:
    """Of all of Unicode but NUL and surrogates."""
    ranges = ((1, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF))
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randrange(1, 20)))


def long(rng: random.Random) -> str:
    """As long as a text may be, or a little more, with a secret across the limit; and with characters of several bytes."""
    end = rng.choice((finding(rng), "é" * 9, "🙂" * 9, "x", "last"))
    most = rng.choice((65_536, 65_537, 65_536 + rng.randrange(200), 17_000, 70_000))
    fill = rng.choice(("word ", "é ", "0123456 "))
    before = (fill * (most // len(fill.encode()) + 1)).encode()[: most - rng.randrange(len(end.encode()) + 2)]
    return before.decode(errors="ignore") + end


def text(rng: random.Random) -> str:
    """Any of these."""
    chance = rng.random()
    if chance < 0.012:
        return long(rng)
    if chance < 0.016:
        return words(rng) + "\0" + words(rng)
    kind = rng.choice(
        ("words", "finding", "nested", "escaped", "encoded", "harmless", "cut", "mixed", "mixed", "mixed", "any", "empty")
    )
    makers: dict[str, Callable[[], str]] = {
        "words": lambda: words(rng),
        "finding": lambda: within(rng, finding(rng)),
        "nested": lambda: nested(rng, within(rng, finding(rng))),
        "escaped": lambda: escaped(rng, within(rng, finding(rng))),
        "encoded": lambda: nested(rng, within(rng, encoded(rng, within(rng, finding(rng))))),
        "harmless": lambda: within(rng, rng.choice(LOOK_ALIKES)),
        "cut": lambda: cut(rng),
        "mixed": lambda: mixed(rng),
        "any": lambda: any_characters(rng),
        "empty": str,
    }
    return makers[kind]()
