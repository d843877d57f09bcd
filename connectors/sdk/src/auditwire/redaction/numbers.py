"""Numbers of people: cards, bank accounts, telephones, national ids. A pattern proposes, a check digit or a name decides."""

from __future__ import annotations

import importlib
import re
from typing import NamedTuple

from auditwire.redaction.detector import Detector


def _left(behind: int) -> str:
    """What a number may be glued to, asked so many characters behind its begin: `re` is quick to pass what it cannot begin with."""
    some = rf"[\s\S]{{{behind}}}"
    return rf"(?:(?<![A-Za-z0-9]{some})|(?<=[a-z][a-z][a-z]{some})|(?<=ID{some})|(?<=[^A-Za-z0-9]x{some}))"


_ROUGH_CARD = r"(?:\b|_|[a-z]{3}|ID|x)[0-9](?:[ .-]{0,2}[0-9]){13}"
_ROUGH_ABROAD = r"\+ ?[0-9](?:[ ./()-]{0,4}[0-9]){6}|00[1-9](?:[ ./()-]{0,4}[0-9]){6}"
_ROUGH_PHONE = r"(?i:phone|tel|mobil|cell|handy|fax|call|sms|whatsapp|number|hotline|ring|dial|anruf|nummer|reich|wahl|portable|joindre|vil|llam|chiam|bel|kom|zadz|numer|ara|gsm|電話|携帯|电话|手机|联系|致电|連絡|msisdn|contact|kontakt)|[(][2-9][0-9]{2}[)]"
_ROUGH_ID = (
    r"(?:\b|_|[a-z]{3}|ID|x)[0-9](?:[ ./+-]?[0-9]){7}|(?:\b|_|[a-z]{3}|ID|x)[A-Z]{6} ?[0-9L-V]{2}[A-Z]|(?:\b|_|[a-z]{3}|ID|x)[A-Z]{3} [A-Z]{3} [0-9L-V]{2}[A-Z]|(?:\b|_|[a-z]{3}|ID|x)[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"
    r"|(?:\b|_|[a-z]{3}|ID|x)[XYZ][ -]?[0-9]{7}|(?:\b|_|[a-z]{3}|ID|x)[0-9]{6}[-+A-Y][0-9]{3}|(?:\b|_|[a-z]{3}|ID|x)[12] ?[0-9]{2} ?[0-9]{2} ?2[AB]|(?:\b|_|[a-z]{3}|ID|x)[0-9]{7}[A-W]"
)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def mod97(account: str) -> bool:
    """Whether the check digits of an IBAN hold."""
    return int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1


