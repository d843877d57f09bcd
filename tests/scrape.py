"""What /metrics of a process says, and whether its labels are from the closed lists."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from pipeline import metrics
from pipeline.metric_labels import LABELS


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


def parsed(text: str) -> list[Sample]:
    """Every sample of a page in Prometheus' text form."""
    return [Sample(s.name, dict(s.labels), float(s.value)) for f in text_string_to_metric_families(text) for s in f.samples]


def scrape(listen: str) -> list[Sample]:
    """The page of a process by its AUDITWIRE_ADMIN_LISTEN."""
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=20) as answer:
        return parsed(answer.read().decode())


def total(samples: Iterable[Sample], name: str, **labels: str) -> float:
    """Sum of the samples of that name whose labels include these."""
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def sample(name: str, **labels: str) -> float:
    """A value of this process; fails where there is none."""
    found = [s.value for s in parsed(generate_latest(REGISTRY).decode()) if s.name == name and s.labels == labels]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return found[0]


def declared() -> dict[str, MetricWrapperBase]:
    """Metrics of `pipeline/metrics.py` by the name that a page shows."""
    found: dict[str, MetricWrapperBase] = {}
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(str(value._type), [""])
            found |= {value._name + suffix: value for suffix in suffixes}
    return found


def strange(samples: Iterable[Sample]) -> list[str]:
    """Samples of ours that are not declared, or whose labels say what no list knows."""
    known, found = declared(), []
    for s in samples:
        if not s.name.startswith("auditwire_") or s.name.endswith("_created"):
            continue
        if s.name not in known:
            found.append(f"{s.name} is not declared")
            continue
        for label, value in s.labels.items():
            if label == "le" and s.name.endswith("_bucket"):
                continue
            if label not in LABELS or not LABELS[label].allows(value):
                found.append(f"{s.name}: {label}={value!r}")
    return found
