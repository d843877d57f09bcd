"""Log lines: one event a line, JSON that parses, fields, and no value that an exception of a library quotes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from connectors.ranges import StoreError
from pipeline.log import ConsoleFormatter, JsonFormatter, within

CANARY = "canary-4711"


class Strict(BaseModel):
    number: int


def record(
    message: str, *args: object, error: BaseException | None = None, name: str = "pipeline.x", **extra: object
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.getLogger(name).makeRecord(name, logging.ERROR, "x.py", 1, message, args, info, extra=extra or None)


def raised(make: Any) -> BaseException:
    try:
        make()
    except Exception as exc:
        return exc
    raise AssertionError


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter("processor").format(made)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_line_says_when_who_what_and_where() -> None:
    line = as_json(record("%s is\nstopped", "raw[3]", partition=3, offset=17))
    assert datetime.fromisoformat(line.pop("time")).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert line == {
        "level": "error",
        "part": "processor",
        "logger": "pipeline.x",
        "message": "raw[3] is\nstopped",
        "fields": {"partition": 3, "offset": 17},
    }


def test_fields_of_the_work_at_hand_are_in_every_line_of_it() -> None:
    with within(extract="e1"), within(attempt=2):
        assert as_json(record("begins", offset=3))["fields"] == {"extract": "e1", "attempt": 2, "offset": 3}
    assert "fields" not in as_json(record("idle"))


LEAKS = [
    lambda: Strict.model_validate({"number": CANARY}),
    lambda: int(CANARY),
    lambda: dict[str, str]()[CANARY],
    lambda: json.loads(f'{{"a": {CANARY}}}'),
    lambda: CANARY.encode("utf-16").decode("ascii"),
]


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("formatter", [JsonFormatter("x"), ConsoleFormatter()])
def test_what_a_library_says_of_a_value_is_not_written(leak: Any, formatter: logging.Formatter) -> None:
    error = raised(leak)
    line = formatter.format(record("it failed", error=error))
    assert type(error).__name__ in line
    assert "test_log.py" in line
    assert CANARY not in line
    assert "\n" not in line


@pytest.mark.parametrize("leak", LEAKS[:3])
def test_pythons_own_formatter_would_have_written_it(leak: Any) -> None:
    """Negative control: without our formatter the value shows."""
    assert CANARY in logging.Formatter().format(record("it failed", error=raised(leak)))


def test_what_our_own_exceptions_say_is_written() -> None:
    def fail() -> None:
        raise StoreError("the disk is full: make room")

    line = as_json(record("back", error=raised(fail)))
    assert line["exception"]["text"] == "the disk is full: make room"
    assert "the disk is full" in ConsoleFormatter().format(record("back", error=raised(fail)))


def test_asyncio_does_not_get_to_quote_a_task() -> None:
    made = record("Task exception was never retrieved\nfuture: <Task exception=ValueError('%s')>", CANARY, name="asyncio")
    assert as_json(made)["message"] == "Task exception was never retrieved"


UNCAUGHT = {
    "main": "int('canary-4711')",
    "thread": "t = threading.Thread(target=int, args=('canary-4711',)); t.start(); t.join()",
    "finaliser": "X = type('X', (), {'__del__': lambda self: int('canary-4711')}); X()",
    "warning": "import warnings; warnings.warn('deprecated')",
}


@pytest.mark.parametrize("where", UNCAUGHT)
def test_what_nobody_caught_is_a_line_like_any_other(where: str) -> None:
    program = f"import threading; from pipeline import log; log.setup('json', 'export'); {UNCAUGHT[where]}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == 1, done.stderr
    assert lines[0]["part"] == "export"
    assert CANARY not in done.stderr
    if where != "warning":
        assert lines[0]["exception"]["type"] == "ValueError"
