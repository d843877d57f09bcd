"""Real traffic through all parts: every counter says what the stores hold, and labels are from the closed lists."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from connectors.avro import RecordCodec
from tests import archive_bucket
from tests.export_service import TOKENS, wait, write_principals
from tests.parts import PartProcess
from tests.processing import bodies, event_frame, ledger, produce, read_all, rows
from tests.scrape import Sample, strange, total
from tests.sinks import clickhouse
from tests.space import Space
from tests.waiting import until

SERVED = (
    *("ingest", "processor", "clickhouse-sink", "archive-sink", "ledger-sink"),
    *("lag-exporter", "export", "reference-publisher"),
)


@dataclass
class World:
    """All parts, with traffic gone through them; ``begun`` is when it was sent, ``early`` what the sinks said then."""

    space: Space
    parts: dict[str, PartProcess] = field(default_factory=dict)
    begun: float = 0.0
    early: dict[str, list[Sample]] = field(default_factory=dict)

    def total(self, part: str, name: str, **labels: str) -> float:
        return total(self.parts[part].scrape(), name, **labels)

    def post(self, path: str, body: Any, token: str = "") -> httpx.Response:
        state = self.space.stack.state
        headers = {"Authorization": f"Bearer {token or state.secrets['ingest_token']}"}
        return httpx.post(
            self.space.env["AUDITWIRE_INGEST_LISTEN"].join(("http://", path)), json=body, headers=headers, timeout=30
        )

    def settled(self) -> None:
        """Every raw record has its fate, every clean event is in both stores."""
        exporter = self.parts["lag-exporter"]
        until(
            lambda: exporter.health()[0] == 200 and total(exporter.scrape(), "auditwire_group_lag") == 0 and self._seen(),
            120,
            lambda: "\n".join(part.story() for part in self.parts.values()),
        )

    def _seen(self) -> bool:
        clean = self.total("processor", "auditwire_processor_events_total", outcome="clean")
        clean += self.total("processor", "auditwire_processor_events_total", outcome="conflict")
        stored = [self.total(f"{s}-sink", "auditwire_sink_events_total") for s in ("clickhouse", "archive")]
        return clean > 0 and stored == [clean, clean]

    def same_read(self) -> tuple[list[dict[str, Any]], list[Sample]]:
        """Ledger and counters of the same moment: an audit client's heartbeat may come between the two at any time."""
        entries: list[dict[str, Any]] = []
        page: list[Sample] = []

        def equal() -> bool:
            entries[:] = [entry for p in range(4) for entry in ledger(self.space, p)]
            page[:] = self.parts["processor"].scrape()
            return bool(total(page, "auditwire_processor_events_total") == sum(entry["read"] for entry in entries))

        until(equal, 30, lambda: f"the processor counts other events than the {sum(e['read'] for e in entries)} of its ledger")
        return entries, page

    def same_stored(self, sink: str) -> tuple[str, list[Sample]]:
        """Rows in ClickHouse and counters of a sink at the same moment."""
        rows_stored, page = "", list[Sample]()

        def equal() -> bool:
            nonlocal rows_stored
            with clickhouse(self.space) as client:
                ((rows_stored,),) = client.rows(f"SELECT count() FROM {self.space.name}.events")
            page[:] = self.parts[f"{sink}-sink"].scrape()
            return total(page, "auditwire_sink_events_total") == int(rows_stored)

        until(equal, 30, lambda: f"{sink}-sink counts other events than the {rows_stored} that are stored")
        return rows_stored, page


def traffic(world: World) -> None:
    """40 clean events, a duplicate, a conflict, rejects of the processor and of the receiver, refused requests."""
    space, frame = world.space, event_frame(world.space)
    events = rows(30, occurred_at=int(time.time() * 1e6) - 5_000_000)
    produce(space, [(n % 4, frame + body) for n, body in enumerate(bodies(events))])
    produce(space, [(0, frame + bodies(events)[0]), (0, frame + bodies([{**events[0], "message": "another"}])[0])])
    produce(space, [(1, b"no frame"), (1, frame + b"\x01"), (2, frame + bodies(rows(1, 500, tenant_id="No Tenant"))[0])])
    elements = [
        {"event_type": "tool.invoked", "occurred_at": "2026-01-31T12:00:00Z", "source_event_id": f"e{i}"} for i in range(10)
    ]
    assert world.post("/v1/events", elements).status_code == 202
    assert world.post("/v1/events", [{"event_type": 7}]).status_code == 422
    assert world.post("/v1/gitlab", ["no object", {}]).status_code == 202
    assert world.post("/v1/events", elements, token="unknown").status_code == 401


