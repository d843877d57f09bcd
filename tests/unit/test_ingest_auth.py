"""Tokens: hashed at rest, compared in full, read again when the file changes, not lost to a broken file; how they are made."""

from __future__ import annotations

import argparse
import hmac
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from pipeline import tokens
from pipeline.ingest import auth
from pipeline.ingest.auth import Tokens, TokensError

DIGEST = "a" * 64


def replace(path: Path, text: str) -> None:
    """A new file in its place, as an editor or a secret store does it."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)  # noqa: PTH105


def test_a_token_finds_its_tenant_and_source(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(tokens.source_entry("demo", "gitlab", "one") + tokens.source_entry("acme", "agents", "two"), encoding="utf-8")
    known = Tokens(path)
    found = known.find(b"two")
    assert found is not None
    assert (found.tenant, found.source) == ("acme", "agents")
    assert known.find(b"three") is None
    assert known.find(b"") is None
    assert b"two" not in path.read_bytes()


def test_every_entry_is_compared_whichever_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text("".join(tokens.source_entry("demo", f"s{i}", f"token{i}") for i in range(10)), encoding="utf-8")
    known, compared = Tokens(path), list[bytes]()

    def counting(first: bytes, second: bytes) -> bool:
        compared.append(first)
        return hmac.compare_digest(first, second)

    monkeypatch.setattr(auth, "compare_digest", counting)
    for token in (b"token0", b"token9", b"unknown"):
        compared.clear()
        known.find(token)
        assert len(compared) == 10


def test_a_changed_file_is_read_and_a_broken_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(tokens.source_entry("demo", "gitlab", "one"), encoding="utf-8")
    known = Tokens(path)
    replace(path, tokens.source_entry("demo", "gitlab", "two"))
    assert (known.find(b"one"), known.find(b"two") is not None) == (None, True)
    with caplog.at_level(logging.WARNING):
        for broken in ("- tenant: [", "", "tenant: x", tokens.source_entry("demo", "gitlab", "x") * 2):
            replace(path, broken)
            assert known.find(b"two") is not None
        path.unlink()
        assert known.find(b"two") is not None
    assert caplog.text.count("the entries before it stay") == 5
    replace(path, "[]")
    assert known.find(b"two") is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "is not YAML"),
        ("a: 1", "must be a YAML list"),
        ("- a", "entry 1 must have exactly tenant, source and token_sha256"),
        (f"- {{tenant: demo, source: s, token_sha256: {DIGEST}, extra: 1}}", "must have exactly"),
        (f"- {{tenant: Demo Ltd, source: s, token_sha256: {DIGEST}}}", "tenant must be"),
        (f"- {{tenant: demo, source: a/b, token_sha256: {DIGEST}}}", "source must be"),
        (f"- {{tenant: 5, source: s, token_sha256: {DIGEST}}}", "tenant must be"),
        ("- {tenant: demo, source: s, token_sha256: the-token-itself}", "64 hex digits"),
    ],
)
def test_a_wrong_file_is_refused_with_what_to_do_and_without_its_values(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TokensError, match=what) as caught:
        Tokens(path)
    assert "the-token-itself" not in str(caught.value)
    with pytest.raises(TokensError, match="AUDITWIRE_INGEST_TOKENS_FILE"):
        Tokens(tmp_path / "none.yaml")


def command(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    tokens.add_arguments(parser)
    return tokens.run(parser.parse_args(["new", *arguments]))


def test_a_new_source_token_fits_gitlab_and_its_entry_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--tenant", "demo", "--source", "gitlab"]) == 0
    token, _, entry = capsys.readouterr().out.partition("\n")
    assert 16 <= len(token) <= 24  # GitLab refuses other lengths
    assert token not in entry
    path = tmp_path / "tokens.yaml"
    path.write_text(entry, encoding="utf-8")
    found = Tokens(path).find(token.encode())
    assert found is not None
    assert found.tenant == "demo"


def test_a_new_principal_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--principal", "ann@example.com", "--tenants", "demo, acme"]) == 0
    token, _, entry = capsys.readouterr().out.partition("\n")
    assert len(token) == 43
    assert yaml.safe_load(entry) == [
        {
            "name": "ann@example.com",
            "tenants": ["demo", "acme"],
            "rights": ["extract"],
            "token_sha256": tokens.token_sha256(token),
        }
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--tenant", "demo"],
        ["--source", "gitlab"],
        ["--tenant", "Demo", "--source", "x"],
        ["--tenant", "demo", "--source", "a b"],
        ["--principal", "ann"],
        ["--principal", "a b", "--tenants", "demo"],
        ["--principal", "ann", "--tenants", "Demo"],
        ["--principal", "ann", "--tenants", ",", "--rights", "extract"],
        ["--principal", "ann", "--tenants", "demo", "--rights", "everything"],
        ["--principal", "ann", "--tenants", "demo", "--tenant", "demo"],
    ],
)
def test_arguments_that_do_not_fit_together_make_no_token(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("auditwired token new: ")
