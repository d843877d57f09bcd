"""ClickHouse over HTTP: queries, and inserts of Arrow columns. Errors say what to do and never quote values of events.

Settings (also ``database`` and ``query_id``) travel in the URL; SQL and parameters in the body, where they may be long, but for
inserts, whose body is the data. A request that fails half-way is never cancelled politely, only its socket is dropped: the
server could take a proper end for the end of the data.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import httpx
import pyarrow as pa

CHUNK = 1 << 18
FORM_CHARACTERS = 30_000  # a field of a form may have 128 KiB; longer SQL is the body by itself
ACCESS_CODES = frozenset((192, 193, 194, 516))
HINTS = {
    60: " (no such table: run `auditwired migrate`)",
    81: " (no such database: run `auditwired migrate`, compare AUDITWIRE_NAMESPACE)",
    241: " (it has not enough memory: try again later, or give it more)",
    243: " (its disk is full: make room on the server)",
    497: " (the user lacks a right: docs/operations.md lists what each ClickHouse user may)",
}
Points = Callable[[str], None]
_trusted = cache(partial(httpx.create_ssl_context, trust_env=False))  # reading the certificates takes longer than a query


class ClickHouseError(Exception):
    """ClickHouse answered with an error. ``code`` and ``name`` are its own, such as 252 and TOO_MANY_PARTS."""

    def __init__(self, text: str, code: int = 0, name: str = "") -> None:
        super().__init__(text)
        self.code, self.name = code, name


class UnreachableError(ClickHouseError):
    """No answer, or only a part of one: whatever was asked may or may not have happened, or may happen later."""


class AccessError(ClickHouseError):
    """The user's name or password is wrong; waiting does not help."""


@dataclass(frozen=True)
class Statement:
    """SQL with ``{name:Type}`` parameters and server settings for this statement alone."""

    sql: str
    parameters: Mapping[str, str | int]
    settings: Mapping[str, str | int]

    def named(self) -> dict[str, str]:
        return {"query": self.sql, **{f"param_{name}": _literal(value) for name, value in self.parameters.items()}}

    def request(self, content: Iterator[bytes] | None = None) -> dict[str, Any]:
        """Arguments for httpx; ``content`` is the data of an insert."""
        flags = {name: str(value) for name, value in self.settings.items()}
        if content is not None:
            return {"params": {**self.named(), **flags}, "content": content}
        if len(self.sql) > FORM_CHARACTERS:
            parameters = {name: value for name, value in self.named().items() if name != "query"}
            return {"params": {**parameters, **flags}, "content": self.sql.encode()}
        return {"params": flags, "files": {name: (None, value) for name, value in self.named().items()}}


