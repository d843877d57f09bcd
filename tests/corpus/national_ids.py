"""National ids with valid check digits, by country. The persons do not exist: every part but the check digits is drawn."""

from __future__ import annotations

from collections.abc import Callable

from tests.corpus import checksums as check
from tests.corpus.draw import DIGITS, Draw
from tests.corpus.marks import Value, secret


def _birth(d: Draw) -> tuple[int, int, int]:
    return d.number(1945, 2004), d.number(1, 12), d.number(1, 28)


def _until(d: Draw, body: Callable[[], str], digits: Callable[[str], str | None]) -> str:
    """A body drawn until it has check digits."""
    while True:
        drawn = body()
        rest = digits(drawn)
        if rest is not None:
            return drawn + rest


def de_tax(d: Draw) -> str:
    """Ten digits of which one stands twice and one not at all, the first not 0."""
    while True:
        kinds = d.some(DIGITS, 9)
        body = d.some([*kinds, d.pick(kinds)], 10)
        if body[0] != "0":
            number = "".join(body)
            number += check.mod11_10(number)
            return f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}" if d.chance(0.4) else number


def fr_nir(d: Draw) -> str:
    year, month, _ = _birth(d)
    parts = [
        d.pick("12"),
        f"{year % 100:02d}",
        f"{month:02d}",
        f"{d.number(1, 95):02d}",
        f"{d.number(1, 990):03d}",
        f"{d.number(1, 999):03d}",
    ]
    if parts[3] == "20":
        parts[3] = "21"
    key = check.fr_nir("".join(parts))
    return (" " if d.chance(0.5) else "").join([*parts, key])


def es_dni(d: Draw) -> str:
    number = d.number(10_000_000, 99_999_999)
    return f"{number}{d.pick(['', '', '-'])}{check.es_letter(number)}"


def es_nie(d: Draw) -> str:
    first = d.number(0, 2)
    rest = d.digits(7)
    joint = d.pick(["", "-"])
    return f"{'XYZ'[first]}{joint}{rest}{joint}{check.es_letter(int(f'{first}{rest}'))}"


def it_cf(d: Draw) -> str:
    year, month, day = _birth(d)
    consonants = "BCDFGLMNPRSTVZ"
    birth = f"{year % 100:02d}{'ABCDEHLMPRST'[month - 1]}{day + d.pick([0, 40]):02d}"
    body = f"{d.text(consonants, 6)}{birth}{d.pick('ABDFHL')}{d.number(1, 999):03d}"
    return body + check.it_letter(body)


def pl_pesel(d: Draw) -> str:
    year, month, day = _birth(d)
    body = f"{year % 100:02d}{month + (20 if year >= 2000 else 0):02d}{day:02d}{d.digits(4)}"
    return body + check.pl_pesel(body)


def nl_bsn(d: Draw) -> str:
    return _until(d, lambda: d.pick("12") + d.digits(7), check.nl_bsn)


def be_rrn(d: Draw) -> str:
    year, month, day = _birth(d)
    parts = [f"{year % 100:02d}", f"{month:02d}", f"{day:02d}", f"{d.number(1, 997):03d}"]
    rest = check.be_rrn("".join(parts), year >= 2000)
    return f"{'.'.join(parts[:3])}-{parts[3]}.{rest}" if d.chance(0.7) else "".join(parts) + rest


def pt_nif(d: Draw) -> str:
    body = d.pick("12") + d.digits(7)
    number = body + check.pt_nif(body)
    return f"{number[:3]} {number[3:6]} {number[6:]}" if d.chance(0.4) else number


def fi_hetu(d: Draw) -> str:
    year, month, day = _birth(d)
    serial = f"{d.number(2, 899):03d}"
    date = f"{day:02d}{month:02d}{year % 100:02d}"
    return f"{date}{'A' if year >= 2000 else '-'}{serial}{check.fi_hetu(date + serial)}"


def se_pnr(d: Draw) -> str:
    year, month, day = _birth(d)
    body = f"{year % 100:02d}{month:02d}{day:02d}{d.digits(3)}"
    century = f"{year // 100}" if d.chance(0.5) else ""
    return f"{century}{body[:6]}-{body[6:]}{check.luhn(body)}"


def dk_cpr(d: Draw) -> str:
    while True:
        year, month, day = _birth(d)
        number = f"{day:02d}{month:02d}{year % 100:02d}{d.number(0, 3)}{d.digits(3)}"
        if year < 2000 and check.dk_cpr_holds(number):
            return f"{number[:6]}-{number[6:]}"


