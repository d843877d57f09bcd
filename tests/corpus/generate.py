"""Makes corpus.jsonl and the counts in README.md: `python -m tests.corpus.generate`. The same seed makes the same texts.

`--seed WORD --out FILE` makes other texts of the same kinds, for an engine that was tuned on the file in the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.corpus import (
    bodies,
    contact,
    context_files,
    context_shell,
    context_web,
    national_ids,
    payment,
    prose,
    tokens_apps,
    tokens_cloud,
    tokens_code,
)
from tests.corpus.carriers import FORMS, carry
from tests.corpus.disguises import disguised
from tests.corpus.draw import Draw
from tests.corpus.marks import Line, Value, labelled
from tests.corpus.wrappers import WRAPPERS

SEED = "auditwire redaction 1"
FILE = Path(__file__).with_name("corpus.jsonl")
README = Path(__file__).with_name("README.md")
COUNTS_BEGIN = "<!-- counts, written by python -m tests.corpus.generate -->\n"
COUNTS_END = "<!-- end of the counts -->\n"
CLEAN_SHARE = 0.49

Lines = Callable[[Draw, str, str], list[Line]]


@dataclass(frozen=True)
class Order:
    """A secret that some text has to hold: how its lines are made, and the form of document it needs ("" for any)."""

    lines: Lines
    form: str = ""
    lang: str = ""


def _carried(make: Callable[[Draw], Value]) -> Lines:
    def lines(d: Draw, form: str, lang: str) -> list[Line]:
        return [carry(d, form if form != "file" else "log", make(d), lang)]

    return lines


def _own(make: Callable[[Draw], Line]) -> Lines:
    return lambda d, form, lang: [make(d)]


def _several(make: Callable[[Draw], list[Line]]) -> Lines:
    return lambda d, form, lang: make(d)


def _typed(make: Callable[[Draw], Line]) -> Lines:
    """A command with or without the prompt before it."""
    return lambda d, form, lang: [[d.pick(["$ ", "$ ", "", "# "]), *make(d)]]


def _key(d: Draw, form: str, lang: str) -> list[Line]:
    mark = tokens_apps.pgp(d) if d.chance(0.25) else tokens_apps.pem(d)
    return [bodies.key_lines(form, tokens_apps.cut(mark, d) if d.chance(0.35) else mark)]


def _service_account(d: Draw, form: str, lang: str) -> list[Line]:
    before, mark, after = tokens_apps.service_account(d)
    return [[f'  "credentials": {before}', mark, after]]


def _aws_pair(d: Draw, form: str, lang: str) -> list[Line]:
    """A key id and its secret side by side, without a name for the secret."""
    a, b = tokens_cloud.aws_key_id(d).mark, tokens_cloud.aws_secret(d).mark
    joint = d.pick([",", ":", " ", "\t", "\n", " / "])
    return [[d.pick(["created access key ", "", f"{d.user()},", "mc alias set s3 https://s3.example.com "]), a, joint, b]]


def _azure_connection(d: Draw, form: str, lang: str) -> list[Line]:
    mark = tokens_cloud.azure_storage_key(d).mark
    before = f"DefaultEndpointsProtocol=https;AccountName=example{d.word()};AccountKey="
    name = {"env": "AZURE_STORAGE_CONNECTION_STRING=", "log": "using ", "yaml": "  storage: "}[form]
    return [[name + before, mark, ";EndpointSuffix=core.windows.net"]]


def _formatted() -> Iterator[Order]:
    makers = tokens_code.MAKERS | tokens_cloud.MAKERS | tokens_apps.MAKERS
    often = {
        "gitlab_pat": 60,
        "gitlab_other": 70,
        "github_token": 60,
        "aws_access_key_id": 40,
        "aws_secret_key": 40,
        "jwt": 50,
        "slack_token": 50,
    }
    for kind, make in makers.items():
        for _ in range(often.get(kind, 24)):
            yield Order(_carried(make))
    for n in range(200):
        yield Order(_key, ("json", "yaml", "env", "toml", "code", "shell", "log", "xml", "trace", "file")[n % 10])
    for _ in range(30):
        yield Order(_service_account, "json")
    for n in range(24):
        yield Order(_azure_connection, ("env", "log", "yaml")[n % 3])
    for n in range(40):
        yield Order(_aws_pair, ("shell", "table", "log", "file")[n % 4])


def _context() -> Iterator[Order]:
    for make in context_shell.MAKERS.values():
        for _ in range(48):
            yield Order(_typed(make), "shell")
    for kind, make in context_web.MAKERS.items():
        for n in range(44):
            yield Order(_own(make), "http" if n % 3 or kind == "form_field" else "log")
    for form in ("env", "yaml", "json", "toml", "xml", "code"):
        for _ in range(40):
            yield Order(_carried(partial(context_files.value, form=form)), form)
    for form, make in context_files.LINES.values():
        for _ in range(44):
            yield Order(_own(make), form)
    for lines in context_files.FILES.values():
        for _ in range(36):
            yield Order(_several(lines), "file")
    for name in prose.NAMES:
        for _ in range(14):
            yield Order(lambda d, form, lang: [prose.password_line(d, lang)], "prose", name)
        for _ in range(5):
            yield Order(lambda d, form, lang: [prose.token_line(d, lang)], "prose", name)


def _personal() -> Iterator[Order]:
    for make, count in (
        (contact.email, 210),
        (contact.ipv4, 90),
        (contact.ipv6, 70),
        (contact.mac, 60),
        (payment.card, 130),
        (payment.iban, 170),
    ):
        for _ in range(count):
            yield Order(_carried(make))
    for country in contact.PHONES:
        for _ in range(13):
            yield Order(_carried(partial(contact.phone, country=country)))
    for kind in national_ids.KINDS:
        for _ in range(16):
            yield Order(_carried(partial(national_ids.national_id, kind=kind)))


_ANY = (*FORMS, "prose", "prose", "prose", "shell", "json", "log")


def _text(seed: str, number: int, orders: list[Order]) -> dict[str, Any]:
    """One line of the file."""
    d = Draw(f"{seed} {number}")
    form = next((o.form for o in orders if o.form), d.pick(_ANY))
    wanted = next((o.lang for o in orders if o.lang), "")
    wrap = d.pick(WRAPPERS[form])
    lang = wanted or (d.pick(prose.NAMES) if form == "prose" or wrap.__name__ in ("chat", "quoted_mail") else "en")
    lines = [disguised(d, form, line) for order in orders for line in order.lines(d, form, lang)]
    inside = lines if form == "file" else bodies.body(d, form, lang, lines)
    field, text = wrap(d, form, lang, inside)
    return {"id": f"t{number:05d}", "field": field, "lang": lang, "shape": f"{form}/{wrap.__name__}", **labelled(text)}


def _grouped(d: Draw) -> Iterator[list[Order]]:
    """The orders of each text with secrets: one to four that go together."""
    free = [*_formatted(), *_personal(), *_context()]
    d.random.shuffle(free)
    bound = [o for o in free if o.form]
    free = [o for o in free if not o.form]
    while bound or free:
        first = bound.pop() if bound and (not free or d.chance(len(bound) / (len(bound) + len(free)))) else free.pop()
        extra = d.pick([0, 0, 1, 1, 2, 3]) if first.form not in ("file",) else 0
        yield [first, *(free.pop() for _ in range(min(extra, len(free))))]


def texts(seed: str = SEED) -> list[dict[str, Any]]:
    """The lines of the file: with secrets and without, in random order."""
    d = Draw(seed)
    plan: list[list[Order]] = list(_grouped(d))
    plan += [[] for _ in range(round(len(plan) * CLEAN_SHARE / (1 - CLEAN_SHARE)))]
    d.random.shuffle(plan)
    return [_text(seed, number, orders) for number, orders in enumerate(plan)]


def written(found: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(t, ensure_ascii=True, separators=(",", ":")) + "\n" for t in found)


def counts(found: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """How many there are of what, by class of label, form of document, language and field."""
    out = {name: Counter[str]() for name in ("formatted", "context", "personal", "harmless", "form", "wrapping", "lang", "field")}
    for t in found:
        form, wrapping = t["shape"].split("/")
        for name, value in (("form", form), ("wrapping", wrapping), ("lang", t["lang"]), ("field", t["field"])):
            out[name][value] += 1
        for s in t["secrets"]:
            out[s["class"]][s["kind"]] += 1
        out["harmless"].update(h["kind"] for h in t["harmless"])
    return out


def summary(found: list[dict[str, Any]]) -> str:
    """The counts as the README shows them."""
    clean = sum(not t["secrets"] for t in found)
    plain = Counter(s["class"] for t in found for s in t["secrets"] if s["plain"])
    out = [f"{len(found)} texts, {clean} of them without a secret ({100 * clean / len(found):.1f} %).", ""]
    for name, counter in counts(found).items():
        total = sum(counter.values())
        of_those = f", {plain[name]} plain" if name in plain else ""
        out.append(
            f"- **{name}** ({total} in {len(counter)} kinds{of_those}): "
            + ", ".join(f"{k} {n}" for k, n in sorted(counter.items()))
        )
    return "\n".join(out)


def readme(found: list[dict[str, Any]]) -> str:
    """README.md with the counts of these texts between its two marks."""
    before, _, rest = README.read_text(encoding="utf-8").partition(COUNTS_BEGIN)
    return before + COUNTS_BEGIN + summary(found) + "\n" + COUNTS_END + rest.partition(COUNTS_END)[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.generate", description="Make the labelled corpus.")
    parser.add_argument("--seed", default=SEED, help="another one makes other texts of the same kinds")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    if options.seed != SEED and options.out == FILE:
        print("another seed needs --out: the file of the repository is made of its own seed", file=sys.stderr)
        return 2
    found = texts(options.seed)
    options.out.write_text(written(found), encoding="ascii")
    if options.seed == SEED:
        README.write_text(readme(found), encoding="utf-8")
    print(summary(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
