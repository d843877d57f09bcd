"""The receiver over HTTP with an outbox in memory: routes, answers, quarantine, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sources.fields import COLUMNS
from pipeline.ingest.routes import MANY, ONE
from tests.ingest import AI_NAMES, HEADER_TYPES, NAMES, OTHER_TOKEN, TOKEN, Local, expected, payload

CLOUD = {"specversion": "1.0", "id": "a-1", "source": "/agents", "type": "com.example.run", "time": "2026-01-31T12:00:00Z"}
OWN = {"event_type": "tool.invoked", "occurred_at": "2026-01-31T12:00:00Z", "source_event_id": "7"}


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path)


def test_what_is_said_about_every_fixture_is_what_is_sent(local: Local) -> None:
    for name in NAMES:
        answer = local.post("/v1/gitlab", payload(name), x_gitlab_audit_event_type=HEADER_TYPES.get(name, ""))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "quarantined": 0})
        [event], _ = local.take()
        wanted = expected()[name]
        assert event["event_id"] == wanted["event_id"]
        assert {field: event[field] for field in wanted if field not in {"attributes", "occurred_at"}} == {
            field: value for field, value in wanted.items() if field not in {"attributes", "occurred_at"}
        }
        assert {pair["key"]: pair["value"] for pair in event["attributes"]} == wanted.get("attributes", {})
        assert (event["producer_id"], event["sequence"], event["observed_at"]) == ("", None, None)


@pytest.mark.parametrize("name", AI_NAMES)
def test_object_and_array_give_equal_records(local: Local, name: str) -> None:
    assert local.post("/v1/gitlab", payload(name)).json() == {"accepted": 1, "quarantined": 0}
    single = list(local.outbox.records)
    assert local.post("/v1/gitlab", [payload(name)] * 2, kind="application/json").json() == {"accepted": 2, "quarantined": 0}
    assert local.outbox.records == single * 3


def test_a_retry_at_another_receiver_is_the_same_record(tmp_path: Path) -> None:
    first, second = Local(tmp_path), Local(tmp_path)
    for one in (first, second):
        one.post("/v1/gitlab", [payload(name) for name in AI_NAMES])
    assert first.outbox.records == second.outbox.records
    for record, name in zip(first.outbox.records, AI_NAMES, strict=True):
        spread = hashlib.sha256(payload(name)["id"].encode()).digest()[0]
        assert record.key == f"demo/gitlab/{spread:02x}".encode()
        assert (record.topic, record.value[:5]) == ("audit.raw", b"\0\0\0\0\7")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", "text/plain", "", "image/png"])
def test_gitlab_may_call_its_body_anything(local: Local, kind: str) -> None:
    assert local.post("/v1/gitlab", payload("git_deploy_key"), kind=kind).status_code == 202


def test_both_token_headers_and_the_tenant_of_the_token(local: Local) -> None:
    body = json.dumps(payload("git_deploy_key") | {"tenant_id": "acme"}).encode()
    assert local.request("POST", "/v1/gitlab", body, {"X-Gitlab-Event-Streaming-Token": TOKEN}).status_code == 202
    assert local.post("/v1/gitlab", body, token=OTHER_TOKEN).status_code == 202
    events, _ = local.take()
    assert [event["tenant_id"] for event in events] == ["demo", "acme"]
    assert events[0]["event_id"] != events[1]["event_id"]


@pytest.mark.parametrize("path", ["/v1/gitlab", "/v1/cloudevents", "/v1/events"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer "])
def test_401_says_how_to_get_a_token(local: Local, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = local.request("POST", path, b"{}", headers)
    assert answer.status_code == 401
    assert "auditwired token new" in answer.json()["what_to_do"]
    assert local.outbox.records == []


def test_413_before_the_body_is_read_and_while_it_is_read(tmp_path: Path) -> None:
    local = Local(tmp_path, body_bytes=1000)
    answer = local.post("/v1/gitlab", b" " * 1001)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert "larger than 1000 bytes" in answer.json()["error"]
    assert answer.json()["what_to_do"].startswith("Send fewer events")
    status, asked = asyncio.run(_chunks(local, [b" " * 400] * 50))
    assert (status, asked) == (413, 3)


def test_a_body_of_25_megabytes_is_taken(local: Local) -> None:
    element = payload("ai_tool_response_received")
    element["details"]["response_content"] = ""
    room = 25 * 1024 * 1024 - len(json.dumps(element))
    element["details"]["response_content"] = "x" * room
    body = json.dumps(element).encode()
    assert len(body) == 25 * 1024 * 1024
    assert local.post("/v1/gitlab", body).json() == {"accepted": 1, "quarantined": 0}
    [event], _ = local.take()
    assert event["content_length"] == room
    assert local.post("/v1/gitlab", body + b" ").status_code == 413


def test_415_says_what_is_taken(local: Local) -> None:
    for path, kind in (("/v1/cloudevents", "application/json"), ("/v1/events", "text/plain")):
        answer = local.post(path, {}, kind=kind)
        assert answer.status_code == 415
        assert "Send" in answer.json()["what_to_do"]
    packed = local.post("/v1/gitlab", gzip.compress(b"{}"), content_encoding="gzip")
    assert packed.status_code == 415
    assert "without Content-Encoding" in packed.json()["what_to_do"]


def test_422_names_the_event_and_the_field(local: Local) -> None:
    answer = local.post("/v1/events", [OWN, {**OWN, "tool_nam": "x"}], kind="application/json")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Event 2 of 2 is not taken: tool_nam is not a field: did you mean tool_name?")
    assert local.outbox.records == []
    for path, kind in (("/v1/events", "application/json"), ("/v1/cloudevents", ONE), ("/v1/cloudevents", MANY)):
        answer = local.post(path, b"{not json", kind=kind)
        assert (answer.status_code, answer.json()["error"]) == (422, "The body is not taken: the body is not JSON in UTF-8.")
    assert local.post("/v1/cloudevents", CLOUD, kind=MANY).status_code == 422
    assert local.post("/v1/gitlab", b"").status_code == 422


def test_503_when_kafka_does_not_confirm(local: Local) -> None:
    local.outbox.down = True
    for path, body, kind in (("/v1/gitlab", payload("git_deploy_key"), "x/y"), ("/v1/events", OWN, "application/json")):
        answer = local.post(path, body, kind=kind)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "Send the same request again" in answer.json()["what_to_do"]
    assert local.request("GET", "/healthz", b"", {}).status_code == 503


def test_503_when_too_many_bytes_are_in_flight_and_none_are_left_behind(tmp_path: Path) -> None:
    local = Local(tmp_path, in_flight_bytes=8 * 3000)
    answer = local.post("/v1/gitlab", b" " * 3001)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    for _ in range(5):  # refused, quarantined and disconnected requests give back what they held
        assert local.post("/v1/gitlab", b"x" * 2900).status_code == 202
        assert local.post("/v1/events", b"x" * 2900, kind="application/json").status_code == 422
        assert asyncio.run(_chunks(local, [b" " * 1000] * 2, disconnect=True)) == (None, 3)


def test_other_methods_and_paths(local: Local) -> None:
    assert local.request("GET", "/v1/gitlab", b"", {}).status_code == 405
    assert local.request("GET", "/nothing", b"", {}).status_code == 404
    assert local.request("GET", "/healthz", b"", {}).json() == {"part": "ingest", "healthy": True}


def test_cloudevents_batch_with_unknown_type_and_missing_time(local: Local) -> None:
    late = {name: value for name, value in CLOUD.items() if name != "time"}
    duo = {**CLOUD, "type": "ai_tool_invoked", "data": {"tool_name": "grep"}}
    answer = local.post("/v1/cloudevents", [CLOUD, late, duo, 5], kind=f"{MANY}; charset=utf-8")
    assert answer.json() == {"accepted": 2, "quarantined": 2}
    events, rejects = local.take()
    assert [event["event_type"] for event in events] == ["com.example.run", "tool.invoked"]
    assert [reject["reason"] for reject in rejects] == ["no_time", "not_an_object"]


@pytest.mark.parametrize("count", [0, 1, 500, 501, 2000])
def test_batches_of_every_size(local: Local, count: int) -> None:
    answer = local.post("/v1/cloudevents", [{**CLOUD, "id": str(i)} for i in range(count)], kind=MANY)
    assert answer.json() == {"accepted": count, "quarantined": 0}
    assert len({event["event_id"] for event in local.take()[0]}) == count


def test_cloudevents_structured_and_binary_are_the_same_event(local: Local) -> None:
    local.post("/v1/cloudevents", {**CLOUD, "datacontenttype": "application/json", "data": {"tool_name": "grep"}}, kind=ONE)
    attributes = {f"ce_{name}": value for name, value in CLOUD.items()}
    local.post("/v1/cloudevents", b'{"tool_name":"grep"}', kind="application/json", **attributes)
    first, second = local.outbox.records
    assert first == second


def test_own_json_one_and_many(local: Local) -> None:
    assert local.post("/v1/events", OWN, kind="application/json").json() == {"accepted": 1, "quarantined": 0}
    assert local.post("/v1/events", [OWN] * 3, kind="application/json; charset=utf-8").json() == {"accepted": 3, "quarantined": 0}
    assert len(set(local.outbox.records)) == 1


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (b"not json", ["not_json"]),
        (b'{"id": "\\ud800"}', ["not_json"]),
        (b"\xff\xfe", ["not_json"]),
        (b"5", ["not_an_object"]),
        (b'[1, "a", null]', ["not_an_object"] * 3),
        (b'{"id": 1}', ["no_time"]),
        (b'{"id": 1, "created_at": "soon"}', ["bad_time"]),
        (b'{"id": {}, "created_at": "2026-01-01T00:00:00Z"}', ["bad_id"]),
        (b"[" * 66 + b"]" * 66, ["too_deep"]),
        (b"[" * 300 + b"]" * 300, ["too_deep"]),
        (b"[" * 2000 + b"]" * 2000, ["not_json"]),
        (b"[" + b"1," * 10_000 + b"1]", ["too_many_elements"]),
    ],
)
def test_what_gitlab_sends_and_nobody_understands_is_kept_sealed(local: Local, body: bytes, reasons: list[str]) -> None:
    answer = local.post("/v1/gitlab", body, x_gitlab_audit_event_type="some_type")
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "quarantined": len(reasons)})
    _, rejects = local.take()
    assert [reject["reason"] for reject in rejects] == reasons
    for reject in rejects:
        assert (reject["tenant_id"], reject["stage"], reject["raw_topic"]) == ("demo", "receive", "")
        assert (reject["raw_partition"], reject["raw_offset"]) == (-1, -1)
        assert reject["context"]["x-gitlab-audit-event-type"] == "some_type"
        assert (reject["context"]["route"], reject["context"]["source"]) == ("/v1/gitlab", "gitlab")
        assert TOKEN not in str(reject["context"])
        assert reject["record"].key.startswith(b"demo/gitlab/")
    if reasons[0] in {"not_json", "too_many_elements"}:
        assert (rejects[0]["original"], rejects[0]["original_length"]) == (body, len(body))


def test_one_element_that_is_too_deep_takes_no_other_with_it(local: Local) -> None:
    """An agent chooses the arguments of its tools; it must not be able to hide its neighbours' events."""
    deep = payload("ai_tool_invoked")
    deep["details"]["tool_args"] = json.loads("[" * 500 + "]" * 500)
    bodies = [payload("git_deploy_key"), deep, payload("session_started")]
    assert local.post("/v1/gitlab", bodies).json() == {"accepted": 2, "quarantined": 1}
    _, [reject] = local.take()
    assert (reject["reason"], json.loads(reject["original"])) == ("too_deep", deep)


