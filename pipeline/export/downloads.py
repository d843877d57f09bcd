"""The answer that carries a file: it ends with the file, with the caller, or when its time is over."""

from __future__ import annotations

import asyncio
import logging

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)
MOST_SECONDS = 3600.0


class Download(StreamingResponse):
    """Cut off after MOST_SECONDS: who reads slowly would else keep a connection, and a right that has ended, for ever."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            log.warning("a download took more than %.0f s and was cut off", MOST_SECONDS)  # the server drops the connection
