"""Bad input with a planted value goes through every part; no log line, no metric and no health text holds the value."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from connectors.avro import RecordCodec
from tests.export_service import TOKENS, clickhouse, write_principals
from tests.parts import PartProcess
from tests.processing import bodies, event_frame, produce, read_all, rows
from tests.sinks import CleanTopic
from tests.space import Space
from tests.waiting import until

CANARY = "canary-7f3a-Zq"
FORMS = (CANARY, CANARY.encode().hex(), base64.b64encode(CANARY.encode()).decode().rstrip("="), CANARY.lower())
SERVED = ("ingest", "processor", "clickhouse-sink", "archive-sink", "export")
TIME = "2026-01-31T12:00:00Z"


@dataclass
class World:
    """All five parts, with what they said over time: `end` adds what is left."""

    space: Space
    parts: dict[str, PartProcess] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)

    def receive(self, path: str, body: bytes | Any, kind: str = "application/json", **headers: str) -> None:
        token = headers.pop("token", self.space.stack.state.secrets["ingest_token"])
        url = f"http://{self.space.env['AUDITWIRE_INGEST_LISTEN']}{path}"
        sent = {"Authorization": f"Bearer {token}", "Content-Type": kind, **headers}
        body = {"content": body} if isinstance(body, bytes) else {"json": body}
        self.statuses.setdefault("ingest", []).append(httpx.post(url, headers=sent, timeout=60, **body).status_code)

    def export(self, method: str, path: str, token: str = TOKENS["olga@example.com"], **how: Any) -> None:
        url = f"http://{self.space.env['AUDITWIRE_EXPORT_LISTEN']}{path}"
        answer = httpx.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=60, **how)
        self.statuses.setdefault("export", []).append(answer.status_code)

    def said(self) -> dict[str, str]:
        """Everything that each part said in the open."""
        return {name: part.text() + part.get("/metrics")[1] + part.get("/healthz")[1] for name, part in self.parts.items()}


def to_the_receiver(world: World) -> None:
    event = {"event_type": "tool.invoked", "occurred_at": TIME}
    for body in ({CANARY: 1}, {**event, "message": [CANARY]}, {**event, "occurred_at": CANARY}, {**event, "event_id": CANARY}):
        world.receive("/v1/events", [body])
    world.receive("/v1/events", [{**event, "tenant_id": CANARY}])
    world.receive("/v1/events", f'{{"{CANARY}": '.encode())
    world.receive("/v1/events", CANARY.encode(), kind=f"text/{CANARY}")
    world.receive("/v1/events", [event], token=CANARY)
    world.receive(f"/v1/{CANARY}", [event])
    world.receive("/v1/gitlab", [CANARY, {"event_type": CANARY, "created_at": CANARY, "id": {CANARY: 1}}])
    world.receive("/v1/gitlab", f"not json {CANARY}".encode())
    world.receive("/v1/cloudevents", {"specversion": CANARY, "id": CANARY}, kind="application/cloudevents+json")
    world.receive(
        "/v1/cloudevents",
        [{"specversion": "1.0", "type": CANARY * 99, "source": CANARY}],
        kind="application/cloudevents-batch+json",
    )


def to_the_processor(world: World) -> None:
    frame, canary = event_frame(world.space), CANARY.encode()
    bad = [
        {"tenant_id": CANARY},
        {"event_id": CANARY},
        {"event_type": CANARY * 50},
        {"producer_id": CANARY * 50},
        {"message": CANARY + "\0"},
    ]
    broken = [frame + body for n, row in enumerate(bad) for body in bodies(rows(1, 900 + n, **row))]
    good = bodies(rows(1, 950, message=CANARY, event_type=CANARY, tenant_id="demo", occurred_at=1_793_600_000_000_000))
    junk = [canary, b"\0" + canary, frame + canary, frame + bodies(rows(1, 951, message=CANARY))[0][:-9], None]
    produce(world.space, [(0, value) for value in (*broken, *junk, frame + good[0])], [(CANARY, canary)])


def to_the_sinks(world: World) -> None:
    """Only processors may write the clean topic; the sinks must stop before what is no event."""
    topic = CleanTopic(world.space)
    producer, frame = topic._producer, topic._frame
    producer.begin_transaction()
    producer.produce(topic.name, CANARY.encode(), key=CANARY.encode(), partition=2)
    producer.produce(topic.name, frame + CANARY.encode(), partition=3)
    producer.commit_transaction(60)


def to_the_export_service(world: World) -> None:
    day = {"tenant": "demo", "from": "2026-11-02T00:00:00Z", "to": "2026-11-03T00:00:00Z"}
    for change in ({"tenant": CANARY}, {"from": CANARY}, {"format": CANARY}, {"columns": [CANARY]}, {"filters": {CANARY: ["x"]}}):
        world.export("POST", "/v1/extracts", json={**day, **change})
    world.export("POST", "/v1/extracts", json={**day, "filters": {"event_type": [CANARY]}})
    world.export("POST", "/v1/extracts", content=f'{{"{CANARY}'.encode())
    world.export("GET", f"/v1/extracts/{CANARY}")
    world.export("GET", f"/v1/extracts/{CANARY}/files/{CANARY}")
    world.export("GET", f"/{CANARY}?{CANARY}={CANARY}")
    world.export("GET", "/v1/extracts/x", token=CANARY)


@pytest.fixture(scope="module")
def world(new_space: Callable[[], Space]) -> Iterator[World]:
    space = new_space()
    space.provision()
    made = World(space)
    write_principals(space.folder / "export-principals.yaml")
    with ExitStack() as stack:
        for name in SERVED:
            made.parts[name] = stack.enter_context(PartProcess(space, name))
        for part in made.parts.values():
            until(part.healthy, 60, part.story)
        to_the_receiver(made)
        to_the_processor(made)
        until(lambda: "canary" in stored_messages(made), 90, made.parts["processor"].story)
        to_the_export_service(made)
        to_the_sinks(made)
        for name in ("clickhouse-sink", "archive-sink"):
            until(lambda part=made.parts[name]: part.text().count("stopped:") == 2, 90, made.parts[name].story)  # type: ignore[misc]
        yield made


def stored_messages(world: World) -> str:
    with clickhouse(world.space) as client:
        return str(client.rows(f"SELECT message FROM {world.space.name}.events"))


def test_the_value_went_through_every_part(world: World) -> None:
    """Else silence would prove nothing."""
    assert CANARY in stored_messages(world), "processor and ClickHouse sink carried it"
    codec = RecordCodec("quarantined_event", 0)
    held = [codec.decode(r.value or b"") for p in range(4) for r in read_all(world.space, "quarantine", p)]
    reasons = {row["reason"] for row in held}
    assert {
        "bad_frame",
        "bad_avro",
        "bad_tenant_id",
        "bad_event_id",
        "bad_event_type",
        "bad_producer_id",
        "nul_character",
    } <= reasons
    assert {"not_json", "not_an_object"} <= reasons
    assert {422, 401, 404, 415} <= set(world.statuses["ingest"])
    assert {422, 401, 404} <= set(world.statuses["export"])
    for name in ("clickhouse-sink", "archive-sink"):
        assert world.parts[name].health()[0] == 503


def test_no_log_no_metric_and_no_health_text_holds_it(world: World) -> None:
    for name, text in world.said().items():
        assert len(text) > 1000, f"{name} said nothing"
        assert [form for form in FORMS if form in text] == [], name


def test_the_search_finds_a_value_that_is_there(world: World) -> None:
    """Negative control: the search is over what the parts say, and finds what stands in it."""
    text = world.said()["clickhouse-sink"]
    assert "offset" in text
    assert [form for form in FORMS if form in text + f" ({CANARY.lower()})"] == [CANARY.lower()]


def test_every_line_is_one_json_object_with_its_part(world: World) -> None:
    for name, part in world.parts.items():
        lines = part.lines()
        assert {line["part"] for line in lines} <= {name}
        assert all(line["time"].endswith("Z") for line in lines)
    stopped = [line for line in world.parts["clickhouse-sink"].lines() if "stopped:" in line["message"]]
    assert sorted(line["fields"]["partition"] for line in stopped) == [2, 3]
