"""Documents of each form: the lines with secrets among lines that have none, in the frame that the form asks for."""

from __future__ import annotations

from tests.corpus import harmless_ids, harmless_words, prose
from tests.corpus.carriers import carry
from tests.corpus.draw import VOCABULARY, Draw
from tests.corpus.marks import HARMLESS, Line, Mark, json_escaped, plain_text, prefixed_inside

# What fills a screen by itself comes half as often.
_LONG = ("base64_image", "public_key", "sha512")
_HARMLESS_KINDS = tuple(k for k in harmless_ids.KINDS if k not in _LONG) * 2 + _LONG

_OWN: dict[str, list[str]] = VOCABULARY["document_lines"]


def filler(d: Draw, form: str, lang: str) -> Line:
    """A line of the form without a secret."""
    if form == "prose":
        return prose.clean_line(d, lang) if d.chance(0.7) else carry(d, form, harmless_ids.made(d, d.pick(_HARMLESS_KINDS)), lang)
    share = d.random.random()
    if share < 0.55:
        return carry(d, form, harmless_ids.made(d, d.pick(_HARMLESS_KINDS)), lang)
    if share < 0.65:
        return carry(
            d,
            form,
            d.pick([harmless_words.placeholder, harmless_words.reference, harmless_words.setting, harmless_words.setting])(d),
            lang,
        )
    if share < 0.72 and form in ("code", "trace"):
        return harmless_words.function(d)
    if share < 0.74 and form == "http":
        return harmless_words.header(d)
    if share < 0.78 and form == "shell":
        return ["$ ", *harmless_words.command(d)]
    return [d.pick(_OWN[form])]


def _json_body(d: Draw, lines: list[Line]) -> list[Line]:
    """Members of one object with commas between them; empty lines fall out."""
    members = [line for line in lines if any(isinstance(p, Mark) for p in line) or plain_text(line).strip()]
    out: list[Line] = [["{"]]
    out += [[*line, "," if n < len(members) - 1 else ""] for n, line in enumerate(members)]
    return [*out, ["}"]]


def _frame(d: Draw, form: str, lines: list[Line]) -> list[Line]:
    if form == "json":
        return _json_body(d, lines)
    if form == "xml":
        return [['<?xml version="1.0" encoding="UTF-8"?>'], ["<configuration>"], *lines, ["</configuration>"]]
    if form == "yaml":
        return [[d.pick(["services:", "spec:", "config:", "data:"])], *lines]
    if form == "toml":
        return [[f"[{d.pick(['server', 'database', 'tool.deploy', 'auth'])}]"], *lines]
    if form == "http":
        return [[f"{d.pick(['POST', 'PUT', 'GET'])} /v1/{d.word()} HTTP/1.1"], *lines]
    if form == "table":
        return [[d.pick(["id,name,value,created", "id;key;value;note"])], *lines]
    if form == "trace":
        return [["Traceback (most recent call last):"], ['  File "/srv/app/main.py", line 7, in <module>'], *lines]
    if form == "log":
        return [
            line if line and (isinstance(line[0], Mark) or line[0][:2] == "20") else [f"{d.stamp()} INFO ", *line]
            for line in lines
        ]
    return lines


def body(d: Draw, form: str, lang: str, lines: list[Line]) -> list[Line]:
    """The document: these lines in their order, among others. Short ones and long ones."""
    count = d.pick([0, 1, 2, 3, 3, 4, 5, 6, 8]) if lines else d.pick([1, 2, 3, 3, 4, 5, 6, 8, 10])
    for _ in range(count):
        lines = [*lines[: (at := d.number(0, len(lines)))], filler(d, form, lang), *lines[at:]]
    if form in ("code", "shell") and d.chance(0.04):
        lines = [*lines, harmless_words.minified(d)]
    if form in ("shell", "yaml", "json", "code") and d.chance(0.04):
        lines = [*lines, key_lines(form, harmless_words.certificate(d))]
    return _frame(d, form, lines)


def key_lines(form: str, mark: Mark) -> Line:
    """A key file or a certificate as the form holds it: escaped in JSON and quotes, indented in YAML."""
    name = "certificate" if mark.group == HARMLESS else "private_key"
    if form == "json":
        return [f'  "{name}": "', *json_escaped([mark]), '\\n"']
    if form == "yaml":
        return [f"  {name}: |\n    ", *prefixed_inside([mark], lambda: "    ")]
    if form == "env":
        return [f'{name.upper()}="', *json_escaped([mark]), '"']
    if form in ("toml", "code"):
        return [f'{name} = """', mark, '"""']
    if form == "shell":
        return [f"$ cat /etc/ssl/{name}.pem\n", mark]
    if form == "log":
        return [
            f"2026-05-04T10:00:00.000Z DEBUG loaded {name} ",
            *prefixed_inside([mark], lambda: "2026-05-04T10:00:00.000Z DEBUG   "),
        ]
    if form == "xml":
        return [f"  <{name}>", mark, f"</{name}>"]
    return [mark]
