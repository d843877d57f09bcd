"""A wire to Kafka by which a broker says for a while that the cluster has no brokers, as one does that is fenced."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType

METADATA = 3


class EmptyMetadata:
    """Listens on ``port``, which the broker must advertise (`Place.advertised`). Understands Metadata from version 9 on.

    ``emptied`` counts the answers that list no broker.
    """

    def __init__(self, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._empty, self._open, self.emptied = threading.Event(), list[socket.socket](), 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> EmptyMetadata:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()

    def forget(self) -> None:
        """Break the connections; from now on answers list no broker."""
        self._empty.set()
        broken, self._open = self._open, []
        for one in broken:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def remember(self) -> None:
        """Answers are what the broker says again."""
        self._empty.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._open.append(near)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        asked: set[int] = set()
        with near, suppress(OSError), socket.create_connection(self._target, 10) as far:
            far.settimeout(None)
            back = threading.Thread(target=self._answers, args=(far, near, asked), daemon=True)
            back.start()
            while frame := _frame(near):
                key, version, correlation = struct.unpack_from(">hhi", frame)
                if key == METADATA and version >= 9:
                    asked.add(correlation)
                _send(far, frame)
            with suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
            back.join()

    def _answers(self, far: socket.socket, near: socket.socket, asked: set[int]) -> None:
        with suppress(OSError):
            while frame := _frame(far):
                (correlation,) = struct.unpack_from(">i", frame)
                if correlation in asked:
                    asked.discard(correlation)
                    if self._empty.is_set():
                        frame = without_brokers(frame)
                        self.emptied += 1
                _send(near, frame)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


def without_brokers(frame: bytes) -> bytes:
    """An answer to Metadata (version 9 or later) with an empty list of brokers."""
    at = begin = 4 + 1 + 4  # correlation id, no tags, throttle time
    count, at = _varint(frame, at)
    for _ in range(count - 1):
        length, at = _varint(frame, at + 4)
        length, at = _varint(frame, at + length - 1 + 4)
        at += max(length - 1, 0)
        assert frame[at] == 0, "a broker with tags"
        at += 1
    return frame[:begin] + b"\x01" + frame[at:]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def _frame(one: socket.socket) -> bytes:
    """The next message without its length; empty at the end of the connection."""
    head = _exactly(one, 4)
    return _exactly(one, struct.unpack(">i", head)[0]) if head else b""


def _exactly(one: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = one.recv(size - len(data))
        if not more:
            return b""
        data += more
    return bytes(data)


def _send(one: socket.socket, frame: bytes) -> None:
    one.sendall(struct.pack(">i", len(frame)) + frame)
