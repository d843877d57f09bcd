"""One event redacted in the SDK and the same events as columns in the processor: equal, column by column."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditwire import AuditEvent
from auditwire._event import ANONYMOUS, KINDS
from auditwire._limits import EVENT_BYTES, fitting_parts
from auditwire._redact import Redactor
from auditwire._redact_hints import pieces_of
from auditwire.redaction import detectors_for
from connectors import avro
from pipeline.batch import Batch
from pipeline.stages import redact, validate
from pipeline.stages.detectors import DETECTORS, Detector
from schemas import schema_text
from tests.unit.batches import NOW_US, batch_of
from tests.unit.findings import FINDINGS, HARMLESS

REDACTOR = Redactor()
BASE64 = detectors_for("base64")
OF_BASE64 = Redactor(BASE64)
STRINGS = [name for name, kind in KINDS.items() if kind == "string" and name not in ("event_id", "tenant_id")]
LISTS = ["delegation_chain", "tools_offered"]
COLUMNS = (*STRINGS, *LISTS, "attributes", "truncated_fields")
PIECES = [
    *(finding.text for finding in FINDINGS),
    *HARMLESS,
    *(
        "\\",
        "\\u0041",
        "\\n",
        '\\"',
        "%40",
        "&amp;",
        "\u200b",
        "\u00a0",
        "\x1b[31m",
        "\n",
        " ",
        "=",
        ":",
        "@",
        "[REDACTED:email]",
        "é",
        "🙂",
    ),
    *("password=", "token: ", "Bearer ", "eyJ", "glpat-", "https://a:", "+49 ", "password is ", "-----BEGIN PRIVATE KEY-----\n"),
]
ENCODED = [base64.b64encode(finding.text.encode()).decode() for finding in FINDINGS[::4]]
ENCODED += [
    "bWFpbCBib2JAZXhhbXBsZS5jb20",
    base64.encodebytes((FINDINGS[0].text * 9).encode()).decode(),
    "dXNlIGdscGF0LUExYjJD",
    "QUFB",
]
wrap: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, str, json.dumps, lambda text: json.dumps({"a": json.dumps([text])})]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Findings, plain and in base64, look-alikes and pieces of both, in JSON or not, whole or cut anywhere."""
    piece = st.one_of(st.sampled_from(PIECES), st.sampled_from(ENCODED))
    text: str = draw(wrap)("".join(draw(st.lists(piece, min_size=1, max_size=4))))
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Values of an event: some columns with texts, keys of attributes without, some of them marked as cut."""
    event: dict[str, Any] = draw(st.dictionaries(st.sampled_from(STRINGS), texts(), min_size=1, max_size=5))
    event |= draw(st.dictionaries(st.sampled_from(LISTS), st.lists(texts(), max_size=3), max_size=1))
    event["attributes"] = draw(st.dictionaries(st.sampled_from(["k", "l", "alice@example.com"]), texts(), max_size=2))
    marks = st.sampled_from(
        [*STRINGS, *LISTS, "attributes", "attributes[1]", "tools_offered[0]", "attributes[0].key", "attributes[]"]
    )
    event["truncated_fields"] = [f"{mark}=70000" for mark in draw(st.lists(marks, max_size=3))]
    return event


def by_columns(*events: dict[str, Any], detectors: tuple[Detector, ...] = DETECTORS) -> list[dict[str, Any]]:
    """The events as the processor's stage leaves them."""
    pairs = [[{"key": key, "value": value} for key, value in event.get("attributes", {}).items()] for event in events]
    batch = batch_of(*({"event_type": "x", **event, "attributes": one} for event, one in zip(events, pairs, strict=True)))
    rows = redact(batch, detectors)[0].columns.to_pylist()
    for row in rows:
        row["attributes"] = {pair["key"]: pair["value"] for pair in row["attributes"]}
    return [{name: row[name] for name in COLUMNS} for row in rows]


