"""docs/performance.md's tables and plots from the figures of a run of `python -m bench`.

    python -m bench.report [--take .auditwire/bench.json] [--write docs/performance.md]

The figures are kept beside the plots, in docs/plots/bench.json; ``--take`` replaces them by those of another run. Beside them are
those of `python -m bench.profiles --json docs/plots/profiles.json`. Tables stand between ``<!-- bench:NAME -->`` and
``<!-- /bench -->``; what is around them is written by people.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from auditwire._modes import MODES
from bench.plots import Group, bars, dots, short
from bench.profile_areas import OWN
from bench.targets import targets
from infra.stack.stack import CHECKOUT

PAGE, PLOTS = CHECKOUT / "docs" / "performance.md", CHECKOUT / "docs" / "plots"
FIGURES, PROFILES = PLOTS / "bench.json", PLOTS / "profiles.json"
BLOCK = re.compile(r"<!-- bench:(\w+) -->\n.*?<!-- /bench -->\n", re.DOTALL)
LABELS = {
    "sdk": "SDK: `record()` and encode, without Kafka",
    "decode": "decode",
    "validate": "validate",
    "dedupe": "dedupe: prints, judge, ledger record, remember",
    "enrich": "enrich",
    "redact": "redact",
    "redact, base64": "the same, looking behind base64, too",
    "encode": "encode",
    "digest": "digest of each clean event",
    "chain": "processor's stages together, decode to encode",
    "chain, 3 rules": "the same with 3 rules",
    "chain, 50 rules": "the same with 50 rules",
    "parquet": "Parquet, zstd, a row group",
    "produce": "produce",
    "transaction": "produce and commit in transactions of 10,000",
    "fetch": "fetch by librdkafka (sinks)",
    "fetch-aiokafka": "fetch by aiokafka (processor)",
    "insert": "ClickHouse insert with fence, merges included",
    "read-back": "ClickHouse read-back (proof of a range)",
    "s3": "S3: create-only PUT of the Parquet object",
}
SHARES, OWN_CODE = (0.05, 0.3, 1.0), "Auditwire's own Python"
Data = Mapping[str, Any]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table; all but the first ``texts`` columns hold numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def spread(values: Sequence[float]) -> str:
    """The median, and lowest and highest where there was more than one round."""
    middle = short(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({short(min(values))}–{short(max(values))})"


def servers(row: Data) -> str:
    """What each server spent."""
    names = {"kafka": "Kafka", "clickhouse": "ClickHouse", "s3": "S3"}
    return ", ".join(f"{names[s]} {spread(v)}" for s, v in row["servers"].items() if statistics.median(v) >= 0.1)


def steps_of(data: Data, alone: bool) -> dict[str, dict[tuple[int, float], Data]]:
    """Step → (place of its size, share) → row; ``alone``: those that need no server."""
    found: dict[str, dict[tuple[int, float], Data]] = {}
    rows = [r for r in data["rows"] if r["part"] == "step" and r["dirty"] is not None]
    several = {r["name"] for r in rows if r["dirty"] != SHARES[1]}
    for row in (r for r in rows if (r["name"] in several) == alone):
        large = int(row["size"] > 1200)
        found.setdefault(row["name"], {})[large, row["dirty"]] = row
    return found


def machine(data: Data) -> str:
    m, v = data["machine"], data["versions"]
    took = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in data["took"].items())
    return (
        f"{m['cores']} cores of {m['cpu']}, {m['memory_gib']} GiB, Linux {m['kernel']}.\n"
        f"Commit `{data['commit']}`, {data['at'][:10]}.\n"
        f"{', '.join(f'{name} {number}' for name, number in v.items())}.\n"
        f"One run of `make bench`, {sum(data['took'].values()) / 60:.1f} minutes: {took}.\n"
    )


def goals(data: Data) -> str:
    rows = [
        (
            t.what,
            f"{'≥' if t.least else '≤'} {t.goal:,g} {t.unit}",
            "" if t.seen is None else f"{short(t.seen)} {t.unit}",
            t.verdict,
        )
        for t in targets(data)
    ]
    return markdown(("what", "target", "seen", ""), rows, 4)


def processes(data: Data) -> str:
    rows = [
        (
            row["name"],
            spread(row["cpu"]),
            spread(row["whole"]) if row["whole"] else "",
            servers(row),
            f"{statistics.median(row['rate']):,.0f}",
            "" if row["peak_mb"] is None else f"{row['peak_mb']}",
        )
        for row in data["rows"]
        if row["part"] != "step" or row["dirty"] is None
    ]
    return markdown(
        ("what", "client CPU s per million", "with its start", "servers CPU s per million", "events/s", "peak MB"), rows
    )


def ratios(data: Data) -> str:
    return markdown(("ratio of client CPU, warm", "times"), [(name, short(value)) for name, value in data["ratios"].items()])


def alone(data: Data) -> str:
    head = [f"{size} KB, {share:.0%} dirty" for size in ("0.6", "2") for share in SHARES]
    rows = [
        (LABELS[name], *(spread(cases[large, share]["cpu"]) for large in (0, 1) for share in SHARES))
        for name, cases in steps_of(data, True).items()
    ]
    return markdown(("step, CPU s per million", *head), rows)


def served(data: Data) -> str:
    rows = [
        (LABELS[name], *(cell for large in (0, 1) for cell in _served(cases[large, SHARES[1]])))
        for name, cases in steps_of(data, False).items()
    ]
    head = [f"{size} KB: {what}" for size in ("0.6", "2") for what in ("client CPU s/M", "servers CPU s/M", "events/s")]
    return markdown(("step", *head), rows)


def _served(row: Data) -> tuple[str, str, str]:
    return spread(row["cpu"]), servers(row), f"{statistics.median(row['rate']):,.0f}"


def calls(data: Data) -> str:
    rows = [
        (
            f"{_caller(c['mode'])}, {c['pace']:,} a second" if c["pace"] else f"{_caller(c['mode'])}, as fast as it goes",
            *(spread(c[which]) for which in ("p50", "p99", "longest", "cpu")),
        )
        for c in data["calls"]
    ]
    return markdown(("mode", "p50 µs", "p99 µs", "longest µs", "CPU µs an event, whole process"), rows)


def _caller(mode: str) -> str:
    return f"`{mode}`" if mode in MODES else mode


def latency(data: Data) -> str:
    shown = ("processor", "clickhouse-sink", "archive-sink", "kafka", "clickhouse")
    rows = [
        (
            f"{one['rate']:,.0f}",
            *(f"{one[which]:.2f}" for which in ("p50", "p99", "longest")),
            str(one["probes"]),
            *(f"{one['cpu_per_million'][name]:,.0f}" for name in shown),
        )
        for one in data["latency"]
    ]
    return markdown(("events/s", "p50 s", "p99 s", "longest s", "probes", *(f"{name} CPU s/M" for name in shown)), rows, 0)


def everyone(data: Data) -> str:
    last = data["latency"][-1]
    rows = [(f"`{n}`", f"{used:,.1f}", f"{last['peak_mb'].get(n, 0):,.0f}") for n, used in last["cpu_per_million"].items()]
    return markdown((f"process, at {last['rate']:,.0f} events/s", "CPU s per million", "peak MB since its start"), rows)


def cold(data: Data) -> str:
    rows = [
        (f"`{part}`", *(spread(seen[which]) for which in ("seconds", "cpu", "mb"))) for part, seen in data["cold_start"].items()
    ]
    return markdown(("process", "seconds to healthy", "CPU s", "resident MB then"), rows)


def profiles(data: Data) -> str:
    """Shares of the areas, own files as one; areas that take little everywhere as one."""
    seen = {one["name"]: _areas(one["areas"]) for one in data["profiles"]["processes"]}
    most = {area: max(areas.get(area, 0.0) for areas in seen.values()) for areas in seen.values() for area in areas}
    shown = sorted((area for area in most if most[area] >= 0.03 and area != OWN_CODE), key=lambda area: -most[area])
    rows = [(area, *(_share(areas.get(area, 0.0)) for areas in seen.values())) for area in (OWN_CODE, *shown)]
    rest = [_share(1 - sum(areas.get(area, 0.0) for area in (OWN_CODE, *shown))) for areas in seen.values()]
    figures = [
        (what, *(f"{one[key]:,.{digits}f}" for one in data["profiles"]["processes"]))
        for what, key, digits in (
            ("events/s", "events_a_second", 0),
            ("CPU s/M", "cpu_per_million", 1),
            ("samples", "samples", 0),
        )
    ]
    return markdown(("", *(f"`{name}`" for name in seen)), [*figures, *rows, ("other libraries", *rest)])


def _areas(areas: Mapping[str, float]) -> dict[str, float]:
    others = {area: share for area, share in areas.items() if area.partition("/")[0] not in OWN}
    return {OWN_CODE: sum(areas.values()) - sum(others.values()), **others}


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.005 else ""


def functions(data: Data) -> str:
    """The most expensive functions of each process."""
    rows = []
    for one in data["profiles"]["processes"]:
        for number, (name, area, share) in enumerate(one["functions"][:5]):
            where = area if area.partition("/")[0] not in OWN else "itself"
            cpu = short(share * one["cpu_per_million"])
            rows.append((f"`{one['name']}`" * (not number), f"`{name}`", where, _share(share), cpu))
    return markdown(("process", "function", "spends the time in", "share", "CPU s/M"), rows, 3)


def load() -> dict[str, Any]:
    """The figures that are kept."""
    bench, profiled = (json.loads(path.read_text(encoding="utf-8")) for path in (FIGURES, PROFILES))
    return {**bench, "profiles": profiled}


BLOCKS: dict[str, Callable[[Data], str]] = {
    "machine": machine,
    "targets": goals,
    "processes": processes,
    "ratios": ratios,
    "steps": alone,
    "served": served,
    "calls": calls,
    "latency": latency,
    "everyone": everyone,
    "cold": cold,
    "profiles": profiles,
    "functions": functions,
}


def page(text: str, data: Data) -> str:
    """The page with every block made anew. Raises KeyError for a block that is none."""
    return BLOCK.sub(lambda found: f"<!-- bench:{found[1]} -->\n{BLOCKS[found[1]](data)}<!-- /bench -->\n", text)


def pictures(data: Data) -> dict[str, str]:
    """File name → SVG."""
    middle = statistics.median
    ends = [
        Group(r["name"], [middle(r["cpu"])]) for r in data["rows"] if r["part"] in ("process", "peer") and middle(r["cpu"]) > 0
    ]
    steps = [
        Group(LABELS[name].replace("`", ""), [middle(cases[large, SHARES[1]]["cpu"]) for large in (0, 1)])
        for alone in (True, False)
        for name, cases in steps_of(data, alone).items()
    ]
    redact = steps_of(data, True)["redact"]
    shares = [Group(f"{share:.0%} of events", [middle(redact[large, share]["cpu"]) for large in (0, 1)]) for share in SHARES]
    waits = [Group(f"{one['rate']:,.0f} events/s", [one[w] for w in ("p50", "p99", "longest")]) for one in data["latency"]]
    starts = [Group(part, [middle(seen["seconds"])]) for part, seen in data["cold_start"].items()]
    sizes = ("0.6 KB", "2 KB")
    return {
        "processes.svg": dots("CPU seconds of the client per million events (logarithmic)", "s", ("",), ends),
        "steps.svg": bars("Steps: CPU seconds of the client per million events, 30 % dirty", "s", sizes, steps),
        "redact.svg": bars("Redaction: CPU seconds per million events, by how many hold something", "s", sizes, shares),
        "latency.svg": bars("From an event to a query that finds it", "s", ("p50", "p99", "longest"), waits),
        "cold-start.svg": bars("Cold start: from starting a process to its first healthy answer", "s", ("",), starts),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--take", type=Path, help="figures of a run to keep in docs/plots")
    parser.add_argument("--write", type=Path, default=PAGE)
    args = parser.parse_args()
    PLOTS.mkdir(exist_ok=True)
    if args.take:
        FIGURES.write_text(args.take.read_text(encoding="utf-8"), encoding="utf-8")
    data = load()
    args.write.write_text(page(args.write.read_text(encoding="utf-8"), data), encoding="utf-8")
    for name, text in pictures(data).items():
        (PLOTS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
