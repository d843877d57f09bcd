"""What rules cost the processor: 0, 3 and 50 of them with all detectors on, CPU seconds per million events.

    python -m bench.rules [--events 10000] [--rounds 3]

``rules`` is what they take by themselves: asked, fields emptied, masked, hashed, cut and searched, the entries of each event.
``chain`` is all that a processor does with a batch but the client's part: promised is at most 1.5 times that of three rules.
30 % of the events hold something to redact; each rule is about four of fifty agents. In each round every number of rules is
measured, the least of the rounds is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench import conditions, stages
from pipeline.batch import Batch
from pipeline.rules import condition, tree
from pipeline.rules.decide import Rules
from pipeline.rules.model import canonical, parse
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


@cache
def made_rules(count: int) -> Rules:
    """So many rules, ready to be asked."""
    return Rules(parse("1", canonical(documents(count))))


def alone(batch: Batch, rules: Rules, key_of: act.KeyOf) -> None:
    """What the rules do, with a redaction that finds nothing."""
    decision = rules.decide(batch)
    emptied = act.empty(batch, decision)
    act.finish(emptied, emptied.batch, batch.column("processed_redacted_fields"), key_of)


def main() -> int:
    """Print a line per number of rules."""
    from bench.steps import LOOKUP, SEALER, Case

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=stages.BATCH, help="events of the batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    args = parser.parse_args()
    case = Case(600, DIRTY, args.events, Path())
    batch = enrich(validate(case.batch, stages.START_US)[0], LOOKUP, "standard")
    steps: dict[str, Callable[[Rules], object]] = {
        "rules": lambda rules: alone(batch, rules, SEALER.text_key),
        "chain": case.chain,
    }
    seen: dict[tuple[str, int], list[float]] = {}
    for _ in range(args.rounds + 1):  # the first warms up
        for name, step in steps.items():
            for number in NUMBERS:
                rules = made_rules(number)
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
