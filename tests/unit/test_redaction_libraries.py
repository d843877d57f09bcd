"""The comparison with other libraries masks what they find as `auditwired redact` masks what it finds."""

from __future__ import annotations

from auditwire.redaction import DETECTORS, redacted
from auditwire.redaction import spans as found
from bench.redaction_libraries import HERE, PINNED, masked, spans, versions

TEXT = "password=Zq81LmN40pRt; mail bob@example.com, again Zq81LmN40pRt from 198.51.100.7"


def test_own_findings_masked_here_are_what_redact_writes() -> None:
    own = found([TEXT], DETECTORS)[0]
    assert len(own) >= 3
    assert masked(TEXT, [(one.start, one.end, one.kind) for one in own]) == redacted(TEXT, own)


def test_a_value_is_masked_wherever_it_stands() -> None:
    answer = {"values": [{"value": "Zq81LmN40pRt", "kind": "Secret Keyword"}, {"value": "", "kind": "none"}]}
    once = "[REDACTED:Secret_Keyword]"
    assert masked(TEXT, spans(TEXT, answer)) == TEXT.replace("Zq81LmN40pRt", once)


def test_findings_that_overlap_are_one_and_those_that_touch_are_two() -> None:
    places = {"b": (2, 5), "a": (0, 3), "c": (5, 6), "inner": (8, 9), "outer": (7, 11)}
    answer = {"spans": [{"start": start, "end": end, "kind": kind} for kind, (start, end) in places.items()]}
    assert masked("0123456789xy", spans("0123456789xy", answer)) == "[REDACTED:a][REDACTED:c]6[REDACTED:outer]y"


def test_every_library_has_its_version_in_the_table_and_its_hashes_in_the_file() -> None:
    assert {"gitleaks", "betterleaks", "kingfisher", "detect-secrets", "presidio", "euredact"} <= versions().keys()
    pinned = PINNED.read_text(encoding="utf-8")
    asked = [line for line in (HERE / "requirements.in").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(f"{line} \\\n    --hash=sha256:" in pinned for line in asked)
