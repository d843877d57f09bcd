"""What conditions cost the processor: CPU seconds per million events for 3 and for 50 of them, on batches as it gets them.

    python -m bench.conditions [--batch 10000]

Enrichment runs first and is not counted. Prints the least of several rounds, per number of conditions.
"""

from __future__ import annotations

import argparse
import time

from bench import stages
from pipeline.batch import Batch
from pipeline.rules.columnar import Program
from pipeline.rules.condition import parse
from pipeline.stages import Lookup, enrich

EVENTS, ROUNDS = 200_000, 5
VERBS, SERVERS = ("search", "read", "write", "delete"), ("git", "slack", "jira")
FIRST = (
    "tool_category = 'delete' AND processed_tool_risk = 'high'",
    "tenant_id IN ('tenant-003', 'tenant-007', 'tenant-011') AND outcome <> 'success'",
    "event_type LIKE 'tool.%' AND (input_tokens > 5000 OR duration_ms >= 1500.5)",
)


def conditions(count: int) -> list[str]:
    """As people write them: mostly names, some numbers, times, patterns and lists; half of them share parts with others."""
    found = list(FIRST)
    for n in range(count):
        found += [
            f"tenant_id = 'tenant-{n % 20:03d}' AND tool_name IN ('{VERBS[n % 4]}_ticket', '{VERBS[(n + 1) % 4]}_page')",
            f"event_type = 'tool.invoked' AND agent_id <> 'agent-{n:04d}' AND NOT starts_with(entity_path, 'sandbox/{n}')",
            f"tool_server ILIKE '%{SERVERS[n % 3]}%' AND activity <> 'read' AND input_tokens BETWEEN {99 * n} AND 900",
            f"has(processed_flags, 'tool_unknown') OR has(processed_owners, 'tool:{SERVERS[n % 3]}@example.com')",
            f"COALESCE(input_tokens, 0) > {1000 * n} AND processed_tenant_region = 'eu-central' AND session_id <> 'session-{n}'",
            f"occurred_at >= '2026-{1 + n % 12:02d}-01T00:00:00Z' AND tool_category IN ('write', 'delete')",
            f"CASE tool_category WHEN 'read' THEN 1 WHEN 'delete' THEN 3 ELSE 2 END >= {1 + n % 3} AND outcome = 'failure'",
        ]
    return found[:count]


def cost(batches: list[Batch], texts: list[str]) -> float:
    """CPU seconds per million events."""
    program = Program([parse(text).tree for text in texts])
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for batch in batches:
            program.masks(batch.columns)
        rounds.append(time.process_time() - started)
    return min(rounds) * 1_000_000 / sum(map(len, batches))


def main() -> int:
    """Print a line per number of conditions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=stages.BATCH, help="events of a batch (default: %(default)s)")
    size = parser.parse_args().batch
    lookup = Lookup(stages.revision())
    made, _ = stages.batches(EVENTS, 0.3)
    whole = [enrich(batch, lookup, "standard") for batch in made]
    cut = [Batch.of(batch.columns.slice(at, size)) for batch in whole for at in range(0, len(batch), size)]
    for count in (3, 50):
        print(f"{count:3} conditions: {cost(cut, conditions(count)):.2f} CPU s per million events, {size:,} a batch")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
