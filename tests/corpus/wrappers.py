"""What agents and tools put around a document: JSON, nested JSON, diffs, numbered listings, logs of a build, chats."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.corpus import prose
from tests.corpus.draw import Draw
from tests.corpus.marks import Line, joined, json_escaped, prefixed_inside

_ENDING = {
    "env": ".env",
    "yaml": ".yaml",
    "json": ".json",
    "toml": ".toml",
    "xml": ".xml",
    "sql": ".sql",
    "code": ".py",
    "table": ".csv",
    "netrc": "",
}
Wrapped = tuple[str, Line]
"""The field of the event and its text."""


def _path(d: Draw, form: str) -> str:
    return f"{d.pick(['src', 'deploy', 'config', '/srv/app', '/home/ci'])}/{d.word()}{_ENDING.get(form, '.txt')}"


def as_is(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    fields = {
        "trace": "error_message",
        "log": d.pick(["message", "tool_result"]),
        "prose": d.pick(["prompt", "response", "reason", "message"]),
    }
    return fields.get(form, d.pick(["tool_result", "tool_result", "response", "target_details"])), joined(lines)


def arguments(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """The arguments of a tool call: the document is one of them, escaped."""
    inner = json_escaped(joined(lines), ascii_only=d.chance(0.3))
    if form == "shell":
        return "tool_args", ['{"command": "', *inner, f'", "timeout": {d.number(10, 600)}}}']
    if form == "sql":
        return "tool_args", ['{"query": "', *inner, '", "database": "orders", "read_only": false}']
    if form == "prose":
        return "tool_args", ['{"channel": "ops", "text": "', *inner, '"}']
    return "tool_args", [f'{{"path": {json.dumps(_path(d, form))}, "content": "', *inner, '", "mode": "0644"}']


def nested(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """JSON in JSON: the answer of a tool server whose text is JSON again."""
    once = ['{"status":"ok","stdout":"', *json_escaped(joined(lines)), f'","exit_code":{d.number(0, 2)}}}']
    return "tool_result", ['{"content":[{"type":"text","text":"', *json_escaped(once), '"}],"isError":false}']


def _signed(sign: str, line: Line) -> Line:
    return [sign, *prefixed_inside(line, lambda: sign)]


def diff(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    path = _path(d, form)
    head: Line = [
        f"diff --git a/{path} b/{path}\nindex {d.hexa(7)}..{d.hexa(7)} 100644\n--- a/{path}\n+++ b/{path}\n",
        f"@@ -1,{d.number(3, 9)} +1,{d.number(3, 9)} @@\n",
    ]
    signed = [_signed(d.pick(["+", "+", "-", " "]), line) for line in lines]
    return d.pick(["tool_result", "response"]), [*head, *joined(signed)]


def numbered(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """A listing with line numbers, as tools that read files answer."""
    count = iter(range(d.number(1, 90), 10_000))

    def prefix() -> str:
        return f"{next(count):6d}\t"

    return "tool_result", [prefix(), *prefixed_inside(joined(lines), prefix)]


def found(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """What a search over files prints."""
    path = _path(d, form)
    count = iter(range(d.number(1, 90), 10_000))

    def prefix() -> str:
        return f"{path}:{next(count)}:"

    return "tool_result", [prefix(), *prefixed_inside(joined(lines), prefix)]


def build_log(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """A job's log: time and step before each line, colours on the commands."""
    date, second = d.date(), d.number(0, 59)

    def prefix() -> str:
        return f"{date}T10:{second:02d}:00.{d.digits(7)}Z "

    head: Line = [prefix(), f"\x1b[32;1m$ ./ci/{d.word()}.sh\x1b[0m\n", prefix()]
    return "tool_result", [*head, *prefixed_inside(joined(lines), prefix)]


def shown(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    return "tool_result", [f"$ cat {_path(d, form)}\n", *joined(lines), "\n$ "]


def chat(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """A person or a model writes about the document, which stands between fences."""
    before, after = prose.clean_line(d, lang), prose.clean_line(d, lang)
    fence = f"\n\n```{d.pick(['', form])}\n"
    return d.pick(["prompt", "response"]), [*before, fence, *joined(lines), "\n```\n", *after]


def quoted_mail(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    return "prompt", [*prose.clean_line(d, lang), "\n\n> ", *prefixed_inside(joined(lines), lambda: "> ")]


def failed(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    return "error_message", [
        f"CalledProcessError: step {d.number(1, 40)} returned non-zero exit status 1, output:\n",
        *joined(lines),
    ]


def escaped_bytes(d: Draw, form: str, lang: str, lines: list[Line]) -> Wrapped:
    """Python's way to print bytes."""
    return "error_message", [f'unexpected reply (status {d.number(400, 599)}): b"', *json_escaped(joined(lines)), '"']


Wrapper = Callable[[Draw, str, str, list[Line]], Wrapped]
_FILES: tuple[Wrapper, ...] = (as_is, arguments, arguments, nested, diff, numbered, shown, chat)
WRAPPERS: dict[str, tuple[Wrapper, ...]] = {
    "shell": (as_is, as_is, arguments, arguments, nested, build_log, build_log, chat, failed),
    "prose": (as_is, as_is, as_is, as_is, arguments, quoted_mail),
    "log": (as_is, as_is, nested, failed, chat, shown),
    "trace": (as_is, as_is, nested, build_log, chat),
    "http": (as_is, as_is, nested, arguments, chat, escaped_bytes),
    "sql": (as_is, arguments, arguments, nested, diff, build_log, chat),
    "code": (arguments, diff, diff, numbered, found, chat, nested, as_is),
    **dict.fromkeys(("env", "yaml", "json", "toml", "xml", "table", "file"), _FILES),
}
