"""A flood of junk in a raw partition: the processor stops there, says why, and goes on when told to, with nothing lost.

The last step is the negative control as well: with the cap off the same flood goes into quarantine to the last record.
"""

from __future__ import annotations

from tests.parts import PartProcess
from tests.processing import bodies, clean_ids, committed, event_frame, produce, read_all, rows
from tests.space import Space
from tests.waiting import until

GOOD, JUNK = 300, 3000


def flooded(space: Space) -> tuple[list[str], list[str]]:
    """A partition with events, then a flood, then events again; their ids."""
    head, events = event_frame(space), rows(2 * GOOD)
    good = [head + body for body in bodies(events)]
    produce(space, [(0, value) for value in good[:GOOD]])
    with PartProcess(space, "processor") as processor:
        until(lambda: committed(space)[0] >= GOOD, 60, processor.story)
        processor.end()
    produce(space, [(0, b"junk %d" % n) for n in range(JUNK)])
    produce(space, [(0, value) for value in good[GOOD:]])
    produce(space, [(1, good[0])])
    ids = [event["event_id"] for event in events]
    return ids[:GOOD], ids


def value_of(processor: PartProcess, name: str, partition: str) -> float:
    return next((s.value for s in processor.scrape() if s.name == name and s.labels.get("partition") == partition), -1.0)


def test_a_flood_of_junk_stops_its_partition_until_somebody_lets_it_go_on(provisioned: Space) -> None:
    space = provisioned
    before, everything = flooded(space)
    with PartProcess(space, "processor", PROCESSOR_REJECT_SAMPLE=500, PROCESSOR_BATCH_EVENTS=1000) as processor:
        until(lambda: "AUDITWIRE_PROCESSOR_MAX_REJECT_RATIO" in processor.health()[1], 60, processor.story)
        status, reason = processor.health()
        assert status == 503
        assert "of the last" in reason
        until(lambda: value_of(processor, "auditwire_processor_rejects_capped", "0") == 1, 30, processor.story)
        until(lambda: value_of(processor, "auditwire_processor_blocked", "0") == 1, 30, processor.story)
        until(lambda: committed(space)[1] >= 1, 60, processor.story)
        stopped, held = committed(space)[0], len(read_all(space, "quarantine", 0))
        tries = processor.text().count("is stopped at")
        until(lambda: processor.text().count("is stopped at") >= tries + 1, 60, processor.story)
        assert (committed(space)[0], len(read_all(space, "quarantine", 0))) == (stopped, held), "nothing more is quarantined"
        assert held < 500
        assert clean_ids(space, 0) == before
        processor.end()
    with PartProcess(space, "processor", PROCESSOR_MAX_REJECT_RATIO=1) as processor:
        until(lambda: len(clean_ids(space, 0)) == len(everything), 90, processor.story)
        assert processor.healthy()
    assert clean_ids(space, 0) == everything, "each once, in order"
    assert len(read_all(space, "quarantine", 0)) == JUNK