_CARD = "[0-9]" + _left(1) + r"(?<![0-9][./-][0-9])(?:[ .-]{0,2}[0-9]){13,18}(?![A-Za-z0-9]|[.-][0-9])"
_ISSUERS = (
    (re.compile(r"4"), (16,)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6011|64[4-9]|65"), (16,)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"3(?:0[0-5]|[689])"), (14,)),
    (re.compile(r"62"), (16, 17, 18, 19)),
)


def _card(match: re.Match[str]) -> bool:
    digits = re.sub("[^0-9]", "", match[0])
    return (
        any(len(digits) in lengths and issuer.match(digits) for issuer, lengths in _ISSUERS)
        and luhn(digits)
        and len(set(digits)) > 1
    )


# What follows a country and two check digits: so many digits (n), letters (a) or either (c); SWIFT's IBAN registry (ISO 13616).
IBAN_STRUCTURES = {
    "11n": "NO",
    "12n": "BE",
    "14n": "DK FI FO GL",
    "15n": "SI",
    "16n": "AT BA EE LT XK",
    "17n": "HR",
    "18n": "CR DE ME RS VA",
    "19n": "AE IL",
    "20n": "CZ ES SE SK TN",
    "21n": "PT",
    "22n": "IS",
    "23n": "MR",
    "24n": "HU PL",
    "2n18c": "SA",
    "3n13c": "KZ LU",
    "3n10c2n": "MK",
    "4n20c": "LB",
    "5n12c": "CH LI",
    "6n16c": "TR",
    "6n19c": "UA",
    "7n16c": "GR",
    "8n12c": "AD",
    "8n16c": "AL CY",
    "10n11c2n": "FR MC",
    "23n1a1c": "BR",
    "1a10n12c": "IT SM",
    "2a16n": "GE",
    "4a10n": "NL",
    "4a14n": "GB IE",
    "4a16n": "VG",
    "4a19n3a": "MU",
    "4a6n8c": "BG",
    "4a13c": "LV",
    "4a14c": "BH",
    "4a15c": "GI",
    "4a16c": "PK RO",
    "4a20c": "AZ",
    "4a21c": "PS QA",
    "4a22c": "KW",
    "4a4n18c": "JO",
    "4a5n18c": "MT",
    "4c20n": "DO",
    "20c": "MD",
    "24c": "GT",
}
_KINDS = {"n": "[0-9]", "a": "[A-Za-z]", "c": "[A-Za-z0-9]"}
_COUNTRIES = "|".join(" ".join(IBAN_STRUCTURES.values()).split())
_ACCOUNTS = "|".join(
    f"(?<=(?:{countries.replace(' ', '|')})[0-9]{{2}})"
    + "".join(f"(?:[ .-]{{0,2}}{_KINDS[kind]}){{{count}}}" for count, kind in re.findall("([0-9]+)([nac])", structure))
    for structure, countries in IBAN_STRUCTURES.items()
)
_IBAN = rf"[A-Za-z][A-Za-z][0-9][0-9](?i:{_left(4)}(?:{_ACCOUNTS})(?![A-Za-z0-9]))"

_ROUGH_IBAN = rf"(?i:(?:\b|_|[a-z]{{3}}|ID|x)(?:{_COUNTRIES})[0-9]{{2}}(?:[ .-]{{0,2}}[A-Z0-9]){{11}})"


def _iban(match: re.Match[str]) -> bool:
    return mod97(re.sub("[^A-Z0-9]", "", match[0].upper()))


# Telephones ---------------------------------------------------------------------------------------------------------------

_ABROAD = r"(?:(?<![A-Za-z0-9.+])|(?<=[a-z][a-z][a-z])|(?<=ID)|(?<=[\n]\+))(?:\+|\(\+|00(?=[1-9]))[ ]?[0-9]{1,3}\)?(?:[ ./()-]{0,3}[0-9]){6,13}(?![A-Za-z0-9])"
_AT_HOME = _left(0) + r"(?<![./+])(?<![0-9][: -])\(?0?[0-9](?:[ ./()-]{0,3}[0-9]){6,12}(?![A-Za-z0-9]|[.:-][0-9])"
_EDGE = r"(?a:\b)"  # other scripts put no space in front of a word of ours
_PHONE_NAMES = re.compile(
    rf"(?i)(?:phone|{_EDGE}tel{_EDGE}|{_EDGE}tel[.:_ ]|telef|telep|mobil|{_EDGE}cell|handy|{_EDGE}fax|{_EDGE}call|{_EDGE}sms{_EDGE}|whatsapp|{_EDGE}number to reach|hotline|{_EDGE}ring{_EDGE}|{_EDGE}dial|anruf|rufnummer|erreichbar|durchwahl|appel|portable|joindre|móvil|llam|celular|cellulare|chiam"
    rf"|telefoon|bel(?:len)?{_EDGE}|komórk|komork|zadzwoń|numer|{_EDGE}telefon|ara(?:yın|yin)|{_EDGE}gsm{_EDGE}|電話|携帯|电话|手机|联系|致电|連絡|msisdn|{_EDGE}contact{_EDGE}|{_EDGE}reach)[^\n]{{0,60}}\Z"
)
_US = re.compile(r"\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ][0-9]{4}|[2-9][0-9]{2}([-.])[2-9][0-9]{2}\1[0-9]{4}")
_REGIONS = [
    "US",
    "GB",
    "DE",
    "FR",
    "ES",
    "IT",
    "PT",
    "NL",
    "BE",
    "CH",
    "AT",
    "PL",
    "TR",
    "SE",
    "NO",
    "DK",
    "FI",
    "IE",
    "AU",
    "JP",
    "CN",
    "IN",
    "BR",
    "CA",
    "CZ",
    "GR",
    "LU",
    "MX",
    "KR",
    "ZA",
    "NZ",
    "RU",
]


def _phone_abroad(match: re.Match[str]) -> bool:
    import phonenumbers

    number = match[0].replace("(0)", "").replace("(", "").replace(")", "").strip()
    number = number if number.startswith("+") else "+" + number[2:]
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return False


def _phone(match: re.Match[str]) -> bool:
    text, start, value = match.string, match.start(), match[0]
    named = _PHONE_NAMES.search(text, max(0, start - 70), start)
    if not named:
        return value.startswith("(") and _US.fullmatch(value) is not None
    import phonenumbers

    for region in _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            return False
    return False


# National ids -------------------------------------------------------------------------------------------------------------


class Id(NamedTuple):
    """A country's number: what it looks like, the module of stdnum with its checksum, names that it is given, and the form
    that needs no name."""

    form: re.Pattern[str]
    module: str
    names: re.Pattern[str]
    alone: re.Pattern[str] | None = None


def _id(form: str, module: str, names: str, alone: str = "") -> Id:
    return Id(re.compile(form), module, re.compile(rf"(?i)(?:{names})"), re.compile(alone) if alone else None)


_PERSON = r"national[ _-]?(?:id|num|no)|identity|personal[ _-]?(?:id|number|code)|\bid[ _-]?(?:number|no|card)|tax[ _-]?id|\btin\b|citizen|\bssn\b|identification"
IDS: tuple[Id, ...] = (
    _id(
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{9}|[0-9]{3} [0-9]{2} [0-9]{4}",
        "us.ssn",
        rf"ssn|social|{_PERSON}",
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
    ),
    _id(
        r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
        "",
        r"",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z].*",
    ),
    _id(r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", "gb.nhs", r"nhs|patient|health", r"[0-9]{3} [0-9]{3} [0-9]{4}"),
    _id(
        r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
        "de.idnr",
        rf"steuer|idnr|id-nr|tax|identifikation|{_PERSON}",
        r"[0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}",
    ),
    _id(r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", "fr.nir", r".", r".*"),
    _id(r"[0-9]{8}-?[A-Z]", "es.dni", r".", r".*"),
    _id(r"[XYZ]-?[0-9]{7}-?[A-Z]", "es.nie", r".", r".*"),
    _id(r"[A-Z]{6}[ ]?[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2}[ ]?[A-Z][0-9LMNP-V]{3}[A-Z]", "it.codicefiscale", r".", r".*"),
    _id(r"[A-Z]{3} [A-Z]{3} [0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2} [A-Z][0-9LMNP-V]{3}[A-Z]", "it.codicefiscale", r".", r".*"),
    _id(r"[0-9]{4}[ .]?[0-9]{2}[ .]?[0-9]{3}|[0-9]{9}", "nl.bsn", rf"bsn|burgerservice|sofi|{_PERSON}"),
    _id(
        r"[0-9]{2}[. ]?[0-9]{2}[. ]?[0-9]{2}[- ]?[0-9]{3}[. ]?[0-9]{2}",
        "be.nn",
        rf"rijksregister|registre|\brrn|nrn|\bnn\b|niss|insz|{_PERSON}",
        r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}",
    ),
    _id(r"[0-9]{11}", "pl.pesel", rf"pesel|{_PERSON}"),
    _id(r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "pt.nif", rf"nif|contribuinte|fiscal|{_PERSON}"),
    _id(
        r"(?:19|20)?[0-9]{6}[-+]?[0-9]{4}", "se.personnummer", rf"personn|samordning|{_PERSON}", r"(?:19|20)?[0-9]{6}[-+][0-9]{4}"
    ),
    _id(r"[0-9]{6} ?[0-9]{5}", "no.fodselsnummer", rf"f(?:ø|o|oe)dsels|fnr|personnummer|{_PERSON}"),
    _id(r"[0-9]{6}[- ]?[0-9]{4}", "dk.cpr", rf"cpr|person|{_PERSON}"),
    _id(r"[0-9]{6}[-+A-FYXWVU][0-9]{3}[0-9A-Y]", "fi.hetu", r".", r".*"),
    _id(r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}", "ch.ssn", r".", r".*"),
    _id(r"[1-9][0-9]{10}", "tr.tckimlik", rf"kimlik|tckn|\btc\b|t\.c\.|{_PERSON}"),
    _id(r"[0-9]{17}[0-9Xx]|[0-9]{6} [0-9]{8} [0-9]{3}[0-9Xx]", "cn.ric", r".", r".*"),
    _id(
        r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}",
        "in_.aadhaar",
        rf"aadhaar|aadhar|uidai|\buid\b|आधार|{_PERSON}",
        r"[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}",
    ),
    _id(
        r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}[-/ ]?[0-9]{2}",
        "br.cpf",
        rf"cpf|contribuinte|{_PERSON}",
        r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}",
    ),
    _id(r"[0-9]{4} ?[0-9]{6}", "at.vnr", rf"svnr|sozialversicherung|\bsv-?nr|{_PERSON}"),
    _id(r"[0-9]{6}/?[0-9]{3,4}", "cz.rc", rf"rodn|{_PERSON}", r"[0-9]{6}/[0-9]{3,4}"),
    _id(r"[0-9]{6}-?[0-9]{7}", "kr.rrn", rf"주민|rrn|{_PERSON}", r"[0-9]{6}-[0-9]{7}"),
    _id(r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", "ca.sin", rf"\bsin\b|social insurance|{_PERSON}"),
    _id(r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "au.tfn", rf"\btfn\b|tax file|{_PERSON}"),
    _id(r"[0-9]{13}", "za.idnr", rf"south african id|{_PERSON}"),
    _id(r"[0-9]{7}[A-W][A-IW]?", "ie.pps", r"pps", r".*"),
)
_CANDIDATE = (
    "[A-Z0-9]"
    + _left(1)
    + r"(?<![0-9][.:][A-Z0-9])(?:(?<=[A-Z])(?:[A-Z]{5} ?[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2} ?[A-Z][0-9LMNP-V]{3}[A-Z]|[A-Z]{2} [A-Z]{3} [0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2} [A-Z][0-9LMNP-V]{3}[A-Z]"
    r"|[A-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]|(?<=[XYZ])[ -]?[0-9]{7}[ -]?[A-Z])"
    r"|(?<=[0-9])(?:[0-9]{5}[-+A-FU-Y][0-9]{3}[0-9A-Y]|(?<=[12]) ?[0-9]{2} ?[0-9]{2} ?2[AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"
    r"|[0-9]{6}[A-W][A-IW]?|(?:[ ./+-]?[0-9]){7,17}(?:-?[A-Za-z]|[ ][A-Z])?))(?![A-Za-z0-9]|[.:-][0-9])"
)


