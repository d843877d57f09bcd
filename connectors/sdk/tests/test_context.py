"""Fields said once for all events of a while: they nest, follow tasks, keep threads and clients apart, and give way."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from typing import Any

import pytest

from auditwire import AuditClient, AuditEvent, InvalidEventError
from auditwire.testing import RecordingTransport


def client(transport: RecordingTransport) -> AuditClient:
    return AuditClient(transport, service="deploy", tenant="acme")


def test_context_fills_nests_and_gives_way() -> None:
    transport = RecordingTransport()
    c = client(transport)
    with c.context(session_id="s1", agent_id="a1", tenant_id="globex"):
        with c.context(session_id="s2", human_principal_id="h"):
            c.record(AuditEvent(event_type="x", agent_id="mine"))
        c.record(AuditEvent(event_type="x"))
    c.record(AuditEvent(event_type="x"))
    seen = [(e["tenant_id"], e["session_id"], e["agent_id"], e["human_principal_id"]) for e in transport.events]
    assert seen == [("globex", "s2", "mine", "h"), ("globex", "s1", "a1", ""), ("acme", "", "", "")]


def test_context_ends_with_an_error_and_belongs_to_one_client(event: AuditEvent) -> None:
    one, other = RecordingTransport(), RecordingTransport()
    first, second = client(one), client(other)
    with pytest.raises(KeyError), first.context(session_id="s"):
        second.record(event)
        raise KeyError
    first.record(event)
    assert (one.events[0]["session_id"], other.events[0]["session_id"]) == ("", "")


def test_context_can_be_sent_along_to_another_client(event: AuditEvent) -> None:
    here, there = RecordingTransport(), RecordingTransport()
    sender, other = (AuditClient(t, service="s", tenant="acme") for t in (here, there))
    assert dict(sender.context_fields) == {}
    with sender.context(session_id="s1"), sender.context(agent_id="a1"):
        sent = json.loads(json.dumps(dict(sender.context_fields)))
    with other.context(**sent):
        other.record(event)
    assert (there.events[0]["session_id"], there.events[0]["agent_id"]) == ("s1", "a1")


@pytest.mark.parametrize(
    "fields", [{"event_id": "x"}, {"input_tokens": 3}, {"session_id": None}, {"sequence": "1"}, {"nope": "x"}]
)
def test_context_takes_text_fields_only(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError, match="is not possible"), client(RecordingTransport()).context(**fields):
        pass


def test_context_follows_tasks_and_threads_keep_apart(event: AuditEvent) -> None:
    transport = RecordingTransport()
    c = client(transport)

    async def step(session: str) -> None:
        with c.context(session_id=session):
            await asyncio.sleep(0)
            c.record(event)
            await asyncio.to_thread(c.record, event)

    async def both() -> None:
        await asyncio.gather(step("one"), step("two"))

    asyncio.run(both())
    assert sorted(e["session_id"] for e in transport.events) == ["one", "one", "two", "two"]
    with c.context(session_id="mine"):
        bare = threading.Thread(target=c.record, args=(event,))
        taken = threading.Thread(target=contextvars.copy_context().run, args=(c.record, event))
        for thread in (bare, taken):
            thread.start()
            thread.join()
    assert [e["session_id"] for e in transport.events[4:]] == ["", "mine"]
