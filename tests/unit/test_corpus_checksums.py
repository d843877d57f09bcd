"""The check digits of the corpus, against numbers that standards, agencies and textbooks print as examples."""

from __future__ import annotations

import pytest

from tests.corpus import checksums as check


@pytest.mark.parametrize("number", ["4111111111111111", "5555555555554444", "378282246310005", "79927398713"])
def test_luhn(number: str) -> None:
    assert check.luhn_holds(number)
    assert not check.luhn_holds(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize(
    "iban",
    ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NO9386011117947", "BE68539007547034"],
)
def test_iban(iban: str) -> None:
    assert check.iban(iban[:2], iban[4:]) == iban


def test_books_and_goods() -> None:
    assert check.isbn10("030640615") == "2"
    assert check.isbn10("080442957") == "X"
    assert check.ean13("978030640615") == "7"
    assert check.ean13("400638133393") == "1"


def test_national_ids() -> None:
    assert check.mod11_10("8609574271") == "9"  # Germany
    assert check.fr_nir("2550814168025") == "38"
    assert check.es_letter(12345678) == "Z"
    assert check.es_letter(1234567) == "L"  # X1234567L
    assert check.it_letter("RSSMRA85T10A562") == "S"
    assert check.pl_pesel("4405140135") == "9"
    assert check.nl_bsn("11122233") == "3"
    assert check.be_rrn("850730033", born_2000=False) == "28"
    assert check.pt_nif("12345678") == "9"
    assert check.fi_hetu("131052308") == "T"
    assert check.luhn("811218987") == "6"  # Sweden
    assert check.dk_cpr_holds("0707614285")
    assert check.no_fnr("151086950") == "88"
    assert check.br_cpf("390533447") == "05"
    assert check.ch_ahv("756921707698") == "5"
    assert check.uk_nhs("943476591") == "9"
    assert check.verhoeff("23412341234") == "6"  # India
    assert check.verhoeff("236") == "3"
    assert check.cn_rid("11010519491231002") == "X"
    assert check.tr_tckn("100000001") == "46"
