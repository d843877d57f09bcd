"""The compiled peer of `bench.peers` decodes as the contract says and masks as the naive consumer does."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench import compiled_peer
from bench.naive import clean
from bench.peer_detectors import DETECTORS
from bench.stages import ABSENT
from connectors import avro
from schemas import AVRO, EXAMPLES
from tests.unit.findings import FINDINGS, HARMLESS

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="there is no `go` on PATH to build it with")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compiled_peer.build("./show", into=tmp_path_factory.mktemp("compiled"))
    except compiled_peer.LeftOutError as exc:
        if "requires go >=" in str(exc) or "toolchain" in str(exc):
            pytest.skip(f"the `go` here is too old: {exc}")
        raise


def shown(program: Path, folder: Path, bodies: list[str], plain: bool) -> list[dict[str, Any]]:
    """What the compiled peer makes of these bodies (hex)."""
    argv = [str(program), str(AVRO / "audit_event.avsc"), str(compiled_peer.task(folder / "task.json", plain=plain))]
    done = subprocess.run(argv, input="\n".join(bodies), capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_golden_examples_are_decoded(program: Path, tmp_path: Path) -> None:
    examples = sorted((EXAMPLES / "audit_event").glob("*.json"))
    bodies = ["".join(path.with_suffix(".avro.hex").read_text().split()) for path in examples]
    expected = [clean(copy.deepcopy(ABSENT | json.loads(path.read_text()))) for path in examples]
    assert shown(program, tmp_path, bodies, plain=False) == expected


@pytest.mark.parametrize("plain", [False, True])
def test_findings_are_masked_and_look_alikes_stay(program: Path, tmp_path: Path, plain: bool) -> None:
    codec = avro.RecordCodec("audit_event", 1)
    texts = [finding.text for finding in FINDINGS] + list(HARMLESS)
    events = [
        ABSENT
        | {"event_id": text, "message": f"a {text} b", "actor_id": text, "delegation_chain": ["", text]}
        | {"attributes": [{"key": text, "value": text}], "occurred_at": 1}
        for text in texts
    ]
    known = sum(finding.kind in {detector.name for detector in DETECTORS} for finding in FINDINGS)
    found = shown(program, tmp_path, [codec.encode(event)[5:].hex() for event in events], plain)
    assert found == [clean(copy.deepcopy(event)) for event in events]
    assert sum(event["message"] != one["message"] for event, one in zip(events, found, strict=True)) >= 0.9 * known
