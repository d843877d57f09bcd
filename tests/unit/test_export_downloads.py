"""A caller that does not read keeps nothing open for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from pipeline.export import downloads


@pytest.mark.parametrize("reads", [True, False])
def test_a_download_ends_although_its_caller_does_not_read(reads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST_SECONDS", 30 if reads else 0.2)
    sent: list[Message] = []

    def pieces() -> Iterator[bytes]:
        yield from (b"one", b"two")

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        sent.append(message)
        if not reads and message.get("body"):
            await asyncio.Future[None]()

    async def serve() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"spec_version": "2.3"}}
        await asyncio.wait_for(downloads.Download(pieces())(scope, receive, send), 20)

    asyncio.run(serve())
    assert [m.get("body") for m in sent] == ([None, b"one", b"two", b""] if reads else [None, b"one"])
