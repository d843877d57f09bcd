"""How a document of each form writes down a name and a value: one line each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from tests.corpus import prose
from tests.corpus.context_files import escaped_value
from tests.corpus.draw import Draw
from tests.corpus.marks import HARMLESS, Line, Value

FORMS = ("env", "yaml", "json", "toml", "xml", "shell", "http", "sql", "log", "code", "trace", "table")


def _snake(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def upper(name: str) -> str:
    return _snake(name).upper()


def dashed(name: str) -> str:
    return _snake(name).replace("_", "-")


def _env(d: Draw, name: str, v: Value) -> Line:
    if v.mark.kind == "npm_token" and d.chance(0.4):
        return ["//registry.example.com/:_authToken=", v.mark]
    q = '"' if any(c in v.mark.text for c in " #$'&;()<>") else d.pick(["", "", '"'])
    return [f"{d.pick(['', '', 'export '])}{upper(name)}={q}", v.mark, q]


def _yaml(d: Draw, name: str, v: Value) -> Line:
    risky = v.mark.text[:1] in "!*&@%#{[>|-?:,`\"'" or ": " in v.mark.text or " #" in v.mark.text
    q = d.pick(['"', "'"]) if risky else d.pick(["", "", '"', "'"])
    if d.chance(0.15):
        return [f"      - name: {upper(name)}\n        value: {q}", v.mark, q]
    return [f"{' ' * d.pick([2, 4, 6])}{name}: {q}", v.mark, q]


def _json(d: Draw, name: str, v: Value) -> Line:
    v = escaped_value(v, "json")
    return [f'  "{name}":{d.pick([" ", " ", ""])}"', v.mark, '"']


def _toml(d: Draw, name: str, v: Value) -> Line:
    q = '"' if '"' not in v.mark.text and "\\" not in v.mark.text else "'"
    return [f"{_snake(name)} = {q}", v.mark, q]


def _xml(d: Draw, name: str, v: Value) -> Line:
    v = escaped_value(v, "xml")
    tag = _snake(name)
    if d.chance(0.4):
        return [f'  <{d.pick(["add", "entry", "property", "param"])} {d.pick(["key", "name"])}="{name}" value="', v.mark, '"/>']
    return [f"  <{tag}>", v.mark, f"</{tag}>"]


def _shell(d: Draw, name: str, v: Value) -> Line:
    q = "'" if re.search(r"[\s#$&;()<>!*?|%]", v.mark.text) else d.pick(["", "", "'", '"'])
    form = d.number(0, 4)
    if v.mark.kind.startswith(("gitlab_", "github_")) and d.chance(0.3):
        user = d.pick(["oauth2", "x-access-token", "ci"])
        return [
            f"$ git clone https://{user}:",
            v.mark,
            f"@{d.pick(['git.example.org', 'git.example.com'])}/{d.word()}/{d.word()}.git",
        ]
    if form == 0:
        return [f"$ export {upper(name)}={q}", v.mark, q]
    if form == 1:
        return [f"$ {d.pick(['./run.sh', 'tool', 'python job.py', 'ctl apply'])} --{dashed(name)} {q}", v.mark, f"{q} --env prod"]
    if form == 2:
        return [f"{_snake(name).replace('_', ' ').capitalize()}: ", v.mark]
    if form == 3:
        return [f'$ curl -s -H "X-{name.title().replace("_", "-")}: ', v.mark, f'" https://{d.host()}/v2/{d.word()}']
    return [f"$ tool config set {_snake(name).replace('_', '.')} {q}", v.mark, q]


def _http(d: Draw, name: str, v: Value) -> Line:
    form = d.number(0, 2)
    if form == 0 and "\n" not in v.mark.text:
        text = quote(v.mark.text, safe="")
        return [f"GET /{d.word()}?{_snake(name)}=", replace(v.mark, text=text), f"&page={d.number(1, 9)} HTTP/1.1"]
    if form == 1:
        v = escaped_value(v, "json")
        return [f'{{"{name}":"', v.mark, f'","ok":true,"took":{d.number(1, 900)}}}']
    if v.mark.group == "formatted" and d.chance(0.5):
        return [f"Authorization: {d.pick(['Bearer', 'Bearer', 'token'])} ", v.mark]
    return [f"X-{name.title().replace('_', '-')}: ", v.mark]


def _sql(d: Draw, name: str, v: Value) -> Line:
    column, table = _snake(name), d.pick(["customers", "accounts", "settings", "events", "contacts"])
    mark = replace(v.mark, text=v.mark.text.replace("'", "''"))
    form = d.number(0, 3)
    if form == 0:
        return [f"INSERT INTO {table} (id, {column}, active) VALUES ({d.number(1, 9999)}, '", mark, "', true);"]
    if form == 1:
        return [f"SELECT id FROM {table} WHERE {column} = '", mark, f"' LIMIT {d.number(1, 50)};"]
    if form == 2:
        return [f"UPDATE {table} SET {column} = '", mark, f"' WHERE id = {d.number(1, 9999)};"]
    return [f"DELETE FROM {table} WHERE {column} IN ('", mark, "');"]


def _log(d: Draw, name: str, v: Value) -> Line:
    head = f"{d.stamp()} {d.pick(['INFO', 'WARN', 'DEBUG', 'ERROR'])} {d.service()} "
    form = d.number(0, 3)
    if form == 0:
        return [f"{head}{_snake(name)}=", v.mark, f" status={d.pick([200, 201, 404, 500])}"]
    if form == 1:
        return [f"{head}{name}: ", v.mark]
    if form == 2 and v.bare:
        return [f"{head}{d.pick(['seen', 'resolved', 'got', 'loaded'])} ", v.mark, " from request"]
    return [f"{head}[{name}=", v.mark, f"] took {d.number(1, 900)}ms"]


def _code(d: Draw, name: str, v: Value) -> Line:
    v = escaped_value(v, "code")
    form = d.number(0, 4)
    if form == 0:
        return [f'{_snake(name)} = "', v.mark, '"']
    if form == 1:
        return [f'const {re.sub(r"_([a-z])", lambda m: m[1].upper(), _snake(name))} = "', v.mark, '";']
    if form == 2:
        return [f'    client = Client({_snake(name)}="', v.mark, f'", timeout={d.number(5, 60)})']
    if form == 3:
        return [f'    config["{name}"] = "', v.mark, '"']
    return [f'\t{re.sub("_", "", _snake(name).title())}: "', v.mark, '",']


def _trace(d: Draw, name: str, v: Value) -> Line:
    label = _snake(name).replace("_", " ")
    before, after = d.pick(
        [
            (f"ValueError: invalid {label}: '", "'"),
            (f"requests.exceptions.HTTPError: 401 Client Error: {label} ", " was refused"),
            (f"java.lang.IllegalStateException: {label} [", "] is not known"),
            (f"Error: {_snake(name)}=", " rejected by upstream"),
            (f'    raise ConfigError("{name}", \'', "')"),
            (f"KeyError: {{'{name}': '", "'}"),
            (f'panic: bad {label} "', '" [recovered]'),
        ]
    )
    return [before, v.mark, after]


def _table(d: Draw, name: str, v: Value) -> Line:
    """A row of comma-separated values, or of a Markdown table where a name is needed."""
    if v.bare and d.chance(0.7):
        return [f"{d.number(1, 9999)},{d.word()},", v.mark, f",{d.date()}"]
    if d.chance(0.5):
        return [f"| {name} | ", v.mark, " |"]
    return [f"{d.number(1, 9999)};{_snake(name)};", v.mark, f";{d.word()}"]


_CARRIERS: dict[str, Callable[[Draw, str, Value], Line]] = {
    "env": _env,
    "yaml": _yaml,
    "json": _json,
    "toml": _toml,
    "xml": _xml,
    "shell": _shell,
    "http": _http,
    "sql": _sql,
    "log": _log,
    "code": _code,
    "trace": _trace,
    "table": _table,
}


_NEUTRAL = ("value", "data", "arg", "input", "text", "field1", "param", "default", "note")


def carry(d: Draw, form: str, value: Value, lang: str = "en") -> Line:
    """A line of this form with the value under one of its names, or where its looks tell enough under one that says nothing."""
    if value.mark.group != HARMLESS and value.bare and (value.mark.public or value.mark.group == "personal") and d.chance(0.25):
        value = replace(value, names=_NEUTRAL)
    if form == "prose":
        if value.mark.group == HARMLESS:
            return [f"({d.pick(value.names)}: ", value.mark, ")"]
        return prose.value_line(d, lang, value)
    return _CARRIERS[form](d, d.pick(value.names), value)
