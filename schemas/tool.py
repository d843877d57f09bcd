"""What `python -m schemas` does: write the generated files, check the contract, release a version of a schema."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from schemas.checks import all_problems, release
from schemas.contract import Contract
from schemas.outputs import outputs


def main(argv: list[str] | None = None, root: Path | None = None) -> int:
    """Exit code: 0 done, 1 problems (each printed with what to do)."""
    parser = argparse.ArgumentParser(prog="python -m schemas", description="The contract: schemas, topics, examples.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("generate", help="write the SDK's event module, the event reference and the examples' bytes")
    commands.add_parser("check", help="check schemas, released versions, topics, examples and that generated files are current")
    commands.add_parser(
        "release", help="keep changed schemas as a new version in schemas/released; they can then only be added to"
    )
    command = parser.parse_args(argv).command
    contract = Contract(root or Path(__file__).parent.parent)
    if command == "generate":
        return _generate(outputs(contract))
    if command == "release":
        for line in release(contract):
            print(line)
        return 0
    found = all_problems(contract)
    for problem in found:
        print(f"schemas: {problem}", file=sys.stderr)
    if not found:
        print(f"schemas: {len(contract.names())} schemas, {len(contract.examples())} examples, generated files: all in order")
    return 1 if found else 0


def _generate(files: Mapping[Path, str]) -> int:
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 0
