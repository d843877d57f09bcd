"""The client for asyncio: nothing in it blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TextIO

from auditwire._book import Counts
from auditwire._client import AuditClient
from auditwire._errors import AuditwireError, ConfigurationError
from auditwire._event import AuditEvent
from auditwire._modes import Mode
from auditwire._print import PrintTransport
from auditwire._receipt import Receipt
from auditwire._transport import Transport

log = logging.getLogger("auditwire")


class AsyncAuditClient:
    """As AuditClient, with ``await`` where that one waits.

    ``record`` is a plain fast call for mode best_effort, and its receipt can be awaited; ``await recorded(event)`` serves every
    mode. ``max_block`` is 0 here: a full queue drops the event at once instead of holding up the loop.
    """

    def __init__(self, transport: Transport, *, service: str, max_block: float = 0.0, **options: Any) -> None:
        self._client = AuditClient(transport, service=service, max_block=max_block, **options)

    @classmethod
    async def from_env(cls, service: str, *, env: Mapping[str, str] | None = None, **options: Any) -> Self:
        """As AuditClient.from_env; the registry is asked in another thread. Raises ConfigurationError, RegistryError."""
        made = cls.__new__(cls)
        options = {"max_block": 0.0, **options}
        made._client = await asyncio.to_thread(lambda: AuditClient.from_env(service, env=env, **options))
        return made

    @classmethod
    def development(cls, service: str, *, tenant: str = "development", stream: TextIO | None = None, **options: Any) -> Self:
        """A client that prints each event and stores NOTHING; see AuditClient.development."""
        return cls(PrintTransport(stream), service=service, tenant=tenant, **options)

    @property
    def producer_id(self) -> str:
        """This producer; see AuditClient."""
        return self._client.producer_id

    @property
    def counts(self) -> Counts:
        """What became of the events so far."""
        return self._client.counts

    def record(self, event: AuditEvent, mode: Mode | None = None) -> Receipt:
        """Hand the event over in mode best_effort; ``await`` the receipt for its position. Raises as AuditClient.record.

        Raises ConfigurationError for an event whose mode waits: `recorded` serves those.
        """
        way, head, tail, receipt = self._client._prepared(event, mode)
        if way.mode != "best_effort":
            raise ConfigurationError(f"mode {way.mode} waits: write `await client.recorded(event)` for this event")
        way.record(head, tail, receipt)
        return receipt

    async def recorded(self, event: AuditEvent, mode: Mode | None = None) -> Receipt:
        """Return when the mode's promise holds, as AuditClient.record does; the loop goes on meanwhile. Raises as that."""
        way, head, tail, receipt = self._client._prepared(event, mode)
        await way.arecord(head, tail, receipt)
        return receipt

    def context(self, **fields: str) -> AbstractContextManager[None]:
        """Text fields for every event recorded inside, also in tasks started there; see AuditClient.context."""
        return self._client.context(**fields)

    @property
    def context_fields(self) -> Mapping[str, str]:
        """What `context` gives here and now; see AuditClient.context_fields."""
        return self._client.context_fields

    async def flush(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - handed to librdkafka
        """Wait until Kafka has stored everything recorded so far. Raises as AuditClient.flush."""
        await asyncio.to_thread(self._client.flush, timeout)

    async def close(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - handed to librdkafka
        """Flush, then let go of the connection. Raises as AuditClient.close."""
        await asyncio.to_thread(self._client.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self.close()
        except AuditwireError as lost:
            if error is None:
                raise
            log.error("while another error was on its way: %s", lost)  # noqa: TRY400 - its text says all
