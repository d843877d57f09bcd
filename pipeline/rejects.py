"""Quarantine records of the processor: the original sealed in its place, and the mark of a replay.

Original in clear: a line of JSON (``key``, ``headers``), a newline, the value as it came. The receiver writes the same form.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.kafka_chunks import RawRecord
from pipeline.batch import Reject
from pipeline.sealing import Sealed, Sealer

REPLAY_HEADER = "auditwire-replay"
REPLAY_PROOF = "auditwire-replay-proof"
ORIGINAL_BYTES = 1_900_000  # with everything around it the record stays under the topic's 2 MiB
HEAD_BYTES = 131_072  # key and headers as JSON, which makes six bytes of one
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Original:
    """A raw record as it came in."""

    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    whole: bool = True  # False: key and headers were too long to be kept


def associated(topic: str, partition: int, offset: int) -> bytes:
    """What a sealed original is bound to: its position."""
    return f"{topic}/{partition}/{offset}".encode()


def pack(original: Original) -> bytes:
    """The original in clear, its value cut at ORIGINAL_BYTES, without key and headers where they exceed HEAD_BYTES."""
    empty = original.value is None
    headers = [[name, _text(value)] for name, value in original.headers]
    head = orjson.dumps({"key": _text(original.key), "headers": headers, "empty": empty})
    if len(head) > HEAD_BYTES:
        head = orjson.dumps({"key": None, "headers": [], "empty": empty, "whole": False})
    return head + b"\n" + (original.value or b"")[:ORIGINAL_BYTES]


def unpack(plain: bytes) -> Original:
    """The inverse of `pack`; also reads what the receiver wrote."""
    line, _, value = plain.partition(b"\n")
    head = orjson.loads(line)
    pairs = head["headers"].items() if isinstance(head["headers"], dict) else head["headers"]
    headers = tuple((str(name), _bytes(text)) for name, text in pairs)
    return Original(_bytes(head["key"]), headers, None if head.get("empty") else value, head.get("whole", True))


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return "=" + data.decode() if data[:1] in (b"=", b"*") else data.decode()
    except UnicodeDecodeError:
        return "*" + base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    if text is None:
        return None
    if text[:1] == "*":
        return base64.b64decode(text[1:])
    return (text[1:] if text[:1] == "=" else text).encode()


def record(topic: str, partition: int, raw: RawRecord, reject: Reject, *, sealer: Sealer, replayed: int | None) -> dict[str, Any]:
    """The QuarantinedEvent of one reject; ``replayed`` is the quarantine offset whose replay this record was, if it was one."""
    original = Original(raw.key, tuple(raw.headers), raw.value)
    sealed = sealer.seal(reject.tenant_id, associated(topic, partition, raw.offset), pack(original))
    return {
        "raw_topic": topic,
        "raw_partition": partition,
        "raw_offset": raw.offset,
        "raw_timestamp": raw.timestamp * 1000,
        "tenant_id": reject.tenant_id,
        "stage": reject.stage,
        "reason": reject.reason,
        "detail": reject.detail,
        "key_id": sealed.key_id,
        "nonce": sealed.nonce,
        "sealed": sealed.ciphertext,
        "original_length": len(raw.value or b""),
        "replayed_from_offset": replayed,
    }


def original_of(quarantined: dict[str, Any], sealer: Sealer) -> Original:
    """Open a QuarantinedEvent. Raises SealingError with what to do."""
    place = associated(quarantined["raw_topic"], quarantined["raw_partition"], quarantined["raw_offset"])
    sealed = Sealed(quarantined["key_id"], quarantined["nonce"], quarantined["sealed"])
    return unpack(sealer.open(quarantined["tenant_id"], place, sealed))


def replay_headers(partition: int, offset: int, original: Original, key: bytes) -> list[tuple[str, bytes | None]]:
    """Headers of a replayed record: the position, and the proof that the holder of the sealing key made it."""
    position = f"{partition}:{offset}".encode()
    kept = [(n, v) for n, v in original.headers if n not in (REPLAY_HEADER, REPLAY_PROOF)]
    return [*kept, (REPLAY_HEADER, position), (REPLAY_PROOF, _proof(position, original.value, key))]


def replayed_from(raw: RawRecord, partition: int, key: bytes) -> int | None:
    """The quarantine offset that a raw record replays; None for ordinary records and for marks that prove nothing."""
    if not raw.headers:
        return None
    marks = dict(raw.headers)
    position = marks.get(REPLAY_HEADER)
    if position is None or not hmac.compare_digest(marks.get(REPLAY_PROOF) or b"", _proof(position, raw.value, key)):
        return None
    number, _, offset = position.decode().partition(":")
    return int(offset) if int(number) == partition else None


def _proof(position: bytes, value: bytes | None, key: bytes) -> bytes:
    return hashlib.blake2b(position + b"|" + (value or b""), key=key, digest_size=16, person=b"replay").hexdigest().encode()
