"""Development mode: what is printed, that it is the real client otherwise, and that it can be mistaken for nothing else."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from auditwire import AsyncAuditClient, AuditClient, AuditEvent, DeliveryError, InvalidEventError, PrintTransport
from auditwire._print import NOTICE
from auditwire.testing import RecordingTransport

NOON = 1795348800000000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(*events: AuditEvent, out: io.StringIO | None = None) -> list[str]:
    out = out or io.StringIO()
    client = AuditClient.development("shop", tenant="demo", stream=out, clock=lambda: NOON)
    for event in events:
        client.record(event)
    client.close()
    return out.getvalue().splitlines()


def test_it_says_once_that_nothing_is_stored_and_prints_a_line_each() -> None:
    lines = printed(*[AuditEvent(event_type="tool.invoked", outcome="success", tool_name="search")] * 2)
    assert lines[0] == NOTICE
    assert [re.sub(r'event_id="[0-9a-f-]{36}"', "ID", line) for line in lines[1:]] == [
        '12:00:00.000000 demo/shop #0 tool.invoked success ID tool_name="search"',
        '12:00:00.000000 demo/shop #1 tool.invoked success ID tool_name="search"',
    ]


def test_every_kind_of_field_shows_and_absent_ones_do_not() -> None:
    event = AuditEvent(
        event_type="model.responded",
        input_tokens=0,
        cost_usd=0.5,
        tools_offered=["a", "b"],
        attributes={"k": "v"},
        prompt="two\nlines",
    )
    line = printed(event)[1]
    for words in ("input_tokens=0", "cost_usd=0.5", 'tools_offered=["a", "b"]', 'attributes={"k": "v"}', r'prompt="two\nlines"'):
        assert words in line
    assert "output_tokens" not in line and "processed_" not in line and "None" not in line


def test_a_value_cannot_command_the_terminal_or_look_like_another_line() -> None:
    evil = "\x1b[2J\x9b31m\u2028\u202eevil\r\n12:00 x"
    lines = printed(AuditEvent(event_type=f"a{evil}", tenant_id=f"b{evil}", tool_name=evil, attributes={evil: evil}))
    assert len(lines) == 2
    assert not set(lines[1]) & {"\x1b", "\x9b", "\u2028", "\u202e", "\r"}


def test_long_texts_show_their_beginning() -> None:
    line = printed(AuditEvent(event_type="x", prompt="p" * 5000))[1]
    assert "p" * 199 + "… (5002 characters)" in line and len(line) < 400


def test_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    event = AuditEvent(event_type="x", outcome="denied")
    assert "\x1b" not in "".join(printed(event))
    coloured = printed(event, out=Terminal())
    assert coloured[0] == f"\x1b[1;31m{NOTICE}\x1b[0m" and "\x1b[1;36mx\x1b[0m" in coloured[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(printed(event, out=Terminal()))


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x" * 70_000},
        {"tools_offered": ["t"] * 300},
        {"prompt": 5},
        {"event_id": "7"},
        {"tool_name": "\0"},
        {"event_type": ""},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_event_fares_as_with_the_real_client(fields: dict[str, Any]) -> None:
    def fate(transport: RecordingTransport | PrintTransport) -> tuple[object, ...]:
        first: object
        client = AuditClient(transport, service="shop", tenant="demo")
        try:
            first = client.record(AuditEvent(**{"event_type": "x", **fields})).sequence
        except InvalidEventError as error:
            first = str(error)
        return first, client.record(AuditEvent(event_type="x")).sequence

    out = io.StringIO()
    stored = RecordingTransport()
    assert fate(PrintTransport(out)) == fate(stored)
    cut = stored.events[0]["truncated_fields"]
    assert not cut or f'truncated_fields=["{cut[0]}"]' in out.getvalue()


def test_the_variable_does_it_too_and_wins_over_kafkas_settings(capsys: pytest.CaptureFixture[str]) -> None:
    env = {"AUDITWIRE_TRANSPORT": "print", "AUDITWIRE_KAFKA_BOOTSTRAP": "127.0.0.1:9", "AUDITWIRE_TENANT": "acme"}
    with AuditClient.from_env("shop", env=env) as client:
        assert client.record(AuditEvent(event_type="x")).wait(5).topic == "audit.raw"
    assert "acme/shop #0 x" in capsys.readouterr().err


def test_the_async_client_prints_too() -> None:
    async def main() -> None:
        out = io.StringIO()
        async with AsyncAuditClient.development("shop", stream=out) as client:
            await client.record(AuditEvent(event_type="x"))
            assert "development/shop #0 x" in out.getvalue()

    asyncio.run(main())


def test_an_event_that_cannot_be_printed_is_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    client = AuditClient.development("shop", stream=out)
    out.close()
    with caplog.at_level(logging.CRITICAL), pytest.raises(DeliveryError, match="keep standard error open"):
        client.record(AuditEvent(event_type="x")).wait(5)


FORKING = """
import os
from auditwire import AuditClient, AuditEvent
client = AuditClient.development("forked")
client.record(AuditEvent(event_type="parent")).wait(5)
child = os.fork()
client.record(AuditEvent(event_type="after")).wait(5)
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_child_prints_with_numbers_of_its_own() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("AUDITWIRE_")}
    done = subprocess.run([sys.executable, "-c", FORKING], env=env, capture_output=True, text=True, timeout=60, check=True)
    found = sorted(re.findall(r"#\d \w+", done.stderr))
    assert found == ["#0 after", "#0 parent", "#1 after"]
    assert done.stderr.count("STORED NOWHERE") == 1