def extract(world: World) -> None:
    """An extract of the receiver's ten events, and a request without a token."""
    url = f"http://{world.space.env['AUDITWIRE_EXPORT_LISTEN']}"
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKENS['olga@example.com']}"}, timeout=60) as client:
        day = {"tenant": "demo", "from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
        answer = client.post("/v1/extracts", json=day)
        assert answer.status_code == 202, answer.text
        assert wait(client, answer.json()["id"])["state"] == "done"
    assert httpx.get(f"{url}/v1/extracts/x", timeout=60).status_code == 401


@pytest.fixture(scope="module")
def world(new_space: Callable[[], Space]) -> Iterator[World]:
    space = new_space()
    space.provision()
    write_principals(space.folder / "export-principals.yaml")
    made = World(space)
    with ExitStack() as stack:
        for name in SERVED:
            made.parts[name] = stack.enter_context(PartProcess(space, name))
        for part in made.parts.values():
            until(part.healthy, 60, part.story)
        made.begun = time.time()
        traffic(made)
        made.settled()
        made.early = {sink: made.parts[f"{sink}-sink"].scrape() for sink in ("clickhouse", "archive")}
        extract(made)
        made.settled()  # the service's own audit events too
        yield made


def test_the_processor_counts_what_its_ledger_says(world: World) -> None:
    entries, page = world.same_read()
    sums = {name: sum(entry[name] for entry in entries) for name in ("read", "clean", "conflicts", "duplicates", "quarantined")}
    said = {o: total(page, "auditwire_processor_events_total", outcome=o) for o in ("conflict", "duplicate", "quarantined")}
    assert said == {"conflict": sums["conflicts"], "duplicate": sums["duplicates"], "quarantined": sums["quarantined"]}
    assert (sums["conflicts"], sums["duplicates"], sums["quarantined"]) == (1, 1, 3)
    assert total(page, "auditwire_processor_transactions_total") == len(entries)
    clean = sum(total(page, "auditwire_processor_events_total", outcome=outcome) for outcome in ("clean", "conflict"))
    assert clean == sums["clean"]
    assert total(page, "auditwire_processor_captured_events_total", level="request_response") == clean
    assert total(page, "auditwire_processor_classed_events_total", **{"class": "standard"}) == clean
    assert total(page, "auditwire_processor_batch_events_sum") == sums["read"]
    assert total(page, "auditwire_processor_batch_events_count") == len(entries)
    identities = sum(len(entry["identities"]) // 16 for entry in entries)
    assert total(page, "auditwire_processor_dedupe_identities") == identities
    assert total(page, "auditwire_processor_dedupe_bytes") == 20 * identities


def test_rejects_by_reason_and_bytes_are_those_in_quarantine(world: World) -> None:
    codec = RecordCodec("quarantined_event", 0)
    held = [record for p in range(4) for record in read_all(world.space, "quarantine", p)]
    decoded = [(codec.decode(record.value or b""), len(record.value or b"")) for record in held]
    for part, name, size in (
        ("processor", "processor_rejects_total", "processor_quarantine_bytes_total"),
        ("ingest", "ingest_quarantined_total", "ingest_quarantine_bytes_total"),
    ):
        mine = [(row, length) for row, length in decoded if (row["stage"] == "receive") == (part == "ingest")]
        reasons = Counter(row["reason"] for row, _ in mine)
        scraped = world.parts[part].scrape()
        assert {s.labels["reason"]: s.value for s in scraped if s.name == f"auditwire_{name}" and s.value} == reasons
        assert total(scraped, f"auditwire_{size}") == sum(length for _, length in mine)
        assert reasons
    topic = world.total("lag-exporter", "auditwire_topic_records", topic="quarantine")
    assert topic >= len(held), "offsets of the topic, marks of transactions included"


def test_the_receiver_counts_requests_and_events(world: World) -> None:
    assert world.total("ingest", "auditwire_ingest_events_total", route="/v1/events") == 10
    requests = {
        (s.labels["route"], s.labels["status"]): s.value
        for s in world.parts["ingest"].scrape()
        if s.name == "auditwire_ingest_requests_total"
    }
    assert requests == {("/v1/events", "202"): 1, ("/v1/events", "422"): 1, ("/v1/gitlab", "202"): 1, ("/v1/events", "401"): 1}
    assert world.total("ingest", "auditwire_ingest_seconds_count") == 4


def test_the_sinks_count_what_the_stores_hold(world: World) -> None:
    for sink in ("clickhouse", "archive"):
        rows_stored, scraped = world.same_stored(sink)
        assert total(scraped, "auditwire_sink_range_events_sum") == int(rows_stored)
        assert total(scraped, "auditwire_sink_range_events_count") == total(scraped, "auditwire_sink_ranges_total")
        assert total(scraped, "auditwire_sink_lag") == 0
        assert total(scraped, "auditwire_partitions_owned", part=f"{sink}-sink") == 4
        assert total(scraped, "auditwire_rebalances_total", change="assigned") >= 4
    bucket = archive_bucket.bucket(world.space, "operator")
    sizes = [version.size for version in bucket.versions("events/")]
    assert world.total("archive-sink", "auditwire_archive_objects_total", how="created") == len(sizes)
    assert world.total("archive-sink", "auditwire_archive_bytes_total") == sum(sizes)
    assert world.total("archive-sink", "auditwire_archive_spill_limit_bytes") == 4 << 30


def test_latency_is_counted_for_every_event_and_is_plausible(world: World) -> None:
    took = time.time() - world.begun
    for sink in ("clickhouse", "archive"):
        scraped = world.early[sink]
        stored = total(scraped, "auditwire_sink_events_total")
        for since in ("emitted", "received"):
            assert total(scraped, "auditwire_sink_latency_seconds_count", since=since) == stored
        assert 0 < total(scraped, "auditwire_sink_latency_seconds_sum", since="received") < stored * took * 1.1
        assert total(scraped, "auditwire_sink_latency_seconds_bucket", since="emitted", le="2.5") == 0, "emitted 5 s and more ago"
        old = total(scraped, "auditwire_sink_latency_seconds_bucket", since="emitted", le="+Inf")
        old -= total(scraped, "auditwire_sink_latency_seconds_bucket", since="emitted", le="86400.0")
        assert old == 10, "the receiver's events happened in January"


def test_the_export_service_counts_extracts_and_answers(world: World) -> None:
    assert world.total("export", "auditwire_export_jobs_total", outcome="done") == 1
    assert world.total("export", "auditwire_export_jobs_total", outcome="failed") == 0
    assert world.total("export", "auditwire_export_rows_total") == 10
    assert world.total("export", "auditwire_export_requests_total", route="/v1/extracts", status="202") == 1
    assert world.total("export", "auditwire_export_requests_total", route="/v1/extracts/{id}", status="401") == 1


@pytest.mark.parametrize("part", SERVED)
def test_labels_are_from_the_lists_and_no_tenant_shows(world: World, part: str) -> None:
    process = world.parts[part]
    scraped = process.scrape()
    assert strange(scraped) == []
    text = process.get("/metrics")[1]
    assert "tenant-0" not in text
    assert "demo" not in text
    assert total(scraped, "auditwire_up", part=part) == 1
    assert total(scraped, "auditwire_build_info", part=part) == 1
    assert total(scraped, "process_resident_memory_bytes") > 10e6
    assert total(scraped, "process_cpu_seconds_total") > 0
    assert total(scraped, "process_start_time_seconds") == pytest.approx(world.begun, abs=120)


@pytest.mark.parametrize("part", SERVED)
def test_every_log_line_is_json(world: World, part: str) -> None:
    lines = world.parts[part].lines()
    assert {line["part"] for line in lines} <= {part}
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)


def test_the_exporter_sees_all_groups_with_their_members(world: World) -> None:
    for group in ("processor", "clickhouse-sink", "archive-sink", "ledger-sink"):
        assert world.total("lag-exporter", "auditwire_group_members", group=group) == 1
        assert world.total("lag-exporter", "auditwire_group_partitions_unowned", group=group) == 0
        assert world.total("lag-exporter", "auditwire_group_stalled", group=group) == 0
    assert world.total("lag-exporter", "auditwire_topic_partitions") == world.total(
        "lag-exporter", "auditwire_topic_partitions_wanted"
    )
