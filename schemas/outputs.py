"""Every generated file with the text it must have."""

from __future__ import annotations

from pathlib import Path

from schemas.binary import encode
from schemas.codegen import event_module
from schemas.contract import Contract, load
from schemas.reference import page


def outputs(contract: Contract) -> dict[Path, str]:
    """Path → text. Raises ValueError where a schema or an example is beyond what the generator understands."""
    event = contract.schema("audit_event")
    files = {
        contract.root / "connectors/sdk/src/auditwire/_event.py": event_module(event),
        contract.root / "docs/event-reference.md": page(event),
    }
    for example in contract.examples():
        files[example.with_suffix(".avro.hex")] = example_hex(contract, example)
    return files


def example_hex(contract: Contract, example: Path) -> str:
    """The example's Avro body (no Confluent header) as hex in lines of 64 digits."""
    text = encode(contract.schema(example.parent.name), load(example)).hex()
    return "".join(text[i : i + 64] + "\n" for i in range(0, len(text), 64))