class Client:
    """One server as one user. Safe from several threads; close it at the end."""

    def __init__(self, url: str, user: str, password: str, timeout: float = 60.0) -> None:
        self.url, self.user = url.rstrip("/"), user
        headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=5.0),
            trust_env=False,
            verify=_trusted(),
        )
        self._sockets: list[socket.socket] = []
        self._traced = {"trace": self._connected}

    def trouble(self) -> str | None:
        """None where the server answers, else why not: wait for it. Raises AccessError (wrong credentials: waiting is no use)."""
        try:
            self.rows("SELECT 1")
        except AccessError:
            raise
        except ClickHouseError as exc:
            return str(exc)
        return None

    def close(self) -> None:
        """Drop all connections."""
        self._http.close()

    def interrupt(self) -> None:
        """End whatever other threads wait for here with an UnreachableError; close the client afterwards."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _connected(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets = [s for s in self._sockets if s.fileno() >= 0]
            self._sockets.append(info["return_value"].get_extra_info("socket"))

    def command(self, sql: str, parameters: Mapping[str, str | int] | None = None, **settings: str | int) -> None:
        """Run a statement without an answer, such as DDL. Raises ClickHouseError; its text quotes the server."""
        self._ask(Statement(sql, parameters or {}, {"wait_end_of_query": 1, **settings}), quote=True)

    def rows(self, sql: str, parameters: Mapping[str, str | int] | None = None, **settings: str | int) -> list[list[Any]]:
        """All rows of a small answer; 64-bit integers come as int. Raises ClickHouseError."""
        form: dict[str, str | int] = {"default_format": "JSONCompact", "output_format_json_quote_64bit_integers": 0}
        answer = self._ask(Statement(sql, parameters or {}, {**form, **settings}))
        found: list[list[Any]] = json.loads(answer)["data"]
        return found

    def batches(
        self, sql: str, parameters: Mapping[str, str | int] | None = None, **settings: str | int
    ) -> Generator[pa.RecordBatch, None, None]:
        """The answer as Arrow columns, batch by batch as the server produces them. Raises ClickHouseError, also half-way."""
        statement = Statement(sql, parameters or {}, {"default_format": "ArrowStream", **settings})
        request = self._http.build_request("POST", "/", extensions=self._traced, **statement.request())
        with self._translated():
            answer = self._http.send(request, stream=True)
            try:
                if answer.is_error or "X-ClickHouse-Exception-Code" in answer.headers:
                    answer.read()
                    self._check(answer, quote=False)
                with pa.ipc.open_stream(_Reader(answer.iter_bytes(CHUNK))) as reader:
                    yield from reader
            except (pa.ArrowInvalid, OSError) as exc:
                raise UnreachableError(f"the answer of ClickHouse {self.url} ended half-way: ask again") from exc
            finally:
                answer.close()

    def insert(
        self,
        sql: str,
        batches: Sequence[pa.RecordBatch],
        parameters: Mapping[str, str | int] | None = None,
        half_way: Callable[[], None] | None = None,
        **settings: str | int,
    ) -> None:
        """Run an INSERT … FORMAT ArrowStream with these columns as its data.

        ``half_way`` is called when half of the bytes are sent. Raises ClickHouseError; UnreachableError when the outcome is
        unknown.
        """
        body = stream(batches)
        statement = Statement(sql, parameters or {}, {"wait_end_of_query": 1, **settings})
        self._ask(statement, content=_chunks(body, half_way), headers={"Content-Length": str(body.size)})

    def _ask(
        self,
        statement: Statement,
        quote: bool = False,
        content: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        with self._translated():
            answer = self._http.post("/", headers=headers, extensions=self._traced, **statement.request(content))
        self._check(answer, quote)
        return answer.content

    def _check(self, answer: httpx.Response, quote: bool) -> None:
        code = int(answer.headers.get("X-ClickHouse-Exception-Code", 0))
        if not answer.is_error and not code:
            return
        if code in ACCESS_CODES:
            raise AccessError(
                f"ClickHouse {self.url} refused the name or password of user {self.user}: correct the part's CLICKHOUSE_USER and "
                "CLICKHOUSE_PASSWORD settings (docs/configuration.md)",
                code,
            )
        name = (re.findall(r"\(([A-Z][A-Z_0-9]+)\)", answer.text) or [f"HTTP {answer.status_code}"])[-1]
        said = HINTS.get(code, "") + (f": {answer.text.strip()[:2000]}" if quote else "")
        raise ClickHouseError(f"ClickHouse {self.url} answered {code} {name} to user {self.user}{said}", code, name)

    def _translated(self) -> _Translated:
        return _Translated(self.url)


class _Translated:
    """Turns httpx errors into UnreachableError."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, httpx.HTTPError | httpx.StreamError):
            raise UnreachableError(
                f"ClickHouse {self.url} does not answer ({type(exc).__name__}): is it up, is AUDITWIRE_CLICKHOUSE_URL right?"
            ) from exc


class _Reader:
    """Chunks of bytes as a file that Arrow can read from."""

    closed = False

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, b""

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing > 0:
            if not self._held:
                self._held = next(self._chunks, b"")
                if not self._held:
                    break
            parts.append(self._held[:missing])
            self._held = self._held[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return True


def stream(batches: Sequence[pa.RecordBatch]) -> pa.Buffer:
    """The batches as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def _chunks(body: pa.Buffer, half_way: Callable[[], None] | None) -> Iterator[bytes]:
    view, half = memoryview(body), body.size // 2
    for start in range(0, body.size, CHUNK):
        if half_way is not None and start <= half < start + CHUNK:
            yield bytes(view[start:half])
            half_way()
            yield bytes(view[half : start + CHUNK])
        else:
            yield bytes(view[start : start + CHUNK])


def _literal(value: str | int) -> str:
    """A parameter's value as ClickHouse reads it (tab-separated escapes)."""
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
