"""Questions about recorded events, and what the offered event types name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from auditwire import EVENT_TYPES, AuditEvent
from auditwire._event import KINDS
from auditwire.pytest_plugin import audit
from auditwire.testing import Recorded
from connectors.sources.gitlab import KINDS as GITLAB
from pipeline.reference import model

__all__ = ["audit"]


def test_one_is_exactly_one_and_tells_what_there_is_instead(audit: Recorded) -> None:
    with pytest.raises(AssertionError, match="0 events are .*expected exactly 1. Nothing was recorded."):
        audit.one("tool.invoked")
    audit.client.record(AuditEvent(event_type="tool.invoked", tool_name="search"))
    assert audit.one("tool.invoked")["tool_name"] == audit.one(tool_name="search")["tool_name"] == "search"
    with pytest.raises(AssertionError) as caught:
        audit.one("tool.invoked", tool_name="refund")
    assert "0: tool.invoked (tool_name is 'search')" in str(caught.value)
    audit.client.record(AuditEvent(event_type="tool.invoked", tool_name="search"))
    with pytest.raises(AssertionError, match="2 events are"):
        audit.one("tool.invoked")
    assert audit.types() == ["tool.invoked"] * 2


def test_none_is_none(audit: Recorded) -> None:
    audit.none("tool.invoked")
    audit.client.record(AuditEvent(event_type="tool.invoked"))
    audit.none("tool.invoked", outcome="success")
    with pytest.raises(AssertionError, match="1 events are .*expected none"):
        audit.none("tool.invoked")


def test_a_misspelt_field_is_no_difference(audit: Recorded) -> None:
    audit.client.record(AuditEvent(event_type="x"))
    with pytest.raises(TypeError, match="no field tool_nam"):
        audit.none("x", tool_nam="search")


def test_the_async_client_records_into_the_same_place(audit: Recorded) -> None:
    async def work() -> None:
        await audit.async_client.record(AuditEvent(event_type="x"))

    asyncio.run(work())
    assert audit.one("x")["tenant_id"] == "test"


def test_offered_types_name_real_fields() -> None:
    for name, offered in EVENT_TYPES.items():
        assert name == offered.name
        assert offered.when.endswith(".")
        assert set(offered.fields) <= KINDS.keys(), name


def test_what_gitlab_sends_of_agents_is_offered_too() -> None:
    assert {kind.name for kind in GITLAB.values()} - EVENT_TYPES.keys() == set()


def test_controls_that_ship_rest_on_types_that_are_offered() -> None:
    text = Path(model.__file__).with_name("controls.yaml").read_text(encoding="utf-8")
    wanted = {t for control in yaml.safe_load_all(text) for t in control["event_types"]}
    own = ("export.", "reference.")
    exact = {t for t in wanted if not t.endswith("*") and not t.startswith(own)}
    assert exact - EVENT_TYPES.keys() == set()
