"""What rules cost the processor: 0, 3 and 50 of them with all detectors on, CPU seconds per million events.

    python -m bench.rules [--events 10000] [--rounds 3]

``rules`` is what they take by themselves: asked, fields emptied, masked, hashed, cut and searched, the entries of each event.
``chain`` is all that a processor does with a batch but the client's part: promised is at most 1.5 times that of three rules. 30 % of the events hold something to redact; each rule is about four of fifty agents. In each round every number of rules
is measured, the least of the rounds is printed.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Callable
from typing import Any

from bench import conditions, stages
from bench.steps import HOURS, LOOKUP, SCHEMA, Raw
from connectors import avro
from pipeline.batch import Batch
from pipeline.chain import MAX_EVENT_BYTES, Context, process
from pipeline.dedupe import State
from pipeline.rules import condition, tree
from pipeline.rules.decide import Rules
from pipeline.rules.model import canonical, parse
from pipeline.sealing import Sealer
from pipeline.stages import act, enrich, validate

DIRTY = 0.3
NUMBERS = (0, 3, 50)
# Mostly redactions of whole fields; every fifth is about findings, two of ten decide capture or retention.
ACTIONS: tuple[dict[str, Any], ...] = (
    {"action": "mask", "fields": ["tool_args"]},
    {"action": "hash", "fields": ["actor_name", "human_principal_name"]},
    {"action": "drop", "fields": ["response"]},
    {"action": "cut", "fields": ["message", "error_message"], "length": 200},
    {"action": "hash", "fields": ["prompt"], "detectors": ["email"]},
)


def documents(count: int) -> dict[str, list[dict[str, Any]]]:
    """So many rules, by kind."""
    found: dict[str, list[dict[str, Any]]] = {"redaction": [], "capture": [], "retention": []}
    found["retention_class"] = [{"name": "extended", "months": 120}]
    for n, text in enumerate(conditions.conditions(count)):
        agents = ", ".join(f"'agent-{(n + k) % 50:04d}'" for k in range(4))
        when = condition.parse(f"({text}) AND agent_id IN ({agents})")
        rule = {"name": f"rule-{n}", "when": {"text": when.text, "tree": tree.to_json(when.tree)}}
        if n % 10 == 8:
            found["capture"].append({**rule, "level": "request"})
        elif n % 10 == 9:
            found["retention"].append({**rule, "class": "extended"})
        else:
            found["redaction"].append({**rule, **ACTIONS[n % len(ACTIONS)]})
    return found


def alone(batch: Batch, rules: Rules, sealer: Sealer) -> None:
    """What the rules do, with a redaction that finds nothing."""
    decision = rules.decide(batch)
    emptied = act.empty(batch, decision)
    act.finish(emptied, emptied.batch, batch.column("processed_redacted_fields"), sealer.text_key)


def main() -> int:
    """Print a line per number of rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=stages.BATCH, help="events of the batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    args = parser.parse_args()
    bodies = stages.made(args.events, DIRTY, 600)
    raw = [Raw(n, avro.frame(1) + body) for n, body in enumerate(bodies)]
    sealer = Sealer(base64.b64encode(b"k" * 32).decode())
    context = Context("raw", 0, "standard", sealer, MAX_EVENT_BYTES)
    batch = enrich(validate(Batch.of(avro.decode(bodies, SCHEMA)), stages.START_US)[0], LOOKUP, "standard")
    all_rules = {number: Rules(parse("1", canonical(documents(number)))) for number in NUMBERS}

    def chain(rules: Rules) -> None:
        process(context, State(HOURS), raw, 0, args.events, writers={1: SCHEMA}, lookup=LOOKUP, rules=rules)

    steps: dict[str, Callable[[Rules], None]] = {"rules": lambda rules: alone(batch, rules, sealer), "chain": chain}
    seen: dict[tuple[str, int], list[float]] = {}
    for _ in range(args.rounds + 1):  # the first warms up
        for name, step in steps.items():
            for number, rules in all_rules.items():
                started = time.process_time()
                step(rules)
                seen.setdefault((name, number), []).append(time.process_time() - started)
    best = {key: min(rounds[1:]) * 1_000_000 / args.events for key, rounds in seen.items()}
    print(f"{'rules':>6} {'rules alone':>12} {'chain':>8} {'chain against three rules':>28}  CPU s/M")
    for number in NUMBERS:
        of_three = best["chain", number] / best["chain", 3]
        print(f"{number:>6} {best['rules', number]:>12.2f} {best['chain', number]:>8.2f} {of_three:>28.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
