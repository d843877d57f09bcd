"""Seeded random values: the one source of chance of the corpus."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALNUM = DIGITS + UPPER + LOWER
URLSAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
HEX = "0123456789abcdef"

VOCABULARY: dict[str, Any] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))
"""Everything that is text and not code: words, names, sentences, by what it is used for."""

WORDS: list[str] = VOCABULARY["words"]
SERVICES: list[str] = VOCABULARY["services"]
HOSTS: list[str] = VOCABULARY["hosts"]
USERS: list[str] = VOCABULARY["users"]


class Draw:
    """Values drawn from one seed; the same seed gives the same values for ever."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.random.randrange(len(choices))]

    def number(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self.random.randrange(low, high + 1)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def text(self, alphabet: str, length: int) -> str:
        return "".join(self.pick(alphabet) for _ in range(length))

    def digits(self, length: int) -> str:
        return self.text(DIGITS, length)

    def alnum(self, length: int) -> str:
        """Letters and digits, with at least one of each kind where the length allows it."""
        while True:
            value = self.text(ALNUM, length)
            if length < 8 or (any(c.isdigit() for c in value) and value.lower() != value and value.upper() != value):
                return value

    def urlsafe(self, length: int) -> str:
        """Letters, digits, - and _, beginning and ending with a letter or a digit."""
        return self.text(ALNUM, 1) + self.text(URLSAFE, length - 2) + self.text(ALNUM, 1)

    def hexa(self, length: int) -> str:
        while True:
            value = self.text(HEX, length)
            if length < 16 or (not value.isdigit() and not value.isalpha()):
                return value

    def raw(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def base64(self, count: int) -> str:
        """So many random bytes as base64."""
        return base64.b64encode(self.raw(count)).decode()

    def base64url(self, count: int) -> str:
        return base64.urlsafe_b64encode(self.raw(count)).decode().rstrip("=")

    def uuid(self) -> str:
        h = self.hexa(32)
        return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{self.pick('89ab')}{h[17:20]}-{h[20:]}"

    def word(self) -> str:
        return self.pick(WORDS)

    def words(self, count: int, joint: str = "-") -> str:
        return joint.join(self.word() for _ in range(count))

    def service(self) -> str:
        return self.pick(SERVICES)

    def host(self) -> str:
        return self.pick(HOSTS)

    def user(self) -> str:
        return self.pick(USERS)

    def date(self) -> str:
        return f"202{self.number(3, 6)}-{self.number(1, 12):02d}-{self.number(1, 28):02d}"

    def clock(self) -> str:
        return f"{self.number(0, 23):02d}:{self.number(0, 59):02d}:{self.number(0, 59):02d}"

    def stamp(self) -> str:
        return f"{self.date()}T{self.clock()}.{self.number(0, 999):03d}Z"

    def some(self, choices: Sequence[T], count: int) -> list[T]:
        """So many different ones, in random order."""
        return self.random.sample(list(choices), min(count, len(choices)))
