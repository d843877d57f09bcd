"""Payment cards and bank accounts, with the check digits their standards ask for."""

from __future__ import annotations

from tests.corpus.checksums import iban as with_check
from tests.corpus.checksums import luhn
from tests.corpus.draw import DIGITS, UPPER, Draw
from tests.corpus.marks import Value, secret

_SCHEMES = {
    "visa": (("4",), 16),
    "mastercard": (("51", "52", "53", "54", "55", "2221", "2500", "2720"), 16),
    "amex": (("34", "37"), 15),
    "discover": (("6011", "65"), 16),
    "jcb": (("3528", "3566", "3589"), 16),
    "diners": (("36", "38"), 14),
    "unionpay": (("6212", "6225"), 16),
}


def card(d: Draw) -> Value:
    scheme = d.pick(list(_SCHEMES))
    starts, length = _SCHEMES[scheme]
    body = d.pick(starts)
    body += d.digits(length - 1 - len(body))
    number = body + luhn(body)
    if d.chance(0.55):
        groups = [4, 6, 5] if length == 15 else [4, 6, 4] if length == 14 else [4, 4, 4, 4]
        joint, at, parts = d.pick([" ", " ", "-", "\u00a0"]), 0, []
        for size in groups:
            parts.append(number[at : at + size])
            at += size
        text = joint.join(parts)
    else:
        text = number
    mark = secret(text, f"card_{scheme}", "personal", decoded=text.replace("\u00a0", " "))
    return Value(mark, ("card_number", "pan", "credit_card", "card", "cardNumber"), "card")


# The national part by country, as ISO 13616's registry gives it: n a digit, a a capital letter.
_BBAN = {
    "DE": "n18",
    "AT": "n16",
    "CH": "n17",
    "FR": "n23",
    "ES": "n20",
    "IT": "a1n22",
    "PT": "n21",
    "PL": "n24",
    "NL": "a4n10",
    "BE": "n12",
    "GB": "a4n14",
    "IE": "a4n14",
    "SE": "n20",
    "DK": "n14",
    "NO": "n11",
    "FI": "n14",
    "LU": "n16",
    "CZ": "n20",
    "TR": "n22",
    "GR": "n23",
}


def iban(d: Draw) -> Value:
    country = d.pick(list(_BBAN))
    pattern, bban, at = _BBAN[country], "", 0
    while at < len(pattern):
        end = at + 1
        while end < len(pattern) and pattern[end].isdigit():
            end += 1
        bban += d.text(UPPER if pattern[at] == "a" else DIGITS, int(pattern[at + 1 : end]))
        at = end
    text = with_check(country, bban)
    if d.chance(0.5):
        text = " ".join(text[i : i + 4] for i in range(0, len(text), 4))
    elif d.chance(0.1):
        text = text.lower()
    return Value(
        secret(text, f"iban_{country.lower()}", "personal"), ("iban", "account_iban", "bank_account", "creditor_iban"), "IBAN"
    )
