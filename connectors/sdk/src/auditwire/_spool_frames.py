"""The format of a spool's segments: a sealed header, then sealed frames of records. No file is written here.

A frame tells where it belongs (segment, position of its first record) and how far the spool was durable when it was written;
all of that is authenticated with it, so a frame that was moved, copied, cut or changed does not open in its new place.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Record = tuple[bytes, bytes, str]  # key, value, topic

KEY_BYTES, SALT_BYTES, NONCE_BYTES, TAG_BYTES = 32, 16, 12, 16
FRAME_BYTES = 1 << 20  # of plain records, unless one alone is larger
HEAD = struct.Struct("<8s16sQQ")  # magic, salt, number of the segment, position of its first record
HEAD_BYTES = HEAD.size + TAG_BYTES
FRAME = struct.Struct("<4sIIQQQ12s")  # magic, sealed bytes, records, first position, durable position, microseconds, nonce
LENGTHS = struct.Struct("<BII")  # topic, key, value
SEGMENT_MAGIC, FRAME_MAGIC = b"AWSPOOL1", b"AWF1"


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame stands in its file, which positions it holds, and what it tells of the time of its writing."""

    offset: int
    size: int
    position: int
    count: int
    durable: int  # everything before this position was durable when the frame was written
    at: int  # microseconds since 1970, UTC

    @property
    def end(self) -> int:
        return self.position + self.count


class SegmentCipher:
    """Seals and opens the frames of one segment under a key of its own; ``sealed=False`` is for the negative control only."""

    def __init__(self, master: bytes, salt: bytes, number: int, first: int, *, sealed: bool = True) -> None:
        self.head = HEAD.pack(SEGMENT_MAGIC, salt, number, first)
        self._aes = AESGCM(derive(master, b"auditwire spool segment", salt))
        self._sealed = sealed
        self.header = self.head + (self._aes.encrypt(b"\0" * NONCE_BYTES, b"", self.head) if sealed else b"\0" * TAG_BYTES)

    def seal(self, plain: bytes, count: int, position: int, durable: int, at: int) -> bytes:
        """A frame of ``count`` records that `pack` made one text of."""
        nonce = os.urandom(NONCE_BYTES - 1) + b"\1"  # never the header's
        head = FRAME.pack(FRAME_MAGIC, len(plain) + TAG_BYTES, count, position, durable, at, nonce)
        return head + (self._aes.encrypt(nonce, plain, self.head + head) if self._sealed else plain + b"\0" * TAG_BYTES)

    def open(self, frame: bytes) -> bytes | None:
        """The plain records of a whole frame, None where it does not open here."""
        if not self._sealed:
            return frame[FRAME.size : -TAG_BYTES]
        try:
            return self._aes.decrypt(
                frame[FRAME.size - NONCE_BYTES : FRAME.size], frame[FRAME.size :], self.head + frame[: FRAME.size]
            )
        except InvalidTag:
            return None


def derive(master: bytes, info: bytes, salt: bytes, length: int = KEY_BYTES) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(master)


def read_header(data: bytes, number: int, master: bytes, *, sealed: bool = True) -> tuple[SegmentCipher, int] | None:
    """The cipher of the segment with this number and the position of its first record; None for anything else."""
    if len(data) < HEAD_BYTES:
        return None
    magic, salt, stated, first = HEAD.unpack_from(data)
    if magic != SEGMENT_MAGIC or stated != number:
        return None
    cipher = SegmentCipher(master, salt, number, first, sealed=sealed)
    return (cipher, first) if cipher.header == data[:HEAD_BYTES] else None


def read_frame(pread: Callable[[int, int], bytes], offset: int) -> Frame | None:
    """What stands in the head of a frame, before it is proven; None where no head stands there or the file ends."""
    head = pread(FRAME.size, offset)
    if len(head) < FRAME.size:
        return None
    magic, sealed, count, position, durable, at, _ = FRAME.unpack(head)
    if magic != FRAME_MAGIC or sealed < TAG_BYTES:
        return None
    return Frame(offset, FRAME.size + sealed, position, count, durable, at)


def frames(pread: Callable[[int, int], bytes], cipher: SegmentCipher, offset: int, size: int) -> Iterator[tuple[Frame, bytes]]:
    """Every frame from ``offset`` on that opens, in the order of the file, with its plain records; others are passed over."""
    while offset < size:
        found = read_frame(pread, offset)
        plain = cipher.open(pread(found.size, offset)) if found and offset + found.size <= size else None
        if found is None or plain is None:
            offset = _next(pread, offset + 1, size)
        else:
            yield found, plain
            offset += found.size


def _next(pread: Callable[[int, int], bytes], offset: int, size: int) -> int:
    """Where the next head of a frame may begin, ``size`` where there is none."""
    while offset < size:
        data = pread(FRAME_BYTES, offset)
        found = data.find(FRAME_MAGIC)
        if found >= 0:
            return offset + found
        if len(data) < FRAME_BYTES:
            return size
        offset += len(data) - len(FRAME_MAGIC) + 1
    return size


def chunks(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Slices that fit into a frame each."""
    begin = held = 0
    for index, (key, value, topic) in enumerate(records):
        size = LENGTHS.size + len(topic) + len(key) + len(value)
        if held and held + size > FRAME_BYTES:
            yield records[begin:index]
            begin, held = index, 0
        held += size
    if held:
        yield records[begin:]


def sealed_size(records: Sequence[Record]) -> int:
    """Bytes of the frames that hold these records, at most."""
    plain = sum(LENGTHS.size + len(topic) + len(key) + len(value) for key, value, topic in records)
    return plain + (FRAME.size + TAG_BYTES) * (2 * plain // FRAME_BYTES + 1)


def pack(records: Sequence[Record]) -> bytes:
    parts: list[bytes] = []
    for key, value, topic in records:
        name = topic.encode()
        parts += (LENGTHS.pack(len(name), len(key), len(value)), name, key, value)
    return b"".join(parts)


def unpack(plain: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Topic, key and value of each record of a frame."""
    at = 0
    while at < len(plain):
        topic, key, value = LENGTHS.unpack_from(plain, at)
        at += LENGTHS.size
        ends = at + topic, at + topic + key, at + topic + key + value
        yield plain[at : ends[0]].decode(), plain[ends[0] : ends[1]], plain[ends[1] : ends[2]]
        at = ends[2]
