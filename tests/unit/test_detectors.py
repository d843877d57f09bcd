"""The detectors: what each finds, what it leaves alone, and that a cut leaves no half of a secret behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from auditwire.redaction.engine import all_of, hinted, spans
from pipeline.stages import RULES_REVISION, redact
from pipeline.stages.detectors import DETECTORS, Detector, chosen, filter_of, revision_of
from tests.unit.batches import column, prompts
from tests.unit.findings import FINDINGS, HARMLESS, Finding

PIECE = 8  # no run of so many characters of a secret may survive
DOCS = Path(__file__).parents[2] / "docs" / "redaction.md"
KINDS = tuple(dict.fromkeys(detector.name for detector in DETECTORS))
MASK = re.compile(r"\[REDACTED:[a-z_]+\]")
# Kinds that the name of a secret gives away: what they find may have a form that gives it away, too.
BY_NAME = ("secret", "password", "url_token", "header_token", "bearer_token", "authorization", "cookie")


def survivors(secret: str, text: str) -> list[str]:
    """Pieces of the secret that stand in the text, but for the names of kinds."""
    text = MASK.sub("\0", text)
    whole = min(len(secret), PIECE)
    return [piece for i in range(len(secret) - whole + 1) if (piece := secret[i : i + whole]) in text]


def redacted(texts: list[str], cut: bool = False, detectors: tuple[Detector, ...] = DETECTORS) -> list[str]:
    return column(redact(prompts(texts, cut), detectors)[0], "prompt")


def leaks(findings: list[Finding], texts: list[str]) -> list[Finding]:
    return [finding for finding, text in zip(findings, texts, strict=True) if survivors(finding.secret, text)]


def test_every_detector_has_findings_and_is_documented() -> None:
    assert {finding.kind for finding in FINDINGS} == set(KINDS)
    documented = DOCS.read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in documented] == []


@pytest.mark.parametrize("wrapped", ["{}", "before {} after", '{{"k":"{}","l":1}}', "a\n{}\nb", "x=({}),"], ids=repr)
def test_findings_are_replaced_under_the_name_of_their_kind(wrapped: str) -> None:
    texts = redacted([wrapped.format(finding.text) for finding in FINDINGS])
    assert leaks(FINDINGS, texts) == []
    assert [(f.kind, text) for f, text in zip(FINDINGS, texts, strict=True) if f"[REDACTED:{f.kind}]" not in text] == []


def test_redacting_again_changes_nothing() -> None:
    texts = [wrapped.format(finding.text) for finding in FINDINGS for wrapped in ("{}", '{{"k":"{}"}}', "a {} b")]
    once = redacted(texts)
    assert redacted(once) == once


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_findings_in_nested_json_are_replaced(depth: int) -> None:
    texts = [finding.text for finding in FINDINGS]
    for _ in range(depth):
        texts = [json.dumps({"k": text}) for text in texts]
    assert leaks(FINDINGS, redacted(texts)) == []


def escaped(text: str, every: int, upper: bool) -> str:
    """The text inside a JSON string, each ``every``-th character as an escape."""
    code = "\\u{:04X}" if upper else "\\u{:04x}"
    return "".join(code.format(ord(c)) if i % every == 0 else json.dumps(c)[1:-1] for i, c in enumerate(text))


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_findings_behind_json_escapes_are_replaced(every: int, upper: bool, nested: bool) -> None:
    findings = [finding for finding in FINDINGS if "\\" not in finding.text and finding.text.isprintable()]
    texts = ['{"k":"' + escaped(finding.text, every, upper) + '"}' for finding in findings]
    texts = [json.dumps(text) for text in texts] if nested else texts
    after = redacted(texts)
    assert leaks(findings, after) == []
    assert [text for text in after if "[REDACTED:" not in text] == []
    for text in after:
        assert json.loads(json.loads(text) if nested else text)  # still the JSON it was


def test_harmless_texts_stay_as_they_are() -> None:
    assert redacted(HARMLESS) == HARMLESS
    together = [" ".join(HARMLESS), "\n".join(reversed(HARMLESS))]
    assert redacted(together) == together


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_detector_its_findings_leak(kind: str) -> None:
    findings = [finding for finding in FINDINGS if finding.kind == kind]
    names = {kind, *BY_NAME}
    others = tuple(detector for detector in DETECTORS if detector.name not in names)
    assert leaks(findings, redacted([f.text for f in findings], detectors=others)) != []


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_anywhere_leaves_no_piece_of_the_secret(kind: str) -> None:
    found, texts = [], []
    for finding in FINDINGS:
        before = f"first words, then {finding.text}"
        start = before.index(finding.secret[:4])
        last = len(before) if finding.kind != "password" else before.index(finding.secret) + len(finding.secret)
        for end in range(start + 1, last + 1) if finding.kind == kind else ():
            found.append(finding)
            texts.append(before[:end])
    after = redacted(texts, cut=True)
    assert leaks(found, after) == []
    assert all(text.startswith("first words, then ") for text in after)


def test_an_uncut_text_keeps_its_end() -> None:
    text = "the last word is internationalization"
    assert redacted([text]) == [text]
    assert redacted([text], cut=True) == ["the last word is [REDACTED:cut]"]


def test_a_private_key_without_end_is_taken_to_the_end_of_the_text() -> None:
    key = next(finding.text for finding in FINDINGS if finding.kind == "private_key")
    ends = range(key.index("KEY-----") + 8, len(key))
    assert {text.rstrip("\n") for text in redacted([f"see {key[:end]}" for end in ends])} == {"see [REDACTED:private_key]"}


@pytest.mark.parametrize("glue", ["{}", "word{}word", "{}\n{}", "é{}é", "\\{}\\", " x{} (x{})"])
def test_a_hint_matches_wherever_a_finding_stands(glue: str) -> None:
    texts = [glue.format(f.text, f.text) for f in FINDINGS]
    texts += [json.dumps(text) for text in texts]
    thoroughly = spans(texts, DETECTORS, choose=all_of)
    with_findings = pa.array([text for text, found in zip(texts, thoroughly, strict=True) if found])
    assert pc.all(pc.match_substring_regex(with_findings, pattern=filter_of(DETECTORS))).as_py()
    assert spans(texts, DETECTORS, choose=chosen) == thoroughly
    assert spans(texts, DETECTORS, choose=hinted) == thoroughly


def test_the_revision_follows_the_rules() -> None:
    assert len(RULES_REVISION) == 12
    assert revision_of(DETECTORS) == RULES_REVISION
    assert revision_of(DETECTORS[1:]) != RULES_REVISION
