"""Sentences in eleven languages: about work, about passwords without one, with a password, a token, a person's data."""

from __future__ import annotations

from dataclasses import dataclass

from tests.corpus.context_shell import context, opaque, password
from tests.corpus.draw import VOCABULARY, Draw
from tests.corpus.marks import Line, Value, harmless


@dataclass(frozen=True)
class Tongue:
    """Templates of one language; {} takes the secret, {0} a label and {1} a value."""

    clean: list[str]
    about: list[str]
    password: list[str]
    token: list[str]
    personal: list[str]


TONGUES = {name: Tongue(**parts) for name, parts in VOCABULARY["languages"].items()}
LABELS: dict[str, dict[str, str]] = VOCABULARY["labels"]
NAMES = tuple(TONGUES)


def _filled(template: str, *parts: str | Value) -> Line:
    """The template with its {} or {0} and {1} filled."""
    template = template.replace("{}", "{1}")
    before, _, after = template.partition("{1}")
    label, value = parts
    assert isinstance(label, str) and isinstance(value, Value)
    return [before.replace("{0}", label), value.mark, after.replace("{0}", label)]


def password_line(d: Draw, lang: str) -> Line:
    symbols = "!#*+_-%" if lang != "en" else "!#*+-_%&$"
    found = Value(context(password(d, symbols, accents=d.chance(0.1)), "prose_password"), (), "")
    return _filled(d.pick(TONGUES[lang].password), "", found)


def token_line(d: Draw, lang: str) -> Line:
    return _filled(d.pick(TONGUES[lang].token), "", Value(context(opaque(d), "prose_token"), (), ""))


def value_line(d: Draw, lang: str, value: Value) -> Line:
    """Somebody tells a value of any kind; personal data with their label, tokens with the language's word for key or token."""
    if value.mark.group == "formatted":
        return _filled(d.pick(TONGUES[lang].token), "", value)
    label = LABELS.get(value.label, {}).get(lang, value.label)
    return _filled(d.pick(TONGUES[lang].personal), label, value)


def clean_line(d: Draw, lang: str) -> Line:
    """A sentence without a secret; those about passwords and tokens are marked: they must stay."""
    if d.chance(0.55):
        return [d.pick(TONGUES[lang].clean)]
    return [harmless(d.pick(TONGUES[lang].about), "prose_about_secrets")]
