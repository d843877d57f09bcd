"""Tokens: only their digest is kept, and the file counts as it is at this moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.export.auth import Principals
from pipeline.export.errors import RefusedError, UnavailableError
from tests.export_service import PRINCIPALS, TOKENS, write_principals

OLGA = "olga@example.com"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_principals(tmp_path / "principals.yaml")
    return tmp_path / "principals.yaml"


def test_a_token_belongs_to_its_principal(path: Path) -> None:
    principals = Principals(path)
    found = principals.of(f"Bearer {TOKENS[OLGA]}")
    assert found.name == OLGA
    assert found.may_extract("demo")
    assert not found.may_extract("acme")
    assert not principals.of("bearer " + TOKENS["nora@example.com"]).may_extract("demo")
    assert principals.tenants() == {"demo", "acme"}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKENS[OLGA]}", TOKENS[OLGA]])
def test_anything_else_is_refused(path: Path, header: str | None) -> None:
    with pytest.raises(RefusedError) as raised:
        Principals(path).of(header)
    assert raised.value.status == 401


def test_the_digest_itself_is_no_token(path: Path) -> None:
    principals = Principals(path)
    with pytest.raises(RefusedError):
        principals.of(f"Bearer {principals.of(f'Bearer {TOKENS[OLGA]}').token_sha256}")


def test_a_change_counts_at_once_and_a_broken_file_serves_nobody(path: Path) -> None:
    principals = Principals(path)
    assert principals.of(f"Bearer {TOKENS[OLGA]}").tenants == ("demo",)
    write_principals(path, [{**PRINCIPALS[0], "tenants": ["other"]}])
    assert principals.of(f"Bearer {TOKENS[OLGA]}").tenants == ("other",)
    for text in ("", "# nothing yet\n", "- name: x\n", ": : :\n- [", "- {name: x, token_sha256: short, tenants: [], rights: []}"):
        path.write_text(text)
        with pytest.raises(UnavailableError, match="principals file cannot be read"):
            principals.of(f"Bearer {TOKENS[OLGA]}")
    path.write_text("[]")
    assert not principals.all()
    path.unlink()
    with pytest.raises(UnavailableError):
        principals.of(f"Bearer {TOKENS[OLGA]}")
    write_principals(path)
    assert principals.of(f"Bearer {TOKENS[OLGA]}").name == OLGA
