"""What an SRE sees in the demo: every part's health, and the figures to watch first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.console import Console
from rich.table import Table

from infra.demo.feed import DemoError, Fed

GROUPS = ("processor", "clickhouse-sink", "archive-sink")


def reference_in_use(settings: Mapping[str, str]) -> None:
    """Wait until the processor works with the published reference data. Raises DemoError."""
    began = time.monotonic()
    while _sum(settings, "auditwire_processor_reference_revision", series="reference") < 1:
        if time.monotonic() - began > 5:
            raise DemoError("the processor does not use the reference data 5 s after they were published: see log/processor.log")
        time.sleep(0.1)


def show(settings: Mapping[str, str], fed: Fed, console: Console) -> None:
    """Health of the parts, lag of the groups as seen from outside, and what became of the input."""
    table = Table("part", "/healthz", "CPU s", "memory MB", title="Every part answers for itself", title_justify="left")
    for url in _urls(settings):
        answer = httpx.get(url.removesuffix("/metrics") + "/healthz", timeout=10).json()
        found = {s.name: s.value for s in _samples(url)}
        cpu, memory = found["process_cpu_seconds_total"], found["process_resident_memory_bytes"]
        table.add_row(answer["part"], "well" if answer["healthy"] else answer["reason"], f"{cpu:.1f}", f"{memory / 1e6:.0f}")
    console.print(table)
    lag = Table("consumer group", "lag, events", "lag, s", title="Seen by lag-exporter, from outside", title_justify="left")
    for group in GROUPS:
        name = f"{settings['AUDITWIRE_NAMESPACE']}-{group}"
        events, seconds = (
            _sum(settings, metric, group=name) for metric in ("auditwire_group_lag", "auditwire_group_lag_seconds")
        )
        lag.add_row(name, f"{events:.0f}", f"{seconds:.1f}")
    console.print(lag)
    outcomes = {o: _sum(settings, "auditwire_processor_events_total", outcome=o) for o in ("clean", "duplicate", "quarantined")}
    said = ", ".join(f"{value:.0f} {name}" for name, value in outcomes.items())
    quarantined = _sum(settings, "auditwire_ingest_quarantined_total")
    console.print(f"  What became of the input: {said}; {quarantined:.0f} elements quarantined by the receiver")
    console.print(
        "  Alert rules, their tests and a dashboard: infra/prometheus, infra/grafana; a runbook an alert: docs/runbooks"
    )
    if outcomes["clean"] < sum(fed.events.values()) or quarantined != 2:
        raise DemoError("the metrics do not tell what became of the input")


def _urls(settings: Mapping[str, str]) -> list[str]:
    return sorted(settings["AUDITWIRE_METRICS_URLS"].split(","), key=lambda url: urlsplit(url).port or 0)


def _samples(url: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(httpx.get(url, timeout=10).text):
        yield from family.samples


def _sum(settings: Mapping[str, str], name: str, **labels: str) -> float:
    return sum(
        sample.value
        for url in _urls(settings)
        for sample in _samples(url)
        if sample.name == name and labels.items() <= sample.labels.items()
    )
