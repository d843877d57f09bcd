"""The processor against a slow, obvious one: the same raw records through both, every field of every output compared.

    python -m bench.reference [--events 100000] [--processes 1] [--least 20] [--seed 1] [--without DETECTOR] [--encoded base64]

Needs no server. Hypothesis makes stretches of raw records out of the whole domain of the contract (`tests/plain/records.py`):
texts with secrets at any place and in any disguise, cuts, older schemas, broken bytes, duplicates, conflicts, replays. They go
through the processor's own work of a partition, without Kafka, and through `tests.plain`, one event at a time. Compared are each
clean event (key, columns, bytes), each quarantine record (reason, detail, the opened original) and the whole ledger record.

Prints what was met and how often. Exit code 1 where the two differ, with the smallest example, or where a fate was met less than
--least times. --without leaves a detector out of the real processor: to see that it is noticed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from rich.console import Console
from rich.table import Table

from auditwire.redaction import Detector, Encoded, detectors_for
from pipeline.batch import Batch
from pipeline.chain import REASONS as OF_CHAIN
from pipeline.stages import redact
from pipeline.stages.detectors import DETECTORS
from pipeline.stages.validate import REASONS as OF_VALIDATE
from tests.plain import comparison, records

ALL = detectors_for("base64")
Run = Callable[[records.Stretch], comparison.Seen]
ROUND = 50  # examples; a new seed each, as Hypothesis slows down with what it remembers
LONGEST = 2000  # characters of a difference that is printed
# a stage that fails on a record does not come about by itself
FATES = ("new", "conflict", "duplicate", "waits", *sorted({*OF_CHAIN, *OF_VALIDATE} - {"processing_error"}))


def examined(number: int, seen: comparison.Seen, events: int, run: Run) -> str:
    """A round of examples, added to ``seen`` until it has so many events; what differs in the first that does, or nothing."""
    different: list[records.Stretch] = []

    @seed(number)
    @settings(max_examples=ROUND, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(records.stretches(comparison.SEALER.hash_key(), 60))
    def compared(stretch: records.Stretch) -> None:
        if different or sum(seen.fates.values()) >= events:
            return
        one = run(stretch)
        different.extend([stretch] if one.differences else [])
        seen.fates += one.fates
        seen.met += one.met

    compared()
    return "\n".join(text[:LONGEST] for text in smaller(different[0], run)[:5]) if different else ""


def smaller(stretch: records.Stretch, run: Run) -> list[str]:
    """The differences that are left of a stretch without the records that they do not need."""
    found = run(stretch).differences
    for number in range(len(stretch.batches)):
        for record in stretch.batches[number].records:
            batch = stretch.batches[number]
            less = replace(batch, records=[one for one in batch.records if one is not record])
            without = replace(stretch, batches=[*stretch.batches[:number], less, *stretch.batches[number + 1 :]])
            if less.records and (left := run(without).differences):
                stretch, found = without, left
    return found


def table(seen: comparison.Seen, least: int) -> Table:
    """Fates and what else was met, with how often."""
    shown = Table("met", "times", box=None)
    for fate in FATES:
        few = seen.fates[fate] < least
        shown.add_row(fate, f"{seen.fates[fate]:,}" + (f" (fewer than {least})" if few else ""), style="red" if few else "")
    for name, times in sorted(seen.met.items()):
        shown.add_row(name, f"{times:,}", style="dim")
    return shown


def share(first: int, events: int, without: str | None, encoded: Encoded) -> tuple[comparison.Seen, list[str], float]:
    """Rounds until there are so many events or three differ, from the seed ``first`` on: what was seen, the smallest examples
    that differ, CPU seconds.
    """

    def lacking(batch: Batch, detectors: tuple[Detector, ...] = DETECTORS) -> Any:
        return redact(batch, tuple(d for d in detectors if d.name != without))

    run = partial(comparison.run, stages={"redact": lacking}, detectors=detectors_for(encoded))
    seen, smallest, number, began = comparison.Seen(), list[str](), first, time.process_time()
    while sum(seen.fates.values()) < events and len(smallest) < 3:
        found = examined(number, seen, events, run)
        smallest += [found] if found else []
        number += 1
        sys.stderr.write(f"{sum(seen.fates.values()):,} of {events:,} records, {len(smallest)} differences\n")
    return seen, smallest, time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reference", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--least", type=int, default=20, help="each fate must be met so often")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", choices=sorted({d.name for d in ALL}), help="a detector that the real processor lacks")
    parser.add_argument("--encoded", choices=("percent", "base64"), default="percent", help="what both look behind")
    args = parser.parse_args()
    console, seen, smallest, cpu = Console(width=140), comparison.Seen(), list[str](), 0.0
    firsts = [args.seed * 1_000_000 + n * 10_000 for n in range(args.processes)]
    each = -(-args.events // args.processes)
    with ProcessPoolExecutor(args.processes, get_context("spawn")) as pool:
        for one, different, took in pool.map(share, firsts, repeat(each), repeat(args.without), repeat(args.encoded)):
            seen.fates += one.fates
            seen.met += one.met
            smallest += different
            cpu += took
    console.print(table(seen, args.least))
    for text in smallest:
        console.print(f"DIFFERENT: {text}", markup=False, soft_wrap=True)
    few = [fate for fate in FATES if seen.fates[fate] < args.least]
    console.print(
        f"{sum(seen.fates.values()):,} records, {seen.met['fields compared']:,} fields compared, {len(smallest)} differences; "
        f"{len(FATES) - len(few)} of {len(FATES)} fates met {args.least} times; {cpu:.0f} CPU s"
    )
    return 1 if smallest or few else 0


if __name__ == "__main__":
    sys.exit(main())
