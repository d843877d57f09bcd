"""The files of the contract below a root folder, parsed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Contract:
    """``root`` is a checkout: it holds schemas/, docs/ and connectors/sdk/."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "schemas"

    def names(self) -> list[str]:
        """Schemas, such as audit_event."""
        return sorted(p.stem for p in (self.folder / "avro").glob("*.avsc"))

    def schema(self, name: str) -> dict[str, Any]:
        return load(self.folder / "avro" / f"{name}.avsc")

    def released(self, name: str) -> dict[int, dict[str, Any]]:
        """Released versions by number."""
        return {int(p.stem): load(p) for p in (self.folder / "released" / name).glob("*.avsc")}

    def examples(self) -> list[Path]:
        """Golden examples, ``examples/<schema>/<what>.json``."""
        return sorted((self.folder / "examples").glob("*/*.json"))

    def topics(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / "topics.yaml").read_text(encoding="utf-8"))
        return found


def load(path: Path) -> dict[str, Any]:
    """A JSON file. Raises ValueError that names it."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): correct it") from None
    return found
