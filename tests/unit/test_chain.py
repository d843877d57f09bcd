"""The chain on plain records: every fate, order, sizes, and records on which a stage fails."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest

import schemas
from connectors import avro
from connectors.kafka_read import Record
from pipeline import rejects
from pipeline.batch import Batch
from pipeline.chain import MAX_EVENT_BYTES, Context, Result, StageFailed, process
from pipeline.dedupe import State
from pipeline.reference.model import EMPTY, Snapshot, Tool
from pipeline.sealing import Sealer, SealingError
from pipeline.shorten import KEEP_BYTES
from pipeline.stages import Lookup, enrich, redact, validate
from tests.processing import bodies, rows

SECRET = "glpat-A1b2C3d4E5f6G7h8I9j0"
SEALER = Sealer(base64.b64encode(bytes(32)).decode())
CURRENT = schemas.schema_text("audit_event")
WRITERS: Mapping[int, str | None] = {1: CURRENT, 2: None}


def context(limit: int = MAX_EVENT_BYTES, **stages: Any) -> Context:
    return Context("t.raw", 3, "standard", SEALER, limit, {"validate": validate, "enrich": enrich, "redact": redact, **stages})


def raw(values: Sequence[bytes | None], headers: tuple[tuple[str, bytes | None], ...] = ()) -> list[Record]:
    return [Record(3, 100 + n, 1_700_000_000_000, b"key-%d" % n, headers, value) for n, value in enumerate(values)]


def framed(events: Sequence[dict[str, Any]]) -> list[bytes | None]:
    return [avro.frame(1) + body for body in bodies(events)]


def run(values: Sequence[bytes | None], state: State | None = None, ctx: Context | None = None, isolate: bool = False) -> Result:
    end = 100 + len(values)
    return process(
        ctx or context(), state or State(24), raw(values), 100, end, writers=WRITERS, lookup=Lookup(EMPTY), isolate=isolate
    )


def columns(result: Result) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = avro.decode([body for _, body in result.events], CURRENT).to_pylist() if result.events else []
    return listed


def test_a_batch_leaves_nothing_for_the_garbage_collector() -> None:
    values = [*framed(rows(20)), b"\0\0\0\0\1 no event"]
    run(values)
    gc.collect()
    gc.disable()
    try:
        run(values)
        left = gc.collect()
    finally:
        gc.enable()
    assert left == 0, f"{left} objects in cycles: a processor, which collects rarely, would hold on to their batches"


def test_events_keep_their_order_and_key_between_rejects() -> None:
    good = framed(rows(4))
    result = run([good[0], b"no frame", good[1], avro.frame(2) + b"x", good[2], avro.frame(1) + b"\xff", None, good[3]])
    assert [e["message"] for e in columns(result)] == [f"message number {n}" for n in range(4)]
    assert [key for key, _ in result.events] == [b"key-0", b"key-2", b"key-4", b"key-7"]
    assert [e["processed_raw_offset"] for e in columns(result)] == [100, 102, 104, 107]
    reasons = [(q["raw_offset"], q["reason"]) for q in result.quarantine]
    assert reasons == [(101, "bad_frame"), (103, "unknown_schema"), (105, "bad_avro"), (106, "bad_frame")]
    entry = result.entry
    assert (entry["read"], entry["clean"], entry["quarantined"], entry["duplicates"]) == (8, 4, 4, 0)


def test_nothing_that_a_producer_puts_into_the_processors_columns_is_left() -> None:
    forged: dict[str, Any] = {
        field.name: True if pa.types.is_boolean(field.type) else [SECRET] if pa.types.is_list(field.type) else SECRET
        for field in avro.event_arrow_schema()
        if field.name.startswith("processed_") and not field.nullable
    }
    numbers = {f"processed_{name}": 987_654 for name in ("ingested_at", "raw_partition", "raw_offset")}
    (event,) = columns(run(framed(rows(1, **forged, **numbers))))
    (honest,) = columns(run(framed(rows(1))))
    assert {n: v for n, v in event.items() if n.startswith("processed_")} == {
        n: v for n, v in honest.items() if n.startswith("processed_")
    }
    assert event["processed_controls"] and event["processed_flags"] == [], "built-in controls and no flags without reference data"


def test_enrichment_sees_names_before_redaction_and_what_it_writes_is_not_redacted() -> None:
    tool = Tool(f"run {SECRET}", "", "", f"owner {SECRET}", "high", "write", {})
    lookup = Lookup(Snapshot("4", tools=(tool,)))
    values = framed(rows(1, tool_name=tool.name))
    (event,) = columns(process(context(), State(24), raw(values), 100, 101, writers=WRITERS, lookup=lookup))
    assert SECRET not in event["tool_name"] and event["processed_redacted_fields"] == ["tool_name"]
    assert (event["processed_tool_risk"], event["tool_category"]) == ("high", "write")
    assert (event["processed_owners"], event["processed_flags"]) == ([f"tool:owner {SECRET}"], [])


def test_the_input_state_is_not_changed() -> None:
    state = State(24)
    before = state.content()
    run(framed(rows(5)), state)
    assert state.content() == before


def test_an_older_writers_schema_is_filled_up_and_rows_go_back_into_offset_order() -> None:
    older = json.loads(CURRENT)
    older["fields"] = [f for f in older["fields"] if f["name"] != "approval_id"]
    current = framed(rows(3, approval_id="a-1"))
    out = io.BytesIO()
    row = avro.decode([current[1][5:]] if current[1] else [], CURRENT).to_pylist()[0]
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), {k: v for k, v in row.items() if k != "approval_id"})
    values = [current[0], avro.frame(7) + out.getvalue(), current[2]]
    writers = {1: CURRENT, 7: json.dumps(older)}
    result = process(context(), State(24), raw(values), 100, 103, writers=writers, lookup=Lookup(EMPTY))
    assert [e["approval_id"] for e in columns(result)] == ["a-1", "", "a-1"]
    assert [e["processed_raw_offset"] for e in columns(result)] == [100, 101, 102]


def test_a_large_event_is_cut_marked_and_stored() -> None:
    big = rows(1, message="m" * 60_000, tool_args="a" * 50_000)[0]
    result = run(framed([*rows(1, 1), big]), ctx=context(40_000))
    _, cut = columns(result)
    assert (len(cut["message"]), len(cut["tool_args"])) == (KEEP_BYTES, KEEP_BYTES)
    assert sorted(cut["truncated_fields"]) == ["message=60000", "tool_args=50000"]
    assert max(len(body) for _, body in result.events) <= 40_000


def test_an_event_too_large_even_when_cut_is_rejected_and_does_not_suppress_its_repetition() -> None:
    big = framed(rows(1, tools_offered=["x" * 50_000]))[0]
    result = run([big, *framed(rows(1, 1)), big], ctx=context(40_000))
    assert [q["reason"] for q in result.quarantine] == ["too_large", "too_large"]
    assert result.entry["duplicates"] == 0
    assert len(result.events) == 1


def failing(batch: Batch) -> tuple[Batch, Any]:
    if pa.compute.any(pa.compute.equal(batch.column("message"), "poison")).as_py():
        raise ZeroDivisionError("with a value inside: poison")
    return redact(batch)


def test_a_record_on_which_a_stage_fails_is_found_and_quarantined_without_its_text() -> None:
    values = framed([{**event, "message": "poison"} if n in (3, 11) else event for n, event in enumerate(rows(16))])
    ctx = context(redact=failing)
    with pytest.raises(StageFailed, match="redact: ZeroDivisionError"):
        run(values, ctx=ctx)
    result = run(values, ctx=ctx, isolate=True)
    assert [(q["raw_offset"], q["stage"], q["reason"]) for q in result.quarantine] == [
        (103, "redact", "processing_error"),
        (111, "redact", "processing_error"),
    ]
    assert all("ZeroDivisionError" in q["detail"] and "poison" not in q["detail"] for q in result.quarantine)
    assert len(result.events) == 14


def test_a_panic_of_a_rust_library_is_a_failed_stage() -> None:
    class Panic(BaseException):
        pass

    def panics(batch: Batch) -> tuple[Batch, Any]:
        raise Panic

    with pytest.raises(StageFailed, match="redact: Panic"):
        run(framed(rows(2)), ctx=context(redact=panics))


def test_a_sealed_original_opens_in_its_place_only() -> None:
    result = run([b"no frame"])
    (record,) = result.quarantine
    assert rejects.original_of(record, SEALER) == rejects.Original(b"key-0", (), b"no frame")
    with pytest.raises(SealingError):
        rejects.original_of({**record, "raw_offset": 7}, SEALER)


@pytest.mark.parametrize("key", [None, b"", b"text", b"=text", b"*text", b"\xff\xfe"])
def test_any_key_and_header_survives_packing(key: bytes | None) -> None:
    original = rejects.Original(key, (("a", key), ("a", b"second")), key)
    assert rejects.unpack(rejects.pack(original)) == original


def test_a_batch_of_nothing_but_rejects_still_has_a_ledger_record() -> None:
    result = run([b"x"])
    assert (result.events, result.entry["read"], result.entry["checksum"]) == ([], 1, 0)
    assert result.entry["identities"] == b""


def test_the_checksum_is_that_of_the_stored_bodies() -> None:
    result = run(framed(rows(20)))
    total = sum(int.from_bytes(hashlib.sha256(body).digest()[:8], "little") for _, body in result.events) % 2**64
    assert np.int64(result.entry["checksum"]).astype(np.uint64) == total


def in_order(numbers: Sequence[int], **columns: Any) -> list[dict[str, Any]]:
    """Events of one producer with these sequences."""
    return [
        {**row, **columns} for n in numbers for row in rows(1, n, producer_id="p", producer_epoch=7, sequence=n, tenant_id="t")
    ]


def said(result: Result) -> dict[str, list[tuple[int, int]]]:
    fields = ("sequences", "quarantined_sequences", "duplicate_sequences", "conflict_sequences")
    return {name.removesuffix("_sequences"): [(i["first"], i["last"]) for i in result.entry[name]] for name in fields}


def test_the_ledger_names_the_sequences_of_every_fate() -> None:
    state = State(24)
    state.remember(run(framed(in_order(range(3))), state).entry)
    events = [*in_order([1, 2]), *in_order([3, 4]), *in_order([5, 6], occurred_at=-1), *in_order([0], message="other")]
    result = run([*framed(events), b"no frame", avro.frame(1) + b"\xff"], state)
    assert said(result) == {"sequences": [(0, 0), (3, 4)], "quarantined": [(5, 6)], "duplicate": [(1, 2)], "conflict": [(0, 0)]}
    assert {(i["tenant_id"], i["producer_id"], i["producer_epoch"]) for i in result.entry["quarantined_sequences"]} == {
        ("t", "p", 7)
    }


def test_sequences_of_records_on_which_a_stage_fails_or_that_do_not_fit_are_named_too() -> None:
    def fragile(batch: Batch, now: int) -> Any:
        if "broken" in batch.column("message").to_pylist():
            raise ValueError("broken")
        return validate(batch, now)

    events = [*in_order([0]), *in_order([1], message="broken"), *in_order([2], tools_offered=["x" * 3000] * 200)]
    result = run(framed(events), ctx=context(limit=5000, validate=fragile), isolate=True)
    assert said(result) == {"sequences": [(0, 0)], "quarantined": [(1, 2)], "duplicate": [], "conflict": []}


@pytest.mark.parametrize(
    "columns", [{"tenant_id": "A B"}, {"producer_id": "x" * 257}, {"producer_id": "a\0"}, {"sequence": None}]
)
def test_what_names_no_producer_is_quarantined_without_a_sequence(columns: dict[str, Any]) -> None:
    result = run(framed(in_order([4], occurred_at=-1, **columns)))
    assert result.entry["quarantined"] == 1 and said(result)["quarantined"] == []
