"""The sample queries `docs/queries/NN-name.sql`: their headings, and the page that lists them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "queries"
INTRO = """\
Questions that analysts ask, each a file of plain ClickHouse SQL with parameters; the tests run all of them on known events as
tenant `demo`'s analyst. With the shell set up as in [analysts](../analysts.md#the-first-answer), from the root of the checkout:

```bash
ask() {  # ask QUERY NAME=VALUE…
  local query=$1 fields=() pair; shift
  for pair in "$@"; do fields+=(--form-string "param_$pair"); done
  curl -sS "$AUDITWIRE_CLICKHOUSE_URL/?database=audit&default_format=PrettyCompactMonoBlock" \\
    --user "$AUDITWIRE_CLICKHOUSE_USER:$AUDITWIRE_CLICKHOUSE_PASSWORD" "${fields[@]}" -F "query=<docs/queries/$query.sql"
}
```

Every parameter must be given; one that is missing is named (`Substitution ... is not set`). Each file says in its first
lines what they mean. Times are UTC. A query that finds nothing prints nothing. What the views and columns mean is in the
[data dictionary](../data-dictionary.md).
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
    queries = all_queries()
    rows = ["| Query | Question |", "|---|---|", *(f"| [{q.path.stem}]({q.path.name}) | {q.question} |" for q in queries)]
    return "\n".join([INTRO, *rows, "", "With values to begin with:", "", "```bash", *map(_call, queries), "```"]) + "\n"


def _call(query: Query) -> str:
    """The query asked with its example values, as a line of shell."""
    given = (f"{name}={shlex.quote(example)}" for name, example in query.examples().items())
    return " ".join(["ask", query.path.stem, *given])
