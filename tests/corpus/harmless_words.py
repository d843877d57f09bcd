"""Words around secrets without any: placeholders, references to variables, settings, functions; and long harmless blocks."""

from __future__ import annotations

import base64

from tests.corpus.draw import VOCABULARY, Draw
from tests.corpus.marks import Line, Mark, Value, harmless

_PLACEHOLDERS: list[str] = VOCABULARY["placeholders"]
_REFERENCES: list[str] = VOCABULARY["references"]
_SETTINGS: list[tuple[str, str]] = VOCABULARY["settings"]
_FUNCTIONS: list[str] = VOCABULARY["functions"]
_HEADERS: list[str] = VOCABULARY["header_placeholders"]
_COMMANDS: list[str] = VOCABULARY["commands"]


def placeholder(d: Draw) -> Value:
    names = ("api_key", "password", "token", "SECRET_KEY", "db_password", "access_token", "auth_token", "client_secret")
    return Value(harmless(d.pick(_PLACEHOLDERS), "placeholder"), names, "token")


def reference(d: Draw) -> Value:
    return Value(harmless(d.pick(_REFERENCES), "secret_reference"), ("password", "token", "api_key", "secret"), "token")


def setting(d: Draw) -> Value:
    name, value = d.pick(_SETTINGS)
    return Value(harmless(value, "secret_setting"), (name,), name.replace("_", " "))


def function(d: Draw) -> Line:
    return [harmless(d.pick(_FUNCTIONS), "function_with_password")]


def command(d: Draw) -> Line:
    return [harmless(d.pick(_COMMANDS), "command_without_secret")]


def header(d: Draw) -> Line:
    return [harmless(d.pick(_HEADERS), "header_placeholder")]


def certificate(d: Draw) -> Mark:
    name = d.pick(["CERTIFICATE", "CERTIFICATE", "PUBLIC KEY", "CERTIFICATE REQUEST"])
    body = base64.b64encode(b"0\x82\x03\x6d0\x82\x02U\xa0\x03\x02\x01\x02" + d.raw(d.pick([280, 520]))).decode()
    rows = [body[i : i + 64] for i in range(0, len(body), 64)]
    text = "\n".join([f"-----BEGIN {name}-----", *rows, f"-----END {name}-----"])
    return harmless(text, "certificate")


def minified(d: Draw) -> Line:
    """Bundled JavaScript: short names, colons, dots, long runs without a space."""
    out = "!function(e,t){"
    for _ in range(d.number(4, 14)):
        a, b, c = (d.pick("abcdefghijklmnopqrstuvwxyz") for _ in range(3))
        out += d.pick(
            [
                f"var {a}={b}.{c}({d.number(0, 999)}),",
                f'{a}.token="{b}"+{c}.length;',
                f"function {a}({b}){{return {b}.password?{c}({b}):null}}",
                f"{a}={{key:{b}.id,secret:!0,auth:{c}}};",
                f'{a}({d.number(1, 9999)},"{d.word()}");',
            ]
        )
    return [harmless(out + "}(window,document);", "minified_js")]
