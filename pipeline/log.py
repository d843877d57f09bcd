"""Log lines of every part: JSON or console, UTC, one event a line on standard error. They carry positions and ids, no values.

Of an exception only its type and where it was raised are written: the text of a library's exception may quote what it choked on.
Our own exceptions are written to be read, and quote nothing.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Any, Literal

OURS = ("pipeline.", "connectors.", "auditwire.", "schemas.", "infra.")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
FRAMES = 12
_WITHIN: ContextVar[Mapping[str, str | int]] = ContextVar("within", default=MappingProxyType({}))
Info = tuple[type[BaseException], BaseException, TracebackType | None]


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, part, logger, message, fields (what was given as ``extra``), and of an
    exception its type, the innermost places of its stack, and its text where it is one of ours.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, part: str = "") -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "part": self._part,
            "logger": record.name,
            "message": message_of(record),
        }
        if fields := fields_of(record):
            line["fields"] = fields
        if (error := exception_of(record)) is not None:
            line["exception"] = error
        return json.dumps(line, default=lambda value: type(value).__name__)


class ConsoleFormatter(logging.Formatter):
    """The same for people."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        text = f"{moment}.{int(record.msecs):03d}Z {record.levelname:<7} {record.name}: {message_of(record)}"
        if (error := exception_of(record)) is not None:
            said = f" ({error['text']})" if "text" in error else ""
            text += f" | {error['type']}{said} at {' < '.join(error['stack'])}"
        return text.replace("\r", " ").replace("\n", " | ")


def message_of(record: logging.LogRecord) -> str:
    """The message; of asyncio's only the first line, because it goes on with the exception's text."""
    text = record.getMessage()
    return text.partition("\n")[0] if record.name == "asyncio" else text


@contextmanager
def within(**fields: str | int) -> Iterator[None]:
    """Positions and ids that every line of this thread or task gets meanwhile."""
    token = _WITHIN.set({**_WITHIN.get(), **fields})
    try:
        yield
    finally:
        _WITHIN.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as ``extra`` or through `within`: positions and ids."""
    return {**_WITHIN.get(), **{name: value for name, value in vars(record).items() if name not in STANDARD}}


def exception_of(record: logging.LogRecord) -> dict[str, Any] | None:
    """Type, stack (innermost first) and, for exceptions of ours, text."""
    if not record.exc_info or record.exc_info[1] is None:
        return None
    _, error, trace = record.exc_info
    frames = traceback.extract_tb(trace)[-FRAMES:]
    found: dict[str, Any] = {
        "type": type(error).__qualname__,
        "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames)],
    }
    if f"{type(error).__module__}.".startswith(OURS):
        found["text"] = str(error)
    return found


def setup(form: Literal["json", "console"], part: str = "") -> None:
    """Install one handler on the root logger, for what nobody caught too; called once by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(part) if form == "json" else ConsoleFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for noisy in ("aiokafka", "faust", "mode", "httpx", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python would print the text of the exception."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("pipeline").critical("not caught: %s", kind.__qualname__, exc_info=(kind, error, trace))
