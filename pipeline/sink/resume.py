"""Where to go on after a start, a takeover or a failure: decided from what Kafka has committed, the store holds and the log
offers.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

from connectors.partitions import PartitionedLog
from pipeline.sink.plan import SCHEMA_VERSION, Claim, Plan, Proof, Store

logger = logging.getLogger(__name__)
SETTLE_SECONDS = 10.0


class RefusedError(Exception):
    """Commits, store and log do not fit together, and going on could lose or double events. Stop the partition, tell a
    person.
    """


@dataclass(frozen=True)
class Standing:
    """What was found. ``plan``: the one to finish first, from the store where it keeps one, else from Kafka; ``stored``: the
    store's position (highest offset + 1) or None; ``low`` and ``high``: the log's bounds.
    """

    claim: Claim
    offset: int | None
    plan: Plan | None
    proof: Proof | None
    stored: int | None
    low: int
    high: int


def look(log: PartitionedLog, store: Store, partition: int, place: str) -> Standing:
    """Take the partition over, then ask everybody. Raises StoreError and LogError (wait), RefusedError."""
    if log.topic_id_now() != log.topic_id:
        raise RefusedError(f"{place}: the topic was deleted and made anew since this process began: start the sink again")
    claim = store.take_over(log.topic, log.topic_id, partition)
    committed = log.committed(partition)
    offset, text = committed if committed is not None else (None, "")
    try:
        plan = Plan.from_metadata(text)
    except ValueError as exc:
        raise RefusedError(f"{place}: {exc}; something else committed {offset} for this group: stop that") from None
    stored = claim.stands_at()
    begun = claim.begun(stored or 0)
    if begun is not None and _lost(begun, plan, offset):
        logger.warning("%s: finishing %s, which Kafka does not have (it has %s, %r)", place, begun, offset, text)
        plan = begun
    proof = claim.prove(plan) if plan is not None and plan.topic_id == log.topic_id else None
    low, high = _settled(log, partition, max(offset or 0, stored or 0))
    return Standing(claim, offset, plan, proof, stored, low, high)


def _lost(begun: Plan, plan: Plan | None, offset: int | None) -> bool:
    """Kafka no longer has what the store has begun; who commits its end or more by hand gives it up."""
    return (plan is None or replace(plan, attempt=1) != begun) and (offset is None or offset < begun.end)


def _settled(log: PartitionedLog, partition: int, known: int) -> tuple[int, int]:
    """The log's bounds. A broker that has just started may show an end before what is known to have been in the log."""
    deadline = time.monotonic() + SETTLE_SECONDS
    low, high = log.bounds(partition)
    while high < known and time.monotonic() < deadline:
        time.sleep(0.2)
        low, high = log.bounds(partition)
    return low, high


def check(found: Standing, place: str, topic_id: str, mapper: int) -> int:
    """The offset to read from: the beginning of the open plan if there is one. Raises RefusedError."""
    if found.plan is not None:
        return _planned(found, found.plan, place, topic_id, mapper)
    if found.offset is not None:
        return _committed(found, found.offset, place)
    if found.stored is None or found.low <= found.stored <= found.high:
        return found.low if found.stored is None else found.stored
    raise RefusedError(
        f"{place}: nothing is committed, the store stands at {found.stored}, but the log holds {found.low}..{found.high}. "
        "Records in between were deleted before they were stored, or the topic was cut: check with `auditwired fsck`, "
        "then commit the offset to go on from for this group"
    )


def _committed(found: Standing, offset: int, place: str) -> int:
    if found.stored is not None and found.stored > offset:
        raise RefusedError(
            f"{place}: {offset} is committed, but the store holds events up to {found.stored}: somebody moved the group's offset "
            f"back. Going on would double them; commit {found.stored} for this group"
        )
    if not found.low <= offset <= found.high:
        raise RefusedError(
            f"{place}: {offset} is committed, but the log holds {found.low}..{found.high}: records were deleted before they were "
            "stored, or the topic was cut. Say so to those who rely on it, then commit the offset to go on from for this group"
        )
    return offset


def _planned(found: Standing, plan: Plan, place: str, topic_id: str, mapper: int) -> int:
    if plan.topic_id != topic_id:
        raise RefusedError(f"{place}: the open plan {plan} is of an earlier topic with this name; delete the group's offsets")
    if plan.schema > SCHEMA_VERSION or plan.mapper > mapper:
        raise RefusedError(f"{place}: {plan} was made by a newer version of this sink: run that one")
    if found.proof is None or found.proof.exceeds(plan):
        raise RefusedError(f"{place}: the store holds other rows than planned, {found.proof} for {plan}: run `auditwired fsck`")
    if found.stored is not None and found.stored > plan.end:
        raise RefusedError(
            f"{place}: the store stands at {found.stored}, behind the end of the open plan {plan}: run `auditwired fsck`"
        )
    if plan.start < found.low and not found.proof.equals(plan):
        raise RefusedError(
            f"{place}: the log begins at {found.low}, so the open plan {plan} cannot be read again; stored of it: {found.proof}. "
            f"Say so to those who rely on it; to give the plan up, commit {plan.end} for this group"
        )
    if found.offset is not None and not plan.start <= found.offset < plan.end:
        raise RefusedError(
            f"{place}: {found.offset} is committed, but the plan {plan} is open: somebody moved the group's offset; commit "
            f"{plan.start} for this group"
        )
    return plan.start
