"""redact=True: nothing that leaves the client holds a secret or, in content, personal data."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from auditwire import AuditClient, AuditEvent, ConfigurationError, InvalidEventError, Mode, SpoolFolder
from auditwire._limits import FIELD_BYTES
from auditwire._settings import load
from auditwire.testing import RecordingTransport
from tests.modes import client

TOKEN = "glpat-" + "aB3dE6gH9jK2mN5pQ8sT"
MASK = "[REDACTED:gitlab_token]"


def stored(event: AuditEvent, **options: Any) -> dict[str, Any]:
    transport = RecordingTransport()
    client(transport, **{"redact": True, **options}).record(event)
    return transport.events[0]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_what_is_stored_is_masked_in_every_mode_and_the_event_is_not_changed(mode: Mode) -> None:
    event = AuditEvent(
        event_type="tool.invoked",
        actor_id="alice@example.com",
        entity_path=f"group/{TOKEN}",
        prompt=f"I am alice@example.com, use {TOKEN}",
        tools_offered=["search", TOKEN],
        attributes={"alice@example.com": "alice@example.com", TOKEN: "v"},
    )
    after = stored(event, mode=mode)
    assert after["prompt"] == f"I am [REDACTED:email], use {MASK}"
    assert (after["actor_id"], after["entity_path"]) == ("alice@example.com", f"group/{MASK}"), "ids of people stay in facts"
    assert after["tools_offered"] == ["search", MASK]
    assert after["attributes"] == {"alice@example.com": "[REDACTED:email]", MASK: "v"}
    assert TOKEN in event.prompt and event.tools_offered == ["search", TOKEN] and TOKEN in event.attributes


def test_without_it_events_are_stored_as_they_are() -> None:
    assert stored(AuditEvent(event_type="x", prompt=TOKEN), redact=False)["prompt"] == TOKEN


def test_what_is_printed_is_masked() -> None:
    out = io.StringIO()
    with AuditClient.development("shop", stream=out, redact=True) as c:
        c.record(AuditEvent(event_type="x", prompt=TOKEN))
    assert MASK in out.getvalue() and TOKEN not in out.getvalue()


@pytest.mark.parametrize("redact", [True, False])
def test_what_is_spooled_is_masked(tmp_path: Path, redact: bool) -> None:
    transport = RecordingTransport()
    with client(transport, mode="spooled", spool=SpoolFolder(tmp_path, bytes(range(32))), redact=redact) as c:
        c.record(AuditEvent(event_type="x", prompt=TOKEN))
        c.flush()
        assert [event["prompt"] for event in transport.events] == [MASK if redact else TOKEN]


def test_context_is_masked_and_the_mode_goes_by_the_event_type_that_was_given() -> None:
    transport = RecordingTransport()
    c = client(transport, redact=True, mode={TOKEN: "blocking"})
    with c.context(session_id=TOKEN):
        c.record(AuditEvent(event_type=TOKEN))
    after = transport.events[0]
    assert (after["session_id"], after["event_type"], after["audit_mode"]) == (MASK, MASK, "blocking")


def test_the_end_of_a_text_that_is_cut_is_masked() -> None:
    text = "x " * ((FIELD_BYTES - 14) // 2) + TOKEN
    after = stored(AuditEvent(event_type="x", response=text))
    assert after["response"].endswith("x [REDACTED:cut]") and after["truncated_fields"] == [f"response={len(text)}"]


def test_what_masks_make_too_long_is_cut_again() -> None:
    after = stored(AuditEvent(event_type="x", prompt="a@b.co " * 9000, attributes={"k" * FIELD_BYTES: "a@b.co"}))
    assert FIELD_BYTES - 64 < len(after["prompt"]) <= FIELD_BYTES and "@" not in after["prompt"]
    assert after["truncated_fields"] == [f"prompt={9000 * len('[REDACTED:email] ')}"]


def test_pairs_are_kept_whose_keys_masks_make_equal() -> None:
    other = TOKEN.replace("aB3", "bC4")
    after = stored(AuditEvent(event_type="x", attributes={TOKEN: "1", other: "2", "k": "3"}))
    assert after["attributes"] == {MASK: "1", f"{MASK}#1": "2", "k": "3"}


def test_wrong_values_are_named_as_ever() -> None:
    with pytest.raises(InvalidEventError, match="field prompt must be text"):
        stored(AuditEvent(event_type="x", prompt=5))  # type: ignore[arg-type]


def test_the_variable_turns_it_on() -> None:
    env = {"AUDITWIRE_TRANSPORT": "print"}
    assert [load({**env, "AUDITWIRE_REDACT": text}).redact for text in ("true", "false", "")] == [True, False, False]
    with pytest.raises(ConfigurationError, match="AUDITWIRE_REDACT must be true or false"):
        load({**env, "AUDITWIRE_REDACT": "yes"})


def test_base64_is_decoded_where_that_is_asked_for() -> None:
    event = AuditEvent(event_type="x", prompt="ctx bWFpbCBib2JAZXhhbXBsZS5jb20=")
    assert stored(event)["prompt"] == event.prompt
    assert stored(event, redact_encoded="base64")["prompt"] == "ctx [REDACTED:email]"
    env = {"AUDITWIRE_TRANSPORT": "print"}
    said = [load({**env, "AUDITWIRE_REDACT_ENCODED": text}).redact_encoded for text in ("base64", "percent", "")]
    assert said == ["base64", "percent", "percent"]
    with pytest.raises(ConfigurationError, match=r"AUDITWIRE_REDACT_ENCODED must be percent \(the default\) or base64"):
        load({**env, "AUDITWIRE_REDACT_ENCODED": "all"})


@pytest.mark.parametrize("library", ["phonenumbers", "stdnum"])
def test_a_library_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=rf"needs {library}.*pip install './connectors/sdk\[redact\]'"):
        client(RecordingTransport(), redact=True)
    client(RecordingTransport())
