"""Intents and certificates: signed, read back, and refused when anything of them was altered."""

from __future__ import annotations

import argparse
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import retention
from pipeline.retention.certificate import (
    CertificateError,
    Deletion,
    Object,
    PublicKeys,
    Removed,
    SigningKey,
    canonical,
    public_pem,
    public_text,
)
from pipeline.retention.lengths import End, Unit

NOW = datetime(2028, 5, 1, 12, 30, 1, 250_000, tzinfo=UTC)
SEED = base64.b64encode(bytes(range(32))).decode()
KEY, OTHER = SigningKey(SEED), SigningKey(base64.b64encode(bytes(32)).decode())
KNOWN = PublicKeys.of(public_text(KEY.public))
INTENT = Deletion(
    "audit",
    Unit("standard", "2026-03"),
    End(datetime(2028, 4, 1, tzinfo=UTC), 24, 7, "ab" * 32),
    (Removed("audit.events", "id", 0, 10, 2**64 - 1, 5, 99, 120), Removed("audit.events", "id", 1, 2, 7, 0, 1, -1)),
    (Object("events/class=standard/dt=2026-03-01/x.parquet", "v1", 1234, marker=False),),
    "ana@example.com",
    "end of its time, „früher“ asked for",
    "0123456789abcdef",
    NOW,
)


def test_what_is_signed_is_read_back() -> None:
    certificate = INTENT.done(NOW + timedelta(minutes=5))
    for one in (INTENT, certificate):
        assert KNOWN.opened(KEY.signed(one)) == one
    assert certificate.same_as(INTENT) and not certificate.same_as(replace(INTENT, by="someone else"))
    assert certificate.events == 12
    assert KEY.signed(INTENT) == KEY.signed(INTENT), "the same bytes however often"


@pytest.mark.parametrize(
    "alter",
    [
        lambda d: d["document"].update(by="someone else"),
        lambda d: d["document"]["removed"][0].update(count=11),
        lambda d: d["document"]["removed"].pop(),
        lambda d: d["document"].update(kind="auditwire.deletion.certificate", completed_at="2028-05-01T13:00:00Z"),
        lambda d: d.update(signature=json.loads(OTHER.signed(INTENT))["signature"]),
        lambda d: d.update(signature="?"),
        lambda d: d.pop("signature"),
    ],
)
def test_what_was_altered_is_refused(alter: Any) -> None:
    found = json.loads(KEY.signed(INTENT))
    alter(found)
    with pytest.raises(CertificateError):
        KNOWN.opened(canonical(found))


def test_a_key_that_nobody_declared_is_refused_by_name() -> None:
    with pytest.raises(CertificateError, match="AUDITWIRE_RETENTION_PUBLIC_KEYS"):
        KNOWN.opened(OTHER.signed(INTENT))
    with pytest.raises(CertificateError, match="known are: none"):
        PublicKeys.of("").opened(KEY.signed(INTENT))
    both = PublicKeys.of(f"{public_text(OTHER.public)}, {public_pem(KEY.public)}")
    assert both.opened(OTHER.signed(INTENT)) == both.opened(KEY.signed(INTENT)) == INTENT


@pytest.mark.parametrize("text", ["", "no base64", base64.b64encode(b"short").decode(), "-----BEGIN PRIVATE KEY-----"])
def test_a_key_that_is_none_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(CertificateError) as refused:
        SigningKey(text)
    assert not text or text not in str(refused.value)


def test_the_document_reads_alone() -> None:
    document = INTENT.done(NOW).document()
    assert document["rule"] == {"revision": 7, "sha256": "ab" * 32, "months": 24, "ends_at": "2028-04-01T00:00:00Z"}
    assert document["removed"][0]["checksum"] == "ffffffffffffffff"
    assert document["completed_at"] == "2028-05-01T12:30:01.250000Z"


@pytest.mark.parametrize("reason", ["two\nlines", "\x7f", "a\x00"])
def test_a_reason_is_one_line_of_plain_text(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    retention.add_arguments(parser)
    words = ["run", "--plan", "0123456789abcdef", "--by", "ana@example.com", "--reason"]
    assert parser.parse_args([*words, INTENT.reason]).reason == INTENT.reason
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([*words, reason])
    assert "write it in one line of plain text" in capsys.readouterr().err


def test_verify_names_the_file_that_is_no_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "certificate.json"
    file.write_text("{}")
    asked = argparse.Namespace(action="verify", file=file, public_keys=public_text(KEY.public))
    assert retention.run(asked) == 1
    assert f"{file}: it is no signed document" in capsys.readouterr().err
