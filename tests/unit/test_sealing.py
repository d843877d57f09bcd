"""Sealing: what was sealed opens in its own place only, and every refusal says what to do."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sealing import Sealed, Sealer, SealingError

MASTER = base64.b64encode(bytes(range(32))).decode()


@given(tenant=st.text(max_size=64), associated=st.binary(max_size=64), plain=st.binary(max_size=4096))
def test_what_was_sealed_opens_in_another_process_with_the_same_secret(tenant: str, associated: bytes, plain: bytes) -> None:
    sealed = Sealer(MASTER).seal(tenant, associated, plain)
    assert Sealer(MASTER).open(tenant, associated, sealed) == plain


def test_the_sealed_form_shows_nothing_and_differs_each_time() -> None:
    sealer, plain = Sealer(MASTER), b"a password that must not be readable"
    first, second = sealer.seal("acme", b"at", plain), sealer.seal("acme", b"at", plain)
    assert plain not in first.ciphertext
    assert (len(first.nonce), first.nonce == second.nonce, first.ciphertext == second.ciphertext) == (12, False, False)
    assert len(first.ciphertext) == len(plain) + 16


def _flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    ("tenant", "associated", "spoil"),
    [
        ("other", b"audit.raw/0/7", lambda s: s),
        ("acme", b"audit.raw/0/8", lambda s: s),
        ("acme", b"audit.raw/0/7", lambda s: replace(s, ciphertext=_flip(s.ciphertext))),
        ("acme", b"audit.raw/0/7", lambda s: replace(s, nonce=_flip(s.nonce))),
        ("acme", b"audit.raw/0/7", lambda s: replace(s, ciphertext=b"")),
        ("acme", b"audit.raw/0/7", lambda s: replace(s, nonce=b"")),
    ],
    ids=["other tenant", "other position", "changed text", "changed nonce", "empty text", "empty nonce"],
)
def test_anything_else_does_not_open(tenant: str, associated: bytes, spoil: Callable[[Sealed], Sealed]) -> None:
    sealer = Sealer(MASTER)
    sealed = sealer.seal("acme", b"audit.raw/0/7", b"original")
    with pytest.raises(SealingError, match="Read it again from audit"):
        sealer.open(tenant, associated, spoil(sealed))


def test_another_secret_names_both_key_ids_and_what_to_set() -> None:
    old, new = Sealer(MASTER), Sealer(base64.b64encode(os.urandom(32)).decode())
    sealed = old.seal("acme", b"", b"original")
    with pytest.raises(SealingError, match=f"id {old.key_id}.*has id {new.key_id}.*Set AUDITWIRE_SEALING_KEY"):
        new.open("acme", b"", sealed)
    forged = replace(sealed, key_id=new.key_id)
    with pytest.raises(SealingError, match="does not open"):
        new.open("acme", b"", forged)


@pytest.mark.parametrize(
    "key", ["", "short", "%%%", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode(), "ü"]
)
def test_an_unusable_secret_is_refused_with_the_command_that_makes_one(key: str) -> None:
    with pytest.raises(SealingError, match="openssl rand -base64 32") as refusal:
        Sealer(key)
    assert not key or key not in str(refusal.value)


def test_keys_are_separate_and_stable() -> None:
    sealer = Sealer(MASTER)
    assert len(sealer.key_id) == 8
    assert len(sealer.hash_key()) == 32
    assert sealer.hash_key() == Sealer(MASTER).hash_key()
    assert sealer.hash_key() != base64.b64decode(MASTER)
    assert sealer.hash_key() != Sealer(base64.b64encode(os.urandom(32)).decode()).hash_key()