def test_elements_that_are_too_deep_are_kept_each_by_itself_and_bounded_in_number(local: Local) -> None:
    """orjson does not write what is deeper than 254 levels; the body must not be kept once for each of them."""
    deep = b'[{"a":[' * 150 + b'1,{},[],"x"' + b"]}]" * 150
    body = b"[" + (deep + b",") * 200 + b'"' + b"p" * 100_000 + b'"]'
    assert local.post("/v1/gitlab", body).json() == {"accepted": 0, "quarantined": 201}
    assert sum(len(record.value) for record in local.outbox.records) < 2 * len(body)
    _, rejects = local.take()
    assert {reject["original"] for reject in rejects[:200]} == {deep}
    shallow = b"[" + b"1," * 10_000 + b"[" * 70 + b"]" * 70 + b"]"
    assert local.post("/v1/gitlab", shallow).json() == {"accepted": 0, "quarantined": 1}
    _, [reject] = local.take()
    assert (reject["reason"], reject["original"]) == ("too_many_elements", shallow)


def test_a_request_counts_what_is_made_of_it(tmp_path: Path) -> None:
    local = Local(tmp_path, in_flight_bytes=1 << 20)
    body = b"[" + b"1," * 4_999 + b"1]"
    assert 8 * len(body) < 1 << 20
    assert local.post("/v1/gitlab", body).status_code == 503
    assert local.post("/v1/gitlab", b"[1]").json() == {"accepted": 0, "quarantined": 1}, "all of it was given back"


