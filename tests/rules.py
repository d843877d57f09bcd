"""Rules for tests: documents as YAML → what the stages take."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.reference import source
from pipeline.rules import check
from pipeline.rules.decide import Rules
from pipeline.rules.model import KINDS, parse


def revision(text: str) -> str:
    """The canonical document of YAML documents that are in order."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.yaml").write_text(text, encoding="utf-8")
        documents, problems = source.read(Path(folder), KINDS)
        problems += check.problems(documents, ["standard", "extended"])
        assert problems == [], [str(problem) for problem in problems]
        found, large = check.document_of(documents)
        assert large is None
        return found


def rules(text: str, number: str = "1", *, outdated: bool = False) -> Rules:
    """Those documents, ready to be asked."""
    return Rules(parse(number, revision(text)), outdated=outdated)
