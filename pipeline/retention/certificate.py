"""What a retention run is about to remove (the intent) and has removed (the certificate), signed with Ed25519. Pure.

A document is canonical JSON: names sorted, no spaces, UTF-8. The file around it has the signature of exactly these bytes and the
id of the key: ``{"document":{…},"key":"…","signature":"…"}``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, load_pem_public_key

from pipeline.retention.lengths import End, Unit

FORM = 1
INTENT, CERTIFICATE = "auditwire.deletion.intent", "auditwire.deletion.certificate"


class CertificateError(Exception):
    """A file is not a document that a known key signed, or a key cannot be read; the text says what to do."""


@dataclass(frozen=True)
class Removed:
    """Positions of one partition of a topic: how many, the sum modulo 2^64 of their events' digests, the lowest and the highest
    offset, and the highest offset of the raw records that they were made of (-1: none is named).
    """

    topic: str
    topic_id: str
    partition: int
    count: int
    checksum: int
    first: int
    last: int
    last_raw: int


@dataclass(frozen=True, order=True)
class Object:
    """A version of an object of the archive; ``marker``: a delete marker, which has no bytes."""

    key: str
    version: str
    size: int
    marker: bool


@dataclass(frozen=True)
class Deletion:
    """All of one unit: what, by which revision of the rules, who decided it, when, why. ``completed`` None: it is an intent."""

    namespace: str
    unit: Unit
    end: End
    removed: tuple[Removed, ...]
    objects: tuple[Object, ...]
    by: str
    reason: str
    plan: str
    decided: datetime
    completed: datetime | None = None

    @property
    def events(self) -> int:
        return sum(r.count for r in self.removed)

    def done(self, now: datetime) -> Deletion:
        """The certificate of this intent."""
        return replace(self, completed=now)

    def same_as(self, other: Deletion) -> bool:
        """Whether both are about the same decision, carried out or not."""
        return replace(self, completed=None) == replace(other, completed=None)

    def document(self) -> dict[str, Any]:
        """As plain values: times in ISO 8601 with Z, checksums as 16 hex digits."""
        return {
            "kind": INTENT if self.completed is None else CERTIFICATE,
            "form": FORM,
            "namespace": self.namespace,
            "class": self.unit.retention_class,
            "month": self.unit.month,
            "rule": {
                "revision": self.end.revision,
                "sha256": self.end.sha256,
                "months": self.end.months,
                "ends_at": _said(self.end.at),
            },
            "removed": [{**asdict(r), "checksum": f"{r.checksum:016x}"} for r in self.removed],
            "objects": [asdict(o) for o in self.objects],
            "by": self.by,
            "reason": self.reason,
            "plan": self.plan,
            "decided_at": _said(self.decided),
            **({} if self.completed is None else {"completed_at": _said(self.completed)}),
        }


class PublicKeys:
    """Keys that certificates may be signed with; older ones stay known after a change of key."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    @classmethod
    def of(cls, text: str) -> PublicKeys:
        """Comma-separated, each 32 bytes in base64 or PEM; may be empty. Raises CertificateError."""
        return cls(_public(one.strip()) for one in text.split(",") if one.strip())

    def opened(self, data: bytes) -> Deletion:
        """The deletion in a signed file. Raises CertificateError."""
        try:
            whole = json.loads(data)
            document, name, signature = whole["document"], whole["key"], base64.b64decode(whole["signature"], validate=True)
            if name not in self._keys:
                have = ", ".join(sorted(self._keys)) or "none"
                raise CertificateError(f"it is signed with the key {name}; known are: {have} (AUDITWIRE_RETENTION_PUBLIC_KEYS)")
            self._keys[name].verify(signature, canonical(document))
            return _deletion(document)
        except InvalidSignature:
            raise CertificateError("its signature is not that of its document: it was altered, or is a forgery") from None
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            said = f"it is no signed document of this release ({type(exc).__name__}): give the file as it is in the bucket"
            raise CertificateError(said) from None


class SigningKey:
    """The private key, from 32 bytes in base64 or from PEM. Raises CertificateError; the text does not quote it."""

    def __init__(self, text: str) -> None:
        try:
            if "-----BEGIN" in text:
                key = load_pem_private_key(text.encode(), None)
            else:
                key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise CertificateError(
                "AUDITWIRE_RETENTION_SIGNING_KEY is no Ed25519 key: set 32 random bytes in base64 (`openssl rand -base64 32`), or"
                " a private key in PEM"
            )
        self._key, self.public = key, key.public_key()

    def signed(self, deletion: Deletion) -> bytes:
        """The file of an intent or of a certificate."""
        document = deletion.document()
        signature = base64.b64encode(self._key.sign(canonical(document))).decode()
        return canonical({"document": document, "key": key_id(self.public), "signature": signature}) + b"\n"


def canonical(value: Any) -> bytes:
    """The only form of a value in JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def key_id(key: Ed25519PublicKey) -> str:
    """16 hex digits that tell keys apart."""
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def public_text(key: Ed25519PublicKey) -> str:
    """As `AUDITWIRE_RETENTION_PUBLIC_KEYS` takes it."""
    return base64.b64encode(_raw(key)).decode()


def public_pem(key: Ed25519PublicKey) -> str:
    """As openssl takes it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _public(text: str) -> Ed25519PublicKey:
    try:
        key: Any = load_pem_public_key(text.encode()) if "-----BEGIN" in text else None
        key = key or Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise CertificateError(f"{text[:60]} is no Ed25519 public key: `auditwired retention key` prints the one to set")
    return key


def _deletion(d: Mapping[str, Any]) -> Deletion:
    if d["form"] != FORM or d["kind"] not in (INTENT, CERTIFICATE):
        raise CertificateError(f"it is a document of the kind {d['kind']}, form {d['form']}: use the release that wrote it")
    rule = d["rule"]
    return Deletion(
        d["namespace"],
        Unit(d["class"], d["month"]),
        End(_time(rule["ends_at"]), rule["months"], rule["revision"], rule["sha256"]),
        tuple(Removed(**{**r, "checksum": int(r["checksum"], 16)}) for r in d["removed"]),
        tuple(Object(**o) for o in d["objects"]),
        d["by"],
        d["reason"],
        d["plan"],
        _time(d["decided_at"]),
        _time(d["completed_at"]) if d["kind"] == CERTIFICATE else None,
    )


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