def test_a_reject_with_long_headers_fits_the_smallest_limit_of_a_producer(local: Local) -> None:
    long = {"x_gitlab_audit_event_type": "t" * 60_000}
    assert local.post("/v1/gitlab", b"x" * 900_000, kind="t" * 60_000, **long).status_code == 202
    [record] = local.outbox.records
    assert len(record.key) + len(record.value) < 1_000_000
    _, [reject] = local.take()
    assert reject["context"]["x-gitlab-audit-event-type"] == "t" * 1024


@pytest.mark.parametrize("checked", [True, False])
def test_what_a_topic_does_not_take_is_not_acknowledged(local: Local, checked: bool) -> None:
    """With the check off it is acknowledged, and nothing can store it."""
    assert local.app.envelope is not None
    local.app.envelope = envelope = replace(local.app.envelope, check_sizes=checked)
    assert {"audit.raw": 1_047_564, "audit.quarantine": 2_096_128}.items() <= envelope.limits.items()
    vars(envelope)["limits"] = {"audit.raw": 400, "audit.quarantine": 400}
    fits, large = payload("git_deploy_key"), b"not json" * 60
    for body in (fits, large):
        envelope.limits["audit.raw"] = 4000 if body is fits else 10
        answer = local.post("/v1/gitlab", body)
        assert answer.status_code == (202 if body is fits or not checked else 413), answer.text
    assert len(local.outbox.records) == (1 if checked else 2)


