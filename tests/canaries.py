"""500 values that must be stored nowhere in the open: secrets and personal data, many easy to guess, and how to look for them.

The forms are those of public formats, with their checksums; each value is made up from a seed and was never valid anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import random
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import polars as pl
from stdnum import luhn
from stdnum.es import dni
from stdnum.iso7064 import mod_11_10, mod_97_10
from stdnum.nl import bsn

ALNUM, HEX = string.ascii_letters + string.digits, "0123456789abcdef"
DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s")
BODIES = ("§", 'he wrote "§" and left', '{"note": "§"}', "2026-11-02T10:00:00Z worker[12]: §", "first line\n§\nlast line")


@dataclass(frozen=True)
class Canary:
    """``text`` is what an event holds, ``value`` what nobody may find."""

    kind: str
    text: str
    value: str

    @property
    def personal(self) -> bool:
        """Not a secret: principals' ids may be like it."""
        return self.kind in PERSONAL


def canaries(seed: int = 7, count: int = 500) -> list[Canary]:
    """The same for the same seed; each kind about as often as the others."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        form, make = KINDS[kind]
        value = make(rng)
        found.append(Canary(kind, rng.choice(BODIES).replace("§", form.replace("§", value)), value))
    return found


def _of(alphabet: str, length: int) -> Callable[[random.Random], str]:
    return lambda rng: "".join(rng.choice(alphabet) for _ in range(length))


def _token(prefix: str, length: int, alphabet: str = ALNUM) -> Callable[[random.Random], str]:
    body = _of(alphabet, length)
    return lambda rng: prefix + body(rng)


def _word(rng: random.Random) -> str:
    """A password as people choose them."""
    return (
        rng.choice(("Summer", "winter", "Dragon", "monkey", "Secret", "qwertz"))
        + f"{rng.randrange(1000, 9999)}"
        + rng.choice("!#_")
    )


def _phone(rng: random.Random) -> str:
    return f"+49 30 {rng.randrange(2000000, 9999999)}"


def _card(rng: random.Random) -> str:
    body = "4" + _of(string.digits, 14)(rng)
    return body + str(luhn.calc_check_digit(body))


def _iban(rng: random.Random) -> str:
    account = _of(string.digits, 18)(rng)
    return f"DE{mod_97_10.calc_check_digits(account + 'DE')}{account}"


def _address(rng: random.Random) -> str:
    return f"{_of(string.ascii_lowercase, 5)(rng)}.{_of(string.ascii_lowercase, 6)(rng)}@example.com"


def _german(rng: random.Random) -> str:
    """A tax number: one digit twice, never three times."""
    digits = rng.sample("123456789", 9)
    body = "".join([*digits, digits[0]])
    return body + mod_11_10.calc_check_digit(body)


def _spanish(rng: random.Random) -> str:
    body = _of(string.digits, 8)(rng)
    return body + dni.calc_check_digit(body)


def _dutch(rng: random.Random) -> str:
    while True:
        number = _of(string.digits, 9)(rng)
        if bsn.is_valid(number):
            return number


def _ipv4(rng: random.Random) -> str:
    return ".".join(str(rng.randrange(11, 224)) for _ in range(4))


def _mac(rng: random.Random) -> str:
    return ":".join(_of(HEX, 2)(rng) for _ in range(6))


KINDS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "gitlab": ("§", _token("glpat-", 20)),
    "github": ("token=§", _token("ghp_", 36)),
    "aws id": ("§", _token("AKIA", 16, string.ascii_uppercase + string.digits)),
    "aws secret": ("aws_secret_access_key = §", _of(ALNUM + "/+", 40)),
    "google": ("key=§", _token("AIza", 35)),
    "slack": ("§", _token("xoxb-", 40, string.digits)),
    "bearer": ("Authorization: Bearer §", _of(ALNUM, 32)),
    "header": ("X-Vault-Token: §", _of(ALNUM, 28)),
    "url": ("postgresql://app:§@db.example.com/app", _word),
    "stripe": ("§", _token("sk_live_", 24)),
    "npm": ("//registry/:_authToken=§", _token("npm_", 36)),
    "vault": ("§", _token("hvs.", 24)),
    "anthropic": ("§", _token("sk-ant-api03-", 93)),
    "assigned": ("password=§", _word),
    "json": ('{"user": "app", "password": "§"}', _word),
    "yaml": ("db:\n  password: §\n  port: 5432", _word),
    "flag": ("mysql -u root --password=§ -h db", _word),
    "cookie": ("Cookie: sessionid=§; theme=dark", _of(HEX, 32)),
    "email": ("write to §, please", _address),
    "phone": ("call me: §", _phone),
    "card": ("card number §", _card),
    "iban": ("IBAN §", _iban),
    "ipv4": ("connection from §", _ipv4),
    "mac": ("device §", _mac),
    "de": ("Steuer-ID §", _german),
    "es": ("DNI §", _spanish),
    "nl": ("BSN §", _dutch),
}


PERSONAL = frozenset({"email", "phone", "card", "iban", "ipv4", "mac", "de", "es", "nl"})


def needles(values: Iterable[str]) -> dict[str, str]:
    """What to look for → the value it gives away: plain, in usual encodings, without separators, and digests anybody can compute.

    Bytes stand as Latin-1 text, as `found` takes them.
    """
    made: dict[str, str] = {}
    for value in values:
        raw = value.encode()
        forms = [
            raw,
            raw.hex().encode(),
            raw[::-1],
            base64.b64encode(raw).rstrip(b"="),
            value.lower().encode(),
            value.upper().encode(),
        ]
        forms.append("".join(c for c in value if c.isalnum()).encode())
        for name in DIGESTS:
            digest = hashlib.new(name, raw).digest()
            forms += [
                digest[:16],
                digest.hex()[:16].encode(),
                base64.b64encode(digest)[:16],
                base64.urlsafe_b64encode(digest)[:16],
            ]
        made |= {form.decode("latin-1"): value for form in forms}
    return made


def found(places: dict[str, bytes], wanted: dict[str, str]) -> dict[str, list[str]]:
    """Place → values that it gives away, for each place that does; all are searched at once (Aho-Corasick)."""
    hay = pl.Series([data.decode("latin-1") for data in places.values()])
    hits: Sequence[Sequence[str]] = hay.str.extract_many(list(wanted), overlapping=False).to_list()
    return {place: sorted({wanted[hit] for hit in hit_list}) for place, hit_list in zip(places, hits, strict=True) if hit_list}
