"""The labelled corpus: it is what its generator makes, its labels are true, and nothing it holds is somebody's."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from schemas.contract import load
from tests.corpus import generate, national_ids
from tests.corpus.checksums import luhn_holds
from tests.corpus.draw import Draw
from tests.corpus.judge import CLASSES, CORPUS, HERE, read
from tests.corpus.leaks import MASK, Readable, compact, unescaped

FIELDS = {
    f["name"] for f in load(HERE.parent.parent / "schemas" / "avro" / "audit_event.avsc")["fields"] if f["class"] == "content"
}


@pytest.fixture(scope="module")
def corpus() -> list[dict[str, Any]]:
    return read(CORPUS)


def test_the_files_are_what_the_generator_makes() -> None:
    made = generate.texts()
    assert generate.written(made) == CORPUS.read_text(encoding="ascii"), (
        "run `python -m tests.corpus.generate` and commit what it writes"
    )
    assert generate.readme(made) == generate.README.read_text(encoding="utf-8"), "run `python -m tests.corpus.generate`"


def test_labels_stand_in_order_inside_the_text(corpus: list[dict[str, Any]]) -> None:
    for t in corpus:
        spans = sorted((s["start"], s["end"]) for s in t["secrets"] + t["harmless"])
        assert all(0 <= start < end <= len(t["text"]) for start, end in spans), t["id"]
        assert all(a[1] <= b[0] for a, b in pairwise(spans)), t["id"]
        assert t["field"] in FIELDS
        assert not MASK.search(t["text"])


def test_a_plain_secret_reads_as_itself_between_word_boundaries(corpus: list[dict[str, Any]]) -> None:
    def word(c: str) -> bool:
        return c.isascii() and (c.isalnum() or c == "_")

    seen = Counter[bool]()
    for t in corpus:
        text = f" {t['text']} "
        for s in t["secrets"]:
            found, before, after = text[s["start"] + 1 : s["end"] + 1], text[s["start"]], text[s["end"] + 1]
            seen[s["plain"]] += 1
            if s["plain"]:
                assert found == s["decoded"]
                assert not (word(before) and word(found[0])) and not (word(after) and word(found[-1])), (t["id"], found)
    assert seen[True] > 3000 and seen[False] > 800


def test_every_secret_can_be_read_out_of_its_text(corpus: list[dict[str, Any]]) -> None:
    """What is disguised is still there for somebody who undoes escapes, encodings, broken lines and invisible characters."""
    for t in corpus:
        if not all(s["plain"] for s in t["secrets"]):
            forms = Readable([t["text"]])
            for s in t["secrets"]:
                rows = [compact(row) for row in s["decoded"].split("\n") if len(row) >= 8]
                broken = "\n" in unescaped(unescaped(t["text"]))
                ends = [end for row in rows for end in ((row[:8], row[-8:]) if broken else (row,))]
                assert all(any(end in form for form in forms.compact) for end in ends), (t["id"], s)


def test_half_of_the_texts_are_clean_and_every_kind_is_there(corpus: list[dict[str, Any]]) -> None:
    clean = sum(not t["secrets"] for t in corpus)
    assert len(corpus) >= 3600
    assert 0.48 <= clean / len(corpus) <= 0.50
    kinds = {c: Counter(s["kind"] for t in corpus for s in t["secrets"] if s["class"] == c) for c in CLASSES}
    assert len(kinds["formatted"]) >= 60 and min(kinds["formatted"].values()) >= 20
    assert len(kinds["context"]) >= 30 and min(kinds["context"].values()) >= 10
    for start, least in (("phone_", 12), ("iban_", 12), ("id_", 12), ("card_", 4)):
        assert sum(k.startswith(start) for k in kinds["personal"]) >= least
    harmless = Counter(h["kind"] for t in corpus for h in t["harmless"])
    assert len(harmless) >= 50 and min(harmless.values()) >= 40
    languages = Counter(t["lang"] for t in corpus)
    assert {"de", "fr", "es", "it", "pt", "pl", "tr", "ja", "zh"} <= set(languages) and min(languages.values()) >= 80


def test_arguments_of_tools_are_json(corpus: list[dict[str, Any]]) -> None:
    for t in corpus:
        if t["field"] == "tool_args":
            assert isinstance(json.loads(t["text"]), dict)


def test_persons_of_the_corpus_cannot_be_reached(corpus: list[dict[str, Any]]) -> None:
    """Addresses end in names that nobody can register; numbers of the countries that keep some for fiction are among those."""
    for t in corpus:
        for s in t["secrets"]:
            if s["kind"] == "email":
                assert s["decoded"].lower().rpartition(".")[2] in ("example", "com", "org", "net")
                assert s["decoded"].lower().endswith(("example.com", "example.org", "example.net", ".example"))
            if s["kind"] in ("phone_us", "phone_ca"):
                assert "55501" in "".join(c for c in s["decoded"] if c.isdigit())
            if s["kind"] == "ipv6":
                assert s["decoded"].lower().startswith(("2001:db8:", "fe80:"))


def test_cards_hold_their_check_digit_and_order_numbers_are_no_cards(corpus: list[dict[str, Any]]) -> None:
    for t in corpus:
        for s in t["secrets"]:
            if s["kind"].startswith("card_"):
                assert luhn_holds("".join(c for c in s["decoded"] if c.isdigit()))
        for h in t["harmless"]:
            number = t["text"][h["start"] : h["end"]]
            if h["kind"] == "order_number" and len(number) == 16 and number[0] in "45":
                assert not luhn_holds(number)


@pytest.mark.parametrize("kind", national_ids.KINDS)
def test_the_same_seed_draws_the_same_person(kind: str) -> None:
    assert national_ids.national_id(Draw(kind), kind) == national_ids.national_id(Draw(kind), kind)
