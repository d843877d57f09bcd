"""Secrets in base64: gone where the setting says so, untouched without it; and what only looks like base64 stays."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import textwrap
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from auditwire.redaction import DETECTORS, Detector, detectors_for, redacted, revision_of, spans
from auditwire.redaction.encoded import BASE64, decoded
from auditwire.redaction.engine import all_of, hinted
from pipeline.rules.decide import NO_RULES, Rules
from pipeline.rules.model import EMPTY
from pipeline.stages import redact
from pipeline.stages.act import clean
from pipeline.stages.detectors import chosen
from pipeline.stages.own import own
from tests.rules import rules
from tests.unit.batches import batch_of, column, prompts
from tests.unit.findings import FINDINGS, HARMLESS

ON = detectors_for("base64")
SECRETS = tuple(detector for detector in ON if not detector.personal)
TOKEN = "glpat-A1b2C3d4E5f6G7h8I9j0"
SAID = {
    "gitlab_token": f"use {TOKEN} for it",
    "aws_secret_key": "aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYzzTESTKEY12a",
    "url_password": "postgres://app:hunter2-secret@db.example.com/orders",
    "secret": "user: app\ndb_password: Vq7!mn2zLpX",
    "password": "La contraseña es Vq7mn2zLpX.",
    "email": "mail bob@example.com",
    "card_number": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
}


def standard(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def for_urls(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def in_lines(text: str) -> str:
    """As mail has it, with words around."""
    return "\r\n".join(textwrap.wrap(standard("Lorem ipsum dolor sit amet. " * 4 + text), 76))


def masked(text: str, detectors: tuple[Detector, ...] = ON, cut: bool = False) -> str:
    return redacted(text, spans([text], detectors, [cut])[0])


@pytest.mark.parametrize("encode", [standard, for_urls, in_lines])
@pytest.mark.parametrize(
    "wrap", [str, json.dumps, lambda text: json.dumps({"a": json.dumps([text])}), quote], ids=["plain", "json", "nested", "url"]
)
def test_what_is_encoded_goes_with_the_setting_and_stays_without(
    encode: Callable[[str], str], wrap: Callable[[str], str]
) -> None:
    for around in (
        "{}",
        "Content-Transfer-Encoding: base64\n\n{}\n\nbye",
        "X-Context: {}",
        "data:text/plain;base64,{}",
        "echo {} | base64 -d",
        "https://example.com/cb?state={}&x=1",
        "'{}'",
    ):
        for kind, said in SAID.items():
            text = wrap(around.format(encode(said)))
            before, _, after = wrap(around.format("HERE")).partition("HERE")
            if wrap is quote:  # padding and what follows it are one piece to a reader of percent escapes
                after = ""
            gone = masked(text)
            assert gone.startswith(f"{before}[REDACTED:{kind}]{after}"), (kind, text)
            assert not list(decoded(gone))
            assert masked(text, DETECTORS) == text


def test_each_finding_goes_with_the_whole_run() -> None:
    texts = [standard("it was: " + finding.text) for finding in FINDINGS]
    after = column(redact(prompts(texts), ON)[0], "prompt")
    assert [f.kind for f, text in zip(FINDINGS, after, strict=True) if text != f"[REDACTED:{f.kind}]"] == []
    known = [text == before for before, text in zip(texts, column(redact(prompts(texts))[0], "prompt"), strict=True)]
    assert sum(known) > 0.9 * len(texts), "without the setting only private keys are known in base64"


RNG = random.Random(11)
LOOK_ALIKES = [
    *HARMLESS,
    hashlib.sha512(b"x").hexdigest(),
    base64.b64encode(hashlib.sha256(b"x").digest()).decode(),
    "integrity: sha512-" + base64.b64encode(hashlib.sha512(b"y").digest()).decode(),
    " ".join(str(uuid.UUID(int=RNG.getrandbits(128))) for _ in range(20)),
    " ".join(base64.b64encode(RNG.randbytes(45)).decode() for _ in range(50)),
    base64.encodebytes(RNG.randbytes(9000)).decode(),
    "data:image/png;base64," + standard("\x89PNG\r\n") + base64.b64encode(RNG.randbytes(3000)).decode(),
    base64.b64encode(gzip.compress(TOKEN.encode() * 9)).decode(),
    base64.b64encode(TOKEN.encode() + b"\0").decode(),
    standard("nothing but words, said in base64 and of no interest to anybody"),
    standard(standard(f"two levels deep: {TOKEN}")),
    standard("a@b.example")[:15],
    "/srv/application/configuration/environments/production/settings.yaml",
    "internationalization ThisIsOneOfThoseVeryLongNamesOfAClassInJava some_function_with_a_long_name",
]


def test_what_only_looks_like_it_stays() -> None:
    assert column(redact(prompts(LOOK_ALIKES), ON)[0], "prompt") == LOOK_ALIKES
    assert [masked(text) for text in LOOK_ALIKES] == LOOK_ALIKES


def test_personal_data_is_decoded_where_it_is_searched_for() -> None:
    mail, token = standard("write to bob@example.com"), standard(f"use {TOKEN} for it")
    batch = batch_of({"prompt": f"{mail} {token}", "entity_path": f"{mail} {token}"})
    after, changed = redact(batch, ON)
    assert column(after, "prompt") == ["[REDACTED:email] [REDACTED:gitlab_token]"]
    assert column(after, "entity_path") == [f"{mail} [REDACTED:gitlab_token]"]
    assert [sorted(names) for names in changed.to_pylist()] == [["entity_path", "prompt"]]


def test_where_the_text_ends_in_the_middle_no_half_of_a_secret_stays() -> None:
    """Tokens that are long enough to be known go by their form; where the cut is marked everything at the end goes."""
    for encode in (standard, for_urls, in_lines):
        whole = encode(f"use {TOKEN}")
        for end in range(20, len(whole)):
            text = f"it is {whole[:end]}"
            left = masked(text, cut=True).replace("[REDACTED:cut]", "").replace("[REDACTED:gitlab_token]", "")
            pieces = [said for _, _, said in decoded(left)]
            assert "glpat" not in "".join(pieces), (left, pieces)
        more = encode(f"use {TOKEN} for all of it, that is")
        for end in range(len(whole) + 2, len(more)):
            assert masked(f"it is {more[:end]}").startswith("it is [REDACTED:gitlab_token]")


def test_a_following_word_or_list_does_not_hide_what_is_in_lines() -> None:
    lines = in_lines(f"use {TOKEN} for it, and that is that, as they say in the north")
    for after in ("\nSincerely", "\n    yours", "\n\nbye", "."):
        assert masked(lines.rstrip("=") + after).endswith(f"[REDACTED:gitlab_token]{after}")
    listed = [for_urls(f"number {n} is {TOKEN} again") for n in range(3)]
    assert masked("\n".join(listed)) == "\n".join(["[REDACTED:gitlab_token]"] * 3)


def test_hints_columns_and_no_hints_find_the_same() -> None:
    texts = [*map(standard, SAID.values()), *map(in_lines, SAID.values()), *LOOK_ALIKES]
    texts += [json.dumps(text) for text in texts] + [quote(text) for text in texts]
    thoroughly = spans(texts, ON, choose=all_of)
    assert spans(texts, ON, choose=chosen) == thoroughly
    assert spans(texts, ON, choose=hinted) == thoroughly


def test_rules_reach_what_is_encoded() -> None:
    mail = standard("write to bob@example.com")
    keep = rules("kind: redaction\nname: mails\nfields: [prompt]\naction: keep\ndetectors: [email]\n")
    assert after_rules(Rules(keep.snapshot, detectors=ON), mail) == mail
    hashes = rules("kind: redaction\nname: mails\nfields: [prompt]\naction: hash\ndetectors: [email]\n")
    assert after_rules(Rules(hashes.snapshot, detectors=ON), mail).startswith("[HASH:")
    assert after_rules(Rules(EMPTY, detectors=ON), mail) == "[REDACTED:email]"
    assert after_rules(NO_RULES, mail) == mail
    badge = own("badge", "EMP-[0-9]{4}")
    assert masked(standard("the badge is EMP-1234"), (*ON, badge)) == "[REDACTED:badge]"


def after_rules(given: Rules, text: str) -> Any:
    after = clean(batch_of({"prompt": text}), given, lambda _: bytes(32)).batch
    return column(after, "prompt")[0]


def test_the_revision_names_the_setting() -> None:
    assert Rules(EMPTY, detectors=ON).version == revision_of(ON) != NO_RULES.version
    assert set(ON) - set(DETECTORS) == {BASE64}


HOSTILE = [
    standard("a@b.co "),
    standard("AAAAAAAAAAAA"),
    standard("AAAAAAAAAAAA") + " ",
    standard("password=AAAAAA") + "\n",
    standard("A" * 57) + "\n",
    standard("A" * 57) + "\r\n" + " " * 39,
    standard("A" * 30) + "\n" + "> " * 19,
    "QUFB",
    "QUFB-",
    "QUFBQUFBQUFBQUFBQUFB/",
    "QUFBQUFBQUFBQUFBQUFB==",
    "eyJ",
    "\\/QUFBQUFB",
    "%2BQUFBQUFBQUFB",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    def seconds(size: int) -> float:
        batch = prompts([unit * (size // len(unit))] * 2, cut=True)
        start = time.process_time()
        redact(batch, ON)
        return time.process_time() - start

    seconds(1024)  # patterns are compiled
    assert seconds(64 * 1024) < 2, "what is quadratic takes minutes here"
