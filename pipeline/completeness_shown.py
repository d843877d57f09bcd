"""Completeness as the API, manifests and the command line show it; in order of how much it matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.completeness import Completeness, Gap, Loss, Producer
from pipeline.numbers import Range, merged

MOST_PRODUCERS, MOST_GAPS = 1000, 1000
RECEIVERS = "Events that came through receivers have no numbers: they are covered by pipeline_complete_until only."
_ORDER = ("unknown", "silent", "live", "dead", "closed")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


def moment(micros: int | None) -> str | None:
    """ISO 8601 in UTC; what the years 1 to 9999 do not have is shown as the nearest that they have."""
    if micros is None:
        return None
    micros = min(max(micros, _FIRST), _LAST)
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def answer(tenant: str, pipeline: int, found: Completeness) -> dict[str, Any]:
    """Of a whole tenant; ``pipeline``: the pipeline's moment in microseconds."""
    standings = Counter[str](p.standing for p in found.producers)
    return {
        "tenant": tenant,
        "state": found.state,
        "complete_until": moment(found.until(pipeline)),
        "pipeline_complete_until": moment(pipeline),
        "ledger_complete_until": moment(found.ledger_until),
        "counts": {name: standings[name] for name in sorted(_ORDER)},
        **_listed(found.producers),
        "losses": [loss(one) for one in found.losses],
        "problems": list(found.problems),
        "receivers": RECEIVERS,
    }


def of_range(found: Completeness) -> dict[str, Any]:
    """What `Completeness.within` gave, for a manifest."""
    return {
        "complete": found.holds,
        "ledger_complete_until": moment(found.ledger_until),
        **_listed(found.producers),
        "losses": [loss(one) for one in found.losses],
        "problems": list(found.problems),
        "receivers": RECEIVERS,
    }


def not_known(why: str) -> dict[str, Any]:
    """For a manifest, where nobody could say what is known; ``why`` says what to do."""
    return of_range(Completeness(problems=(why,)))


def _listed(producers: Sequence[Producer]) -> dict[str, Any]:
    ordered = sorted(producers, key=lambda p: (not p.gaps, _ORDER.index(p.standing), p.seen.key))
    shown, left = [], MOST_GAPS
    for one in ordered[:MOST_PRODUCERS]:
        shown.append(producer(one, left))
        left = max(0, left - len(one.gaps))
    gaps = sum(len(p.gaps) for p in producers)
    return {
        "producers": shown,
        "producers_left_out": max(0, len(ordered) - MOST_PRODUCERS),
        "gaps": gaps,
        "gaps_left_out": gaps - sum(len(p["gaps"]) for p in shown),
    }


def producer(one: Producer, most_gaps: int = MOST_GAPS) -> dict[str, Any]:
    """One producer epoch."""
    beat, said = one.heartbeat, one.statement
    return {
        "producer_id": one.seen.producer,
        "producer_epoch": one.seen.epoch,
        "standing": one.standing,
        "complete_until": moment(one.bound),
        "gaps": [gap(g) for g in one.gaps[:most_gaps]],
        "stored": _ranges(merged([*one.seen.stored, *one.seen.late])),
        "quarantined": _ranges(one.seen.quarantined),
        "duplicates": _ranges(one.seen.duplicates),
        "conflicts": _ranges(one.seen.conflicts),
        "heartbeat": beat
        and {
            "sequence": beat.sequence,
            "observed_at": moment(beat.observed),
            "received_at": moment(beat.received),
            "interval_seconds": beat.period,
            "dropped": beat.dropped,
        },
        "statement": said and {"dead": True, "by": said.by, "at": moment(said.at), "reason": said.reason},
    }


def gap(one: Gap) -> dict[str, Any]:
    """Numbers and times between which events are missing."""
    shown: dict[str, Any] = {"kind": one.kind, "first": one.first, "last": one.last}
    shown |= {"dropped": one.dropped} if one.kind == "dropped" else {}
    return {**shown, "after": moment(one.after), "before": moment(one.before)}


def loss(one: Loss) -> dict[str, Any]:
    """Raw records that were deleted unread."""
    return {"raw_partition": one.partition, "records": one.records, "after": moment(one.after), "before": moment(one.before)}


def _ranges(ranges: Sequence[Range]) -> list[list[int]]:
    return [list(r) for r in ranges[:MOST_GAPS]]


def lines(shown: dict[str, Any]) -> list[str]:
    """An answer for people."""
    words = {
        "complete": f"complete up to {shown['complete_until']}",
        "incomplete": f"incomplete: nothing is missing before {shown['complete_until']}",
        "unknown": f"unknown: nothing is missing before {shown['complete_until']}, as far as producers say anything",
    }
    said = [f"tenant {shown['tenant']}: {words[shown['state']]} (pipeline: {shown['pipeline_complete_until']})"]
    if shown["ledger_complete_until"]:
        said.append(f"  the ledger's tables are behind, at {shown['ledger_complete_until']}: is the ledger sink running?")
    said += [f"  {problem}" for problem in shown["problems"]]
    said += [
        f"  raw partition {x['raw_partition']}: {x['records']} records were deleted unread after {x['after']}"
        for x in shown["losses"]
    ]
    for one in shown["producers"]:
        if one["standing"] == "closed" and not one["gaps"]:
            continue
        beat = one["heartbeat"]
        heard = f"last heartbeat {beat['observed_at']}, number {beat['sequence']}" if beat else "no heartbeat"
        said.append(f"  {one['producer_id']} epoch {one['producer_epoch']}: {one['standing']}, {heard}")
        if one["statement"]:
            given = one["statement"]
            said.append(f"    declared dead by {given['by']} at {given['at']}: {given['reason']}")
        for x in one["gaps"]:
            count = f" ({x['dropped']} events)" if x["kind"] == "dropped" else ""
            said.append(f"    {x['kind']} {x['first']}-{x['last']}{count}, between {x['after']} and {x['before'] or 'now'}")
    counts = ", ".join(f"{n} {name}" for name, n in shown["counts"].items() if n) or "no producers"
    return [*said, f"  {counts}", f"  {shown['receivers']}"]
