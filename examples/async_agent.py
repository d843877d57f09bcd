"""An asyncio agent that audits what it does: a session, tools in parallel, and one action that never happens unaudited.

python examples/async_agent.py        (environment: . .auditwire/env, or AUDITWIRE_TRANSPORT=print)
"""

from __future__ import annotations

import asyncio
import time
import uuid

from auditwire import AsyncAuditClient, AuditEvent, DeliveryError


async def search(client: AsyncAuditClient, query: str) -> list[str]:
    """A tool that reads: recorded, not waited for."""
    call = uuid.uuid4().hex
    client.record(AuditEvent(event_type="tool.invoked", tool_name="search_orders", tool_call_id=call, tool_category="read"))
    start = time.perf_counter()
    found = [f"{query}-{number}" for number in range(2)]
    client.record(
        AuditEvent(
            event_type="tool.responded",
            outcome="success",
            tool_name="search_orders",
            tool_call_id=call,
            duration_ms=(time.perf_counter() - start) * 1000,
        )
    )
    return found


async def refund(client: AsyncAuditClient, order: str) -> bool:
    """A tool that acts: mode blocking, so it runs only once its event is stored."""
    intent = AuditEvent(
        event_type="tool.invoked", tool_name="refund", tool_category="write", target_type="Order", target_id=order
    )
    try:
        receipt = await client.recorded(intent, mode="blocking")
        print("stored at", receipt.wait(0))
    except DeliveryError as error:
        print("not refunded, it would not be audited:", error)
        return False
    client.record(AuditEvent(event_type="tool.responded", outcome="success", tool_name="refund", target_id=order))
    return True


async def main() -> None:
    async with await AsyncAuditClient.from_env(service="shop-agent", tenant="demo") as client:
        with client.context(session_id=uuid.uuid4().hex, agent_id="shop-agent", human_principal_id="ada@example.com"):
            client.record(AuditEvent(event_type="session.started", session_status="running"))
            found = await asyncio.gather(search(client, "late"), search(client, "broken"))
            done = await refund(client, found[0][0])
            client.record(AuditEvent(event_type="session.ended", outcome="success" if done else "failure"))


if __name__ == "__main__":
    asyncio.run(main())
