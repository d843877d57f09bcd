"""A wire to a server that misbehaves when told to: freezes, resets, loses or cuts answers, cuts requests, delivers them late."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

METHODS = (b"POST ", b"PUT ", b"GET ", b"HEAD ", b"DELETE ")
INSERT = rb"^POST .*INSERT\+INTO\+events"
PUT_OBJECT = rb"^PUT \S*/events/"
Harm = Literal["lose", "cut_answer", "cut_request", "hold"]


@dataclass
class Order:
    """What to do to the next ``left`` HTTP requests in whose beginning the expression ``marked`` is found.

    ``lose``: the server carries it out, its answer never arrives. ``cut_answer``, ``cut_request``: half of it arrives. ``hold``:
    the client loses the connection, the server gets the request when `Wire.deliver` is called. ``then`` is called at the harm.
    """

    harm: Harm
    marked: bytes
    left: int = 1
    then: Callable[[], None] = lambda: None


@dataclass
class _Connection:
    near: socket.socket
    far: socket.socket
    harm: Order | None = None  # of the request in work, where its answer is to suffer

    def close(self, *, reset: bool = False) -> None:
        for one in (self.near, self.far):
            with suppress(OSError):
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)


class Wire:
    """Listens on ``port`` of 127.0.0.1 and passes bytes both ways to ``target`` (host:port, or a URL)."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target if "//" in target else f"//{target}")
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.harmed, self.held = 0, list[bytes]()
        self._orders: list[Order] = []
        self._guard, self._flows = threading.Lock(), threading.Event()
        self._connections: dict[int, _Connection] = {}
        self._serial = itertools.count()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Connections stay open and nothing moves until `thaw`."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def reset(self) -> int:
        """Break every connection; how many there were."""
        with self._guard:
            broken = list(self._connections.values())
        for one in broken:
            one.close(reset=True)
        return len(broken)

    def order(self, harm: Harm, marked: bytes, times: int = 1, then: Callable[[], None] = lambda: None) -> None:
        """See `Order`."""
        with self._guard:
            self._orders.append(Order(harm, marked, times, then))

    def calm(self) -> None:
        """Forget all orders and thaw."""
        with self._guard:
            self._orders.clear()
        self.thaw()

    def deliver(self) -> list[bytes]:
        """Send what was held back to the server now; the first line of each of its answers."""
        with self._guard:
            late, self.held = self.held, []
        return [self._sent_late(request) for request in late]

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        self.thaw()

    def _sent_late(self, request: bytes) -> bytes:
        with socket.create_connection(self._target) as far, suppress(OSError):
            far.settimeout(60)
            far.sendall(request)
            answer = far.recv(65536)
            while answer.startswith(b"HTTP/1.1 100"):
                answer = answer.partition(b"\r\n\r\n")[2] or far.recv(65536)
            return answer.partition(b"\r\n")[0]
        return b""

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(self._target, 10) as far:
            far.settimeout(None)
            one, number = _Connection(near, far), next(self._serial)
            with self._guard:
                self._connections[number] = one
            back = threading.Thread(target=self._answers, args=(one,), daemon=True)
            back.start()
            try:
                self._requests(one)
            finally:
                back.join()
                with self._guard:
                    del self._connections[number]

    def _requests(self, one: _Connection) -> None:
        with suppress(OSError):
            while data := one.near.recv(65536):
                if data.startswith(METHODS):
                    one.harm = self._ordered(data)
                self._flows.wait()
                if one.harm is not None and one.harm.harm in ("hold", "cut_request"):
                    self._spoil(one, one.harm, data)
                    return
                one.far.sendall(data)
        with suppress(OSError):
            one.far.shutdown(socket.SHUT_WR)

    def _ordered(self, head: bytes) -> Order | None:
        with self._guard:
            for order in self._orders:
                if order.left and re.search(order.marked, head):
                    order.left -= 1
                    return order
        return None

    def _spoil(self, one: _Connection, order: Order, data: bytes) -> None:
        request = _whole(one.near, data)
        if order.harm == "hold":
            with self._guard:
                self.held.append(request)
        else:
            one.far.sendall(request[: len(request) // 2])
        self._harm(one, order)

    def _harm(self, one: _Connection, order: Order) -> None:
        with self._guard:
            self.harmed += 1
        order.then()
        one.close()

    def _answers(self, one: _Connection) -> None:
        with suppress(OSError):
            while data := one.far.recv(65536):
                self._flows.wait()
                order = one.harm
                if order is not None and not data.startswith(b"HTTP/1.1 100"):
                    if order.harm == "cut_answer":
                        one.near.sendall(data[: len(data) // 2])
                    self._harm(one, order)
                    return
                one.near.sendall(data)
        with suppress(OSError):
            one.near.shutdown(socket.SHUT_WR)


def _whole(near: socket.socket, data: bytes) -> bytes:
    """The rest of a request with a Content-Length."""
    while b"\r\n\r\n" not in data:
        data += near.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    if re.search(rb"(?i)^expect: *100-continue", head, re.MULTILINE):
        near.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    found = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    length = int(found[1]) if found else 0
    while len(body) < length and (more := near.recv(1 << 20)):
        body += more
    return head + b"\r\n\r\n" + body
