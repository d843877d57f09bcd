"""Sealing of quarantined originals: AES-256-GCM under a key per tenant, and the keyed hash of the dedupe state.

All keys are derived (HKDF-SHA256) from one secret, AUDITWIRE_SEALING_KEY. The tenant is part of the key's derivation and the
caller's ``associated`` bytes (position of the record) are authenticated: a sealed original opens in its own place only.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class SealingError(Exception):
    """A key is unusable or a sealed original does not open; the text says what to do. It holds neither keys nor content."""


@dataclass(frozen=True)
class Sealed:
    """One sealed text: the id of the secret (8 hex digits), the nonce (12 bytes), the ciphertext with its 16-byte tag."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class Sealer:
    """Seals and opens under one secret. Safe to share between threads; the derived keys of recent tenants are kept in memory."""

    def __init__(self, master_key_b64: str) -> None:
        """``master_key_b64``: 32 random bytes in base64. Raises SealingError for anything else."""
        self._master = _master_key(master_key_b64)
        self.key_id = _derive(self._master, b"id", 4).hex()
        self._cipher = lru_cache(maxsize=4096)(self._new_cipher)
        self.text_key = lru_cache(maxsize=4096)(self._text_key)

    def seal(self, tenant_id: str, associated: bytes, plain: bytes) -> Sealed:
        """Encrypt ``plain`` for the tenant; ``open`` needs the same tenant and the same ``associated`` bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(self.key_id, nonce, self._cipher(tenant_id).encrypt(nonce, plain, associated))

    def open(self, tenant_id: str, associated: bytes, sealed: Sealed) -> bytes:
        """The plain bytes. Raises SealingError where the secret, the tenant, ``associated`` or a byte of it differs."""
        if sealed.key_id != self.key_id:
            raise SealingError(
                f"The record was sealed under the key with id {sealed.key_id}, but AUDITWIRE_SEALING_KEY has id {self.key_id}. "
                "Set AUDITWIRE_SEALING_KEY to the value that was in force when the record was quarantined and try again."
            )
        try:
            return self._cipher(tenant_id).decrypt(sealed.nonce, sealed.ciphertext, associated)
        except (InvalidTag, ValueError):
            raise SealingError(
                "The sealed record does not open: it was changed, or belongs to another tenant or position; the key is right. "
                "Read it again from audit.quarantine with its own tenant and position; if that fails too, it was tampered with."
            ) from None

    def hash_key(self) -> bytes:
        """The 32-byte key of the hashes in the dedupe state: without it a hash tells nothing about an id."""
        return _derive(self._master, b"dedupe", KEY_BYTES)

    def spool_key(self) -> bytes:
        """The 32-byte key of the receiver's spool."""
        return _derive(self._master, b"receiver spool", KEY_BYTES)

    def _text_key(self, tenant_id: str) -> bytes:
        """The 32-byte key under which rules hash texts of the tenant: equal texts of one tenant can be told, no others."""
        return _derive(self._master, b"text hash/" + tenant_id.encode(), KEY_BYTES)

    def _new_cipher(self, tenant_id: str) -> AESGCM:
        return AESGCM(_derive(self._master, b"quarantine/" + tenant_id.encode(), KEY_BYTES))


def _master_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SealingError(
            "AUDITWIRE_SEALING_KEY must be 32 random bytes in base64 (44 characters). Make one with: openssl rand -base64 32. "
            "Keep it: what is sealed under a lost key can never be opened."
        )
    return key


def _derive(master: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(master)