def _resident(number: str) -> bool:
    """A Chinese resident's number by its date and check digit; the list of regions in stdnum lacks some."""
    total = sum(int(digit) * (1 << (17 - place)) for place, digit in enumerate(number[:17]))
    dated = "1900" < number[6:10] < "2100" and "01" <= number[10:12] <= "12" and "01" <= number[12:14] <= "31"
    return dated and "10X98765432"[total % 11] == number[17].upper()


def _national(match: re.Match[str]) -> bool:
    value, text = match[0], match.string
    before = text[max(0, match.start() - 60) : match.start()]
    bare = re.sub("[ ./-]", "", value)
    for one in IDS:
        if not (one.form.fullmatch(value) or one.form.fullmatch(bare)):
            continue
        if not (one.alone and one.alone.fullmatch(value)) and not one.names.search(before):
            continue
        if not one.module or (one.module == "cn.ric" and _resident(bare)):
            return True
        module = importlib.import_module(f"stdnum.{one.module}")
        if module.is_valid(value) or module.is_valid(bare):
            return True
    return False


NUMBERS: tuple[Detector, ...] = (
    Detector("card_number", (), _CARD, check=_card, rough=_ROUGH_CARD, personal=True),
    Detector(
        "iban",
        (),
        _IBAN,
        check=_iban,
        rough=_ROUGH_IBAN,
        personal=True,
    ),
    Detector("national_id", (), _CANDIDATE, check=_national, rough=_ROUGH_ID, personal=True),
    Detector("phone", (), _ABROAD, check=_phone_abroad, rough=_ROUGH_ABROAD, personal=True),
    Detector("phone", (), _AT_HOME, check=_phone, rough=_ROUGH_PHONE, personal=True),
)