def test_what_is_too_much_to_keep_is_not_acknowledged(local: Local) -> None:
    for unit in (b'{"k":1},', b'"' + b"x" * 100 + b'",'):
        body = b"[" + unit * (2_000_000 // len(unit)) + b"1]"
        answer = local.post("/v1/gitlab", body)
        assert (answer.status_code, answer.json()["what_to_do"]) == (413, "Send fewer events in one request; none was taken.")
    assert local.outbox.records == []


def test_a_body_of_25_megabytes_that_nobody_understands_is_cut_to_fit(local: Local) -> None:
    body = b"x" * (25 * 1024 * 1024)
    assert local.post("/v1/gitlab", body).json() == {"accepted": 0, "quarantined": 1}
    [record] = local.outbox.records
    assert len(record.value) < 1_000_000
    _, [reject] = local.take()
    assert (reject["original_length"], reject["original"]) == (len(body), body[:900_000])


NAMED = st.sampled_from(
    ["id", "created_at", "details", "event_type", "author_id", "workflow_id", "time", "specversion", "source", "type"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | NAMED, inner, max_size=6),
    max_leaves=20,
)
LIKELY = st.fixed_dictionaries(
    {"id": st.integers() | st.text(max_size=5), "created_at": st.just("2026-01-01T00:00:00Z") | st.text(max_size=5)},
    optional={
        "details": JSON,
        "event_type": st.sampled_from(AI_NAMES) | JSON,
        "author_id": JSON,
        "entity_id": JSON,
        "workflow_id": JSON,
    },
)
COLUMN_NAMES = st.sampled_from(sorted(COLUMNS))
CLOUDS = st.dictionaries(st.sampled_from(["subject", "sequence", "data", "traceparent", "x"]), JSON).flatmap(
    lambda extra: st.dictionaries(COLUMN_NAMES | st.text(max_size=5), JSON, max_size=5).map(
        lambda data: {"data": data, "type": "ai_tool_invoked", **CLOUD, **extra}
    )
)
OWNS = st.dictionaries(COLUMN_NAMES, JSON, max_size=5).map(lambda fields: {**fields, **OWN})
BODIES = st.binary(max_size=200) | (JSON | CLOUDS | OWNS | st.lists(CLOUDS | OWNS, max_size=3)).map(
    lambda value: json.dumps(value).encode()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON | LIKELY | st.lists(LIKELY | JSON, max_size=4))
def test_every_element_of_any_json_is_accepted_or_quarantined(local: Local, value: Any) -> None:
    answer = local.post("/v1/gitlab", json.dumps(value).encode())
    assert answer.status_code == 202
    elements = value if isinstance(value, list) else [value]
    assert sum(answer.json().values()) == len(elements)
    events, rejects = local.take()
    assert (len(events), len(rejects)) == (answer.json()["accepted"], answer.json()["quarantined"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, kind=st.sampled_from([ONE, MANY, "application/json"]))
@pytest.mark.parametrize("path", ["/v1/cloudevents", "/v1/events"])
def test_any_body_gets_an_answer_that_says_what_became_of_it(local: Local, path: str, body: bytes, kind: str) -> None:
    answer = local.post(path, body, kind=kind)
    records, local.outbox.records = local.outbox.records, []
    if answer.status_code == 202:
        assert sum(answer.json().values()) == len(records)
    else:
        assert answer.status_code in {413, 415, 422}
        assert set(answer.json()) == {"error", "what_to_do"}
        assert records == []


async def _chunks(local: Local, chunks: list[bytes], *, disconnect: bool = False) -> tuple[int | None, int]:
    """A body in pieces without a length; returns the status (None: no answer) and how many messages were asked for."""
    asked, statuses = 0, list[int]()

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if disconnect and asked > len(chunks):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks[asked - 1], "more_body": disconnect or asked < len(chunks)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    await local.app({"type": "http", "method": "POST", "path": "/v1/gitlab", "headers": headers}, receive, send)
    return (statuses[0] if statuses else None), asked