def no_fnr(d: Draw) -> str:
    def body() -> str:
        year, month, day = d.number(1945, 1999), d.number(1, 12), d.number(1, 28)
        return f"{day:02d}{month:02d}{year % 100:02d}{d.number(0, 499):03d}"

    number = _until(d, body, check.no_fnr)
    return f"{number[:6]} {number[6:]}" if d.chance(0.4) else number


def br_cpf(d: Draw) -> str:
    body = d.digits(9)
    rest = check.br_cpf(body)
    return f"{body[:3]}.{body[3:6]}.{body[6:]}-{rest}" if d.chance(0.7) else body + rest


def ch_ahv(d: Draw) -> str:
    body = "756" + d.digits(9)
    number = body + check.ch_ahv(body)
    return f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}" if d.chance(0.7) else number


def uk_nino(d: Draw) -> str:
    first, second = d.pick("ABCEGHJKLMPRSTWXYZ"), d.pick("ABCEGHJKLMPRSTWXYZ")
    if first + second in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"):
        first, second = "A", "B"
    digits, last = d.digits(6), d.pick("ABCD")
    if d.chance(0.5):
        return f"{first}{second} {digits[:2]} {digits[2:4]} {digits[4:]} {last}"
    return f"{first}{second}{digits}{last}"


def uk_nhs(d: Draw) -> str:
    """999 at the start is kept for tests."""
    number = _until(d, lambda: "999" + d.digits(6), check.uk_nhs)
    return f"{number[:3]} {number[3:6]} {number[6:]}" if d.chance(0.7) else number


def in_aadhaar(d: Draw) -> str:
    body = d.pick("23456789") + d.digits(10)
    number = body + check.verhoeff(body)
    return f"{number[:4]} {number[4:8]} {number[8:]}" if d.chance(0.7) else number


def us_ssn(d: Draw) -> str:
    area = d.number(1, 899)
    return f"{667 if area == 666 else area:03d}-{d.number(1, 99):02d}-{d.number(1, 9999):04d}"


def cn_rid(d: Draw) -> str:
    year, month, day = _birth(d)
    body = f"{d.pick(['110101', '310104', '440305', '330106', '510107'])}{year}{month:02d}{day:02d}{d.digits(3)}"
    return body + check.cn_rid(body)


def tr_tckn(d: Draw) -> str:
    body = d.pick("123456789") + d.digits(8)
    return body + check.tr_tckn(body)


# kind: how it is made, names of keys, what people call it, whether it is known without a name beside it
_IDS: dict[str, tuple[Callable[[Draw], str], str, str, bool]] = {
    "id_de_tax": (de_tax, "steuer_id tax_id idnr", "Steuer-ID", False),
    "id_fr_nir": (fr_nir, "nir numero_securite_sociale secu", "numéro de sécurité sociale", True),
    "id_es_dni": (es_dni, "dni nif documento", "DNI", True),
    "id_es_nie": (es_nie, "nie documento", "NIE", True),
    "id_it_cf": (it_cf, "codice_fiscale cf", "codice fiscale", True),
    "id_pl_pesel": (pl_pesel, "pesel", "PESEL", False),
    "id_nl_bsn": (nl_bsn, "bsn burgerservicenummer", "BSN", False),
    "id_be_rrn": (be_rrn, "rijksregisternummer nrn national_number", "rijksregisternummer", False),
    "id_pt_nif": (pt_nif, "nif contribuinte", "NIF", False),
    "id_fi_hetu": (fi_hetu, "hetu henkilotunnus", "henkilötunnus", True),
    "id_se_pnr": (se_pnr, "personnummer", "personnummer", True),
    "id_dk_cpr": (dk_cpr, "cpr cpr_nummer", "CPR-nummer", False),
    "id_no_fnr": (no_fnr, "fodselsnummer fnr", "fødselsnummer", False),
    "id_br_cpf": (br_cpf, "cpf", "CPF", False),
    "id_ch_ahv": (ch_ahv, "ahv_nummer ahv", "AHV-Nummer", True),
    "id_uk_nino": (uk_nino, "nino national_insurance_number", "National Insurance number", True),
    "id_uk_nhs": (uk_nhs, "nhs_number", "NHS number", False),
    "id_in_aadhaar": (in_aadhaar, "aadhaar aadhaar_number", "Aadhaar", False),
    "id_us_ssn": (us_ssn, "ssn social_security_number", "SSN", True),
    "id_cn_rid": (cn_rid, "id_card shenfenzheng", "身份证号", True),
    "id_tr_tckn": (tr_tckn, "tckn tc_kimlik_no", "TC kimlik no", False),
}


def national_id(d: Draw, kind: str) -> Value:
    make, names, label, bare = _IDS[kind]
    return Value(secret(make(d), kind, "personal"), tuple(names.split()), label, bare)


KINDS = tuple(_IDS)
