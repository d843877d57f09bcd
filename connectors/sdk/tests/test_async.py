"""The asyncio client: recording never blocks, receipts are awaited."""

from __future__ import annotations

import asyncio
import threading

import pytest

from auditwire import AsyncAuditClient, AuditEvent, ConfigurationError, DeliveryError, Position, QueueFullError, Receipt
from auditwire.testing import RecordingTransport


def test_receipts_are_awaited(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)

    async def main() -> list[int]:
        async with AsyncAuditClient(transport, service="s", tenant="t") as client:
            with client.context(session_id="one"):
                receipts = [client.record(event) for _ in range(3)]
            waiting = [asyncio.ensure_future(wait(r)) for r in receipts]
            await asyncio.sleep(0)
            threading.Thread(target=transport.release).start()
            offsets = [await w for w in waiting]
            await client.flush()
            assert client.counts.stored == 3
            assert client.producer_id.startswith("s/")
            return [*offsets, (await receipts[0]).offset]

    async def wait(receipt: object) -> int:
        return (await receipt).offset  # type: ignore[misc, no-any-return]

    assert asyncio.run(main()) == [0, 1, 2, 0]
    assert {e["session_id"] for e in transport.events} == {"one"}


def test_a_failed_event_raises_where_it_is_awaited(event: AuditEvent) -> None:
    transport = RecordingTransport()
    transport.refuse(1, "no")

    async def main() -> None:
        client = AsyncAuditClient(transport, service="s", tenant="t")
        with pytest.raises(DeliveryError, match="^no$"):
            await client.record(event)
        with pytest.raises(DeliveryError, match="not stored"):
            await client.close()

    asyncio.run(main())


def test_waiting_is_bounded_by_asyncio_and_may_be_cancelled(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)

    async def main() -> None:
        client = AsyncAuditClient(transport, service="s", tenant="t")
        receipt = client.record(event)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await receipt
        transport.release()
        assert (await receipt).offset == 0

    asyncio.run(main())


def test_an_outcome_after_the_loop_has_ended_harms_nobody(event: AuditEvent) -> None:
    transport = RecordingTransport(held=True)

    async def main() -> None:
        receipt = AsyncAuditClient(transport, service="s", tenant="t").record(event)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receipt_of(receipt), 0.01)

    async def receipt_of(receipt: object) -> None:
        await receipt  # type: ignore[misc]

    asyncio.run(main())
    transport.release()
    assert len(transport.stored) == 1


def test_a_full_queue_is_told_at_once(event: AuditEvent) -> None:
    client = AsyncAuditClient(RecordingTransport(capacity=0), service="s", tenant="t")
    receipt = client.record(event)
    with pytest.raises(QueueFullError):
        asyncio.run(position(receipt))
    assert client.counts.dropped == 1


async def position(receipt: Receipt) -> Position:
    return await receipt


def test_missing_settings_are_named() -> None:
    with pytest.raises(ConfigurationError, match="AUDITWIRE_KAFKA_BOOTSTRAP"):
        asyncio.run(AsyncAuditClient.from_env("s", env={}))


def test_leaving_the_block_hides_no_other_error(event: AuditEvent) -> None:
    async def main() -> None:
        async with AsyncAuditClient(RecordingTransport(held=True), service="s", tenant="t") as client:
            client.record(event)
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(main())
