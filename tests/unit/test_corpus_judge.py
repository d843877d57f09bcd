"""The judge of redactions, on cases small enough to count by hand, and on engines that are known to be bad."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.alignment import AlignmentError, masked
from tests.corpus.judge import CLASSES, CORPUS, LIMITS, judge, main, read, shortfalls
from tests.corpus.leaks import leaked

TOKEN = "ghp_Zq81LmN40pRt7VwXy2AbC3dEfGhIjKlMnOp5"
MASK = "[REDACTED:x]"
Entry = dict[str, Any]


def entry(text: str, *secrets: str, harmless: tuple[str, ...] = (), group: str = "formatted", **more: Any) -> Entry:
    """A line of a corpus whose labels are where these texts stand first."""
    at = {s: text.index(s) for s in (*secrets, *harmless)}
    labels = [
        {"start": at[s], "end": at[s] + len(s), "kind": "k", "class": group, "plain": True, "decoded": s} | more for s in secrets
    ]
    kept = [{"start": at[s], "end": at[s] + len(s), "kind": "sha"} for s in harmless]
    return {"id": "a", "field": "message", "text": text, "lang": "en", "shape": "s", "secrets": labels, "harmless": kept}


def leaks(line: Entry, redacted: str) -> bool:
    return leaked(line, redacted)[0]


def test_a_secret_is_found_when_no_long_piece_of_it_is_left() -> None:
    line = entry(f"token {TOKEN} end", TOKEN)
    assert leaks(line, line["text"])
    assert not leaks(line, f"token {MASK} end")
    assert not leaks(line, f"token {TOKEN[:7]}{MASK} end")
    assert leaks(line, f"token {TOKEN[:8]}{MASK} end")
    assert leaks(line, f"token {MASK}{TOKEN[-8:]} end")


def test_a_public_prefix_is_no_leak() -> None:
    line = entry(f"token {TOKEN} end", TOKEN, public=["ghp_"])
    assert not leaks(line, f"token {TOKEN[:11]}{MASK} end")
    assert leaks(line, f"token {TOKEN[:12]}{MASK} end")


def test_half_of_a_short_secret_is_a_leak() -> None:
    line = entry("pw: Tx7!kq2Z", "Tx7!kq2Z", group="context")
    assert not leaks(line, f"pw: Tx7{MASK}")
    assert leaks(line, f"pw: Tx7!{MASK}")


@pytest.mark.parametrize(
    "left",
    [
        '{"a":"{\\"b\\":\\"Gr\\\\u00fcn\\\\/kohl77\\"}"}',
        "https://x.example.com/?p=Gr%C3%BCn%2Fkohl77",
        "Authorization: Basic " + b64encode(b"app:Gr\xc3\xbcn/kohl77").decode(),
        "Grün/ko\\\nhl77",
        "Grün/\u200bkohl77",
        "Gr\x1b[31mün/kohl77",
        "<p>Gr&#252;n/kohl77</p>",
    ],
)
def test_a_leak_in_another_shape_is_a_leak(left: str) -> None:
    line = entry("pw is Grün/kohl77 here", "Grün/kohl77", group="context")
    assert leaks(line, f"pw is {MASK} here {left}")
    assert not leaks(line, f"pw is {MASK} here")


def test_a_number_leaks_without_its_separators_too() -> None:
    line = entry("card 4111 1111 1111 1111 ok", "4111 1111 1111 1111", group="personal")
    assert leaks(line, f"card {MASK} ok 4111-1111-1111-1111")
    assert leaks(line, f"card {MASK} 1111 1111 ok")
    assert not leaks(line, f"card {MASK} 1111 ok")


def test_what_stands_elsewhere_in_the_text_does_not_tell_on_the_secret() -> None:
    line = entry("mail anna@example.com, see www.example.com", "anna@example.com", group="personal")
    assert not leaks(line, f"mail {MASK}, see www.example.com")
    both = entry(
        "a: one.first@example.com b: two.second@example.com", "one.first@example.com", "two.second@example.com", group="personal"
    )
    assert leaked(both, f"a: {MASK} b: two.second@example.com") == [False, True]


def test_masks_are_laid_on_the_original() -> None:
    assert masked("a SECRET b", "a [REDACTED:x] b", []) == [(2, 8)]
    assert masked("xx yy zz", "[REDACTED:x] yy [REDACTED:y]", []) == [(0, 2), (6, 8)]
    assert masked("abcd", "[REDACTED:x][REDACTED:y]", [(0, 1), (1, 4)])[1][1] == 4
    assert masked("same", "same", []) == []
    for wrong in ("other", "a [REDACTED:x] c", "a b [REDACTED:x]"):
        with pytest.raises(AlignmentError):
            masked("a SECRET b", wrong, [])


def test_of_two_readings_the_one_that_covers_the_secrets_counts() -> None:
    text = "k=1, k=SECRET, k=2"
    assert masked(text, "k=1, k=[REDACTED:x], k=2", [(7, 13)]) == [(7, 13)]
    assert masked("1,1,SECRET,1", "1,[REDACTED:x],1", [(4, 10)]) == [(2, 10)]


def test_precision_and_harmless_tokens_are_counted() -> None:
    digest = "0cc175b9c0f1b6a831c399e269772661"
    dirty = entry(f"token {TOKEN} of {digest} and 17", TOKEN, harmless=(digest,))
    clean = entry(f"md5 {digest}", harmless=(digest,)) | {"id": "b"}
    fine = judge([dirty, clean], {"a": dirty["text"].replace(TOKEN, MASK), "b": clean["text"]})
    assert (fine.precision, fine.altered_percent, fine.clean_touched.percent) == (100, 0, 0)
    bad = judge([dirty, clean], {"a": f"token {MASK} of {MASK} and {MASK}", "b": f"md5 {MASK}"})
    assert (bad.precision, bad.altered_percent, bad.clean_touched.percent) == (25, 100, 100)
    assert bad.masked_characters_of_secrets.total == len(TOKEN) + 2 * len(digest) + 2


def test_a_text_changed_outside_its_masks_is_reported() -> None:
    line = entry(f"Token {TOKEN}", TOKEN)
    score = judge([line], {"a": f"token {MASK}"})
    assert score.not_aligned == ["a"]
    assert any(
        "outside their masks" in sentence for sentence in shortfalls(score, json.loads(LIMITS.read_text(encoding="utf-8")))
    )


@pytest.fixture(scope="module")
def corpus() -> list[Entry]:
    """Every fourth text: enough for each class, and quick."""
    return read(CORPUS)[::4]


def exactly(line: Entry) -> str:
    text = str(line["text"])
    for s in reversed(line["secrets"]):
        text = text[: s["start"]] + MASK + text[s["end"] :]
    return text


def test_the_labels_themselves_are_a_perfect_redaction(corpus: list[Entry]) -> None:
    score = judge(corpus, {line["id"]: exactly(line) for line in corpus})
    assert shortfalls(score, json.loads(LIMITS.read_text(encoding="utf-8"))) == []
    assert score.missed == [] and score.altered == [] and score.precision == 100


def test_an_engine_that_masks_nothing_finds_nothing(corpus: list[Entry]) -> None:
    score = judge(corpus, {line["id"]: line["text"] for line in corpus})
    assert [score.recall[c].hits for c in CLASSES] == [0, 0, 0]
    assert all(score.recall[c].total > 200 for c in CLASSES)
    assert score.altered_percent == 0 and score.clean_touched.hits == 0


def test_an_engine_that_masks_everything_harms_everything(corpus: list[Entry]) -> None:
    score = judge(corpus, {line["id"]: MASK for line in corpus})
    assert all(score.recall[c].percent == 100 for c in CLASSES)
    assert score.precision < 55 and score.masked_characters_of_secrets.percent < 25
    assert score.altered_percent == 100 and score.clean_touched.percent == 100


def test_an_engine_that_masks_half_of_each_secret_finds_few(corpus: list[Entry]) -> None:
    def half(line: Entry) -> str:
        text = str(line["text"])
        for s in reversed(line["secrets"]):
            text = text[: s["start"]] + MASK + text[(s["start"] + s["end"]) // 2 :]
        return text

    score = judge(corpus, {line["id"]: half(line) for line in corpus})
    assert score.recall["formatted"].percent < 5
    assert score.recall["context"].percent < 30
    assert score.recall["personal"].percent < 20


def test_the_command_says_what_is_missed_and_exits_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = entry(f"token {TOKEN} end", TOKEN)
    (tmp_path / "corpus").write_text(json.dumps(line) + "\n", encoding="utf-8")
    answers = tmp_path / "answers"

    def run(*rows: dict[str, str]) -> int:
        answers.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return main([str(answers), "--corpus", str(tmp_path / "corpus"), "--kinds", "--show", "3"])

    assert run({"id": "a", "redacted_text": f"token {MASK} end"}) == 0
    assert "every limit is kept" in capsys.readouterr().out
    assert run({"id": "a", "redacted_text": line["text"]}) == 1
    assert "recall, formatted: 0.00 %, at least 98.0 % are asked for" in capsys.readouterr().out
    assert run({"id": "b", "redacted_text": ""}) == 2
    assert "lacks 1 texts of the corpus, the first is a" in capsys.readouterr().err
