"""The sample queries `docs/queries/NN-name.sql`: their headings, and the page that lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "queries"
INTRO = """\
Questions that analysts ask, each a file of plain ClickHouse SQL with parameters; the tests run all of them on known events as
tenant `demo`'s analyst. With the shell set up as in [analysts](../analysts.md#the-first-answer), from the root of the checkout:

```sh
curl -sS "$AUDITWIRE_CLICKHOUSE_URL/?database=audit&default_format=PrettyCompactMonoBlock" \\
  --user "$AUDITWIRE_CLICKHOUSE_USER:$AUDITWIRE_CLICKHOUSE_PASSWORD" \\
  -F 'param_tenant=demo' -F 'param_from=2026-11-01 00:00:00' -F 'param_to=2099-01-01 00:00:00' \\
  -F 'query=<docs/queries/01-high-risk-tools.sql'
```

The values in the table are examples. What the views and columns mean is in the [data dictionary](../data-dictionary.md).
"""


@dataclass(frozen=True)
class Query:
    """A sample query; ``parameters``: name → (example, meaning)."""

    path: Path
    question: str
    parameters: dict[str, tuple[str, str]]

    @property
    def sql(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def examples(self) -> dict[str, str]:
        """Name → example value."""
        return {name: example for name, (example, _) in self.parameters.items()}


def all_queries() -> list[Query]:
    """Every file in order. Raises ValueError where a heading does not say what the statement needs."""
    return [read(path) for path in sorted(FOLDER.glob("*.sql"))]


def read(path: Path) -> Query:
    """A file: ``-- question?`` in its first line, then ``-- name (example): meaning`` for each parameter.

    Raises ValueError that says what the heading lacks.
    """
    text = path.read_text(encoding="utf-8")
    parameters = {name: (example, meaning) for name, example, meaning in re.findall(r"^-- (\w+) \((.*)\): (.+)$", text, re.M)}
    used = set(re.findall(r"\{(\w+):", text))
    question = text.splitlines()[0].removeprefix("-- ")
    if not question.endswith("?"):
        raise ValueError(f"{path.name}: the first line must be a comment that ends with a question mark")
    if used != set(parameters):
        raise ValueError(f"{path.name}: heading and statement differ in {sorted(used ^ set(parameters))}")
    return Query(path, question, parameters)


def page() -> str:
    """`docs/queries/README.md` below its heading."""
    rows = ["| Query | Question | Parameters |", "|---|---|---|"]
    for query in all_queries():
        given = ", ".join(f"`{name}` = `{example}`" for name, example in query.examples().items()).replace("|", "\\|")
        rows.append(f"| [{query.path.stem}]({query.path.name}) | {query.question} | {given} |")
    return INTRO + "\n" + "\n".join(rows) + "\n"
