"""Check digits of cards, bank accounts, books and national ids, written out one by one. All take and give strings of digits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=True))


def luhn(body: str) -> str:
    """ISO/IEC 7812: from the right every second digit is doubled, digits of the products are added."""
    total = 0
    for place, d in enumerate(reversed(body)):
        n = int(d) * (2 if place % 2 == 0 else 1)
        total += n - 9 if n > 9 else n
    return str(-total % 10)


def luhn_holds(number: str) -> bool:
    return luhn(number[:-1]) == number[-1]


def iban(country: str, bban: str) -> str:
    """ISO 13616: letters become numbers from 10, the remainder by 97 must be 1."""
    digits = "".join(str(int(c, 36)) for c in bban + country + "00")
    return f"{country}{98 - int(digits) % 97:02d}{bban}"


def ean13(body: str) -> str:
    return str(-weighted(body, [1, 3] * 6) % 10)


def isbn10(body: str) -> str:
    rest = -weighted(body, range(10, 1, -1)) % 11
    return "X" if rest == 10 else str(rest)


def mod11_10(body: str) -> str:
    """ISO 7064 MOD 11,10: the German tax id."""
    product = 10
    for d in body:
        total = (int(d) + product) % 10 or 10
        product = total * 2 % 11
    return str((11 - product) % 10)


def fr_nir(body: str) -> str:
    """Two digits, without the Corsican letters: 97 minus the remainder by 97."""
    return f"{97 - int(body) % 97:02d}"


def es_letter(number: int) -> str:
    """DNI and NIE: a letter by the remainder by 23."""
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


_IT_ODD_DIGITS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_IT_ODD_LETTERS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def it_letter(body: str) -> str:
    """Codice fiscale: odd places by a table, even places by value, the letter by the remainder by 26."""
    total = 0
    for place, c in enumerate(body, start=1):
        if place % 2 == 0:
            total += int(c) if c.isdigit() else ord(c) - 65
        else:
            total += _IT_ODD_DIGITS[int(c)] if c.isdigit() else _IT_ODD_LETTERS[ord(c) - 65]
    return chr(65 + total % 26)


def pl_pesel(body: str) -> str:
    return str(-weighted(body, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)


def nl_bsn(body: str) -> str | None:
    """The check digit, or None where there is none for these eight digits."""
    rest = weighted(body, range(9, 1, -1)) % 11
    return None if rest == 10 else str(rest)


def be_rrn(body: str, born_2000: bool) -> str:
    return f"{97 - int(('2' if born_2000 else '') + body) % 97:02d}"


def pt_nif(body: str) -> str:
    rest = weighted(body, range(9, 1, -1)) % 11
    return str(0 if rest < 2 else 11 - rest)


def fi_hetu(body: str) -> str:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(body) % 31]


def dk_cpr_holds(number: str) -> bool:
    return weighted(number, [4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0


def no_fnr(body: str) -> str | None:
    first = -weighted(body, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11
    if first == 10:
        return None
    second = -weighted(body + str(first), [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
    return None if second == 10 else f"{first}{second}"


def br_cpf(body: str) -> str:
    digits = body
    for length in (9, 10):
        rest = weighted(digits, range(length + 1, 1, -1)) * 10 % 11
        digits += str(rest % 10)
    return digits[9:]


def uk_nhs(body: str) -> str | None:
    rest = 11 - weighted(body, range(10, 1, -1)) % 11
    return None if rest == 10 else str(rest % 11)


_D = [[(i + j) % 5 if i < 5 and j < 5 else 0 for j in range(10)] for i in range(10)]
for _i in range(10):
    for _j in range(10):
        if _i < 5 <= _j:
            _D[_i][_j] = 5 + (_i + _j - 5) % 5
        elif _j < 5 <= _i:
            _D[_i][_j] = 5 + (_i - 5 - _j) % 5
        elif _i >= 5:
            _D[_i][_j] = (_i - _j) % 5
_SHUFFLE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _permuted(digit: int, times: int) -> int:
    for _ in range(times % 8):
        digit = _SHUFFLE[digit]
    return digit


def verhoeff_holds(number: str) -> bool:
    """The check of Aadhaar: a walk through the dihedral group of order ten."""
    check = 0
    for place, d in enumerate(reversed(number)):
        check = _D[check][_permuted(int(d), place)]
    return check == 0


def verhoeff(body: str) -> str:
    return next(str(d) for d in range(10) if verhoeff_holds(body + str(d)))


def cn_rid(body: str) -> str:
    """ISO 7064 MOD 11-2."""
    return "10X98765432"[weighted(body, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11]


def tr_tckn(body: str) -> str:
    """The two last digits of nine."""
    tenth = (sum(map(int, body[0::2])) * 7 - sum(map(int, body[1::2]))) % 10
    return f"{tenth}{(sum(map(int, body)) + tenth) % 10}"


def ch_ahv(body: str) -> str:
    return ean13(body)


def crc62(entropy: str, length: int = 6) -> str:
    """The last six characters of GitHub's and npm's tokens: CRC-32 of the rest in base 62."""
    number, out = zlib.crc32(entropy.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        out = BASE62[rest] + out
    return out.rjust(length, "0")