def by_event(event: dict[str, Any], redactor: Redactor = REDACTOR) -> dict[str, Any]:
    after = redactor.masked(AuditEvent(**{"event_type": "x", **event}))
    values = {name: getattr(after, name) for name in COLUMNS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@settings(max_examples=25)
@given(events())
def test_an_event_is_redacted_as_its_columns_are(event: dict[str, Any]) -> None:
    assert [by_event(event)] == by_columns(event)
    assert [by_event(event, OF_BASE64)] == by_columns(event, detectors=BASE64)


def _soup(seed: int) -> dict[str, Any]:
    """An event full of text, by chance but always the same."""
    rng = random.Random(seed)
    said = ["".join(rng.choices([*PIECES, *ENCODED], k=3)) for _ in range(24)]
    event: dict[str, Any] = dict(zip(rng.sample(STRINGS, 14), said, strict=False))
    event["attributes"], event["tools_offered"] = {"k": said[15], "l": said[16]}, said[17:20]
    event["truncated_fields"] = [f"{name}=70000" for name in rng.sample([*STRINGS, "attributes[1]"], 5)]
    return event


@pytest.mark.parametrize("seed", range(4))
def test_events_full_of_text_too(seed: int) -> None:
    assert [by_event(_soup(seed))] == by_columns(_soup(seed))
    assert [by_event(_soup(seed), OF_BASE64)] == by_columns(_soup(seed), detectors=BASE64)


def test_the_comparison_sees_that_only_one_of_them_decodes() -> None:
    found = [{"prompt": text} for text in ENCODED]
    assert [by_event(event) for event in found] != by_columns(*found, detectors=BASE64)
    assert [by_event(event, OF_BASE64) for event in found] == by_columns(*found, detectors=BASE64)


@pytest.mark.parametrize("kind", ["gitlab_token", "email", "url_password", "secret"])
def test_the_comparison_sees_a_missing_detector(kind: str) -> None:
    lacking = Redactor(tuple(detector for detector in DETECTORS if detector.name != kind))
    found = [{"prompt": finding.text} for finding in FINDINGS if finding.kind == kind]
    assert [by_event(event, lacking) for event in found] != by_columns(*found)
    assert [by_event(event) for event in found] == by_columns(*found)


def test_every_finding_goes_and_the_processor_finds_nothing_more() -> None:
    once = [by_event({"prompt": one.text, "entity_path": one.text, "attributes": {"k": one.text}}) for one in FINDINGS]
    assert [one.kind for one, after in zip(FINDINGS, once, strict=True) if f"[REDACTED:{one.kind}]" not in after["prompt"]] == []
    assert by_columns(*once) == once


def test_what_an_event_grows_by_masks_the_processor_neither_cuts_nor_masks() -> None:
    long = "a@b.co " * 9000
    event = AuditEvent(
        event_id="0f8fad5b-d9cb-469f-a165-70867728950e",
        tenant_id="acme",
        event_type="x",
        occurred_at=NOW_US,
        attributes={f"k{n}": long for n in range(7)},
    )
    head, tail = fitting_parts(event, NOW_US, "", REDACTOR.masked)
    assert len(head) + len(tail) < EVENT_BYTES
    batch = Batch.of(avro.decode([head + ANONYMOUS + tail], schema_text("audit_event")))
    kept, rejects = validate(batch, NOW_US)
    assert (len(rejects), redact(kept)[1].to_pylist()) == (0, [[]])
    assert kept.columns.equals(batch.columns) and "@" not in str(batch.columns.to_pylist())


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        (r"\bhf_|api_org_", ("hf_", "api_org_")),
        (r"[sr]k_(?:live|test)_", ("k_",)),
        (r"(?:\b|_|[a-z])[sb]\.[a-z]{2}|(?:a|b)AKI[AB]", (".", "aki")),
        (r"(?i:Aa|[(]b)c|\.x", ("aa", "b", ".x")),
        *(
            (pattern, ())
            for pattern in (
                "a|b*c",
                "[a]x?",
                "(?i:a)?b",
                "(a|b)",
                "(?:a)?b",
                "(?:a|b)[0-9]{2}c",
                "a|",
                "",
                r"\+?1",
                "[0-9]{3}a",
                r"\s-b",
            )
        ),
    ],
)
def test_pieces_of_a_pattern(pattern: str, pieces: tuple[str, ...]) -> None:
    assert pieces_of(pattern) == pieces


def test_a_piece_of_each_pattern_stands_in_every_match() -> None:
    for rough in {detector.rough for detector in DETECTORS if not detector.hints}:
        pieces = pieces_of(rough)
        found = [match[0].lower() for text in PIECES for match in re.finditer(rough, text, re.ASCII)]
        assert not pieces or [one for one in found if not any(piece in one for piece in pieces)] == [], rough


def test_nothing_harmless_is_copied() -> None:
    facts: dict[str, Any] = dict(zip(STRINGS[1:], HARMLESS, strict=False))
    event = AuditEvent(event_type="x", attributes={"k": HARMLESS[0]}, tools_offered=HARMLESS, **facts)
    assert REDACTOR.masked(event) is event


UNITS = [
    *(
        "pass",
        "PGPASS",
        "token=",
        "password=",
        "key: ",
        "auth_",
        "my password is ",
        "-p ",
        "sudo -S ",
        "curl -u ",
        "net ",
        "insert into ",
    ),
    *(
        "eyJ",
        "-eyJ",
        "A",
        "A1b2",
        "AKIA",
        "a.",
        "Bearer ",
        "Cookie: a=",
        "://",
        "http://a:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
    ),
    *("YUBiLmNvIHg=", "YUBiLmNvIGFAYi5jbyA=\n", "QUFB", "cGFzc3dvcmQ9QUFBQUFB"),
    *("\\u0041", "\\", "%40", "&amp;", "\u200b", "<", "a@", "1.", "::", "1-", "+1 ", "4111 1111 "),
]


@pytest.mark.parametrize("unit", UNITS)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    """Four times the text takes four times as long; quadratic patterns take sixteen times, and seconds."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        event = AuditEvent(event_type="x", prompt=f"AzFu {text} private key", tool_args=text, truncated_fields=["tool_args=1"])
        start = time.process_time()
        OF_BASE64.masked(event)
        return time.process_time() - start

    seconds(1024)
    short, long = seconds(4 * 1024), seconds(16 * 1024)
    assert long < max(7 * short, 0.25), (short, long)
