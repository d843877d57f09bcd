"""A TCP proxy that loses one answer: the request reaches the server and is carried out, the client hears nothing of it."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit


class Proxy:
    """In front of an HTTP server. The ``nth`` request whose head contains ``marked`` gets no answer but a closed connection."""

    def __init__(self, url: str, marked: bytes, nth: int = 1) -> None:
        parts = urlsplit(url)
        self._server, self._marked, self._nth = (parts.hostname or "127.0.0.1", parts.port or 80), marked, nth
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.dropped, self._seen, self._lock = 0, 0, threading.Lock()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._server)
        lose = threading.Event()
        up = threading.Thread(target=self._up, args=(client, server, lose), daemon=True)
        up.start()
        with client, server:
            while data := _receive(server):
                if lose.is_set():
                    with self._lock:
                        self.dropped += 1
                    client.shutdown(socket.SHUT_RDWR)  # the other thread still reads from it: closing alone would send nothing
                    return
                try:
                    client.sendall(data)
                except OSError:
                    return

    def _up(self, client: socket.socket, server: socket.socket, lose: threading.Event) -> None:
        while data := _receive(client):
            if self._marked in data[:65536] and data.startswith(b"POST"):
                with self._lock:
                    self._seen += 1
                    if self._seen == self._nth:
                        lose.set()
            try:
                server.sendall(data)
            except OSError:
                return
        try:
            server.shutdown(socket.SHUT_WR)
        except OSError:
            return


def _receive(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 16)
    except OSError:
        return b""
