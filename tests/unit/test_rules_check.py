"""What `auditwired rules check` refuses, and how it says so: file, line, document, field and the way out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.conditions import conditions
from pipeline.reference import source
from pipeline.rules import check
from pipeline.rules.model import KINDS, parse

GOOD = """\
kind: retention_class
name: extended
months: 120
---
kind: detector
name: customer_number
pattern: KD-[0-9]{8}
personal: true
---
kind: redaction
name: no-crm-content
when: tool_server = 'crm-mcp'
fields: [prompt, tool_args]
action: mask
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    return tmp_path


def said(folder: Path, text: str, classes: Sequence[str] = ("standard",)) -> list[str]:
    """Problems of the good documents and a further file ``x.yaml``."""
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    documents, problems = source.read(folder, KINDS)
    return [str(p) for p in problems + check.problems(documents, classes)]


def test_good_documents_have_no_problem_and_become_a_revision(folder: Path) -> None:
    assert said(folder, "") == []
    documents, _ = source.read(folder, KINDS)
    text, large = check.document_of(documents)
    assert large is None
    found = parse("1", text)
    assert found.redactions[0].when is not None and found.redactions[0].when.text == "tool_server = 'crm-mcp'"


REDACTION = "kind: redaction\nname: r\nfields: [prompt]\naction: mask\n"
CAPTURE = "kind: capture\nname: {}\nwhen: {}\nlevel: metadata\n---\n"
CASES = {
    "misspelt kind": ("kind: redacton\nname: x\n", "x.yaml:1: redacton x: kind: 'redacton' is no kind (did you mean redaction?)"),
    "misspelt field": (
        REDACTION + "filds: x\n",
        "x.yaml:5: redaction r: filds: redaction has no such field (did you mean fields?)",
    ),
    "misspelt action": (
        "kind: redaction\nname: r\nfields: [prompt]\naction: masc\n",
        "x.yaml:4: redaction r: action: 'masc' is none of drop, mask, hash, cut, keep (did you mean mask?): correct it",
    ),
    "a number as text": (
        "kind: capture\nname: 7\nlevel: metadata\n",
        "x.yaml:2: capture 7: name: must be text, and YAML reads a number",
    ),
    "text as a number": (
        "kind: retention_class\nname: y\nmonths: six\n",
        "x.yaml:3: retention_class y: months: must be a whole number. Calendar months",
    ),
    "true as a number": (
        "kind: retention_class\nname: y\nmonths: yes\n",
        "x.yaml:3: retention_class y: months: must be a whole number",
    ),
    "too long a life": (
        "kind: retention_class\nname: y\nmonths: 1201\n",
        "x.yaml:3: retention_class y: months: must be at most 1200",
    ),
    "unknown column": (
        "kind: redaction\nname: r\nfields:\n- prompt\n- promt\naction: drop\n",
        "x.yaml:5: redaction r: fields.1: there is no field 'promt' (did you mean prompt?): docs/event-reference.md lists them",
    ),
    "identity": (
        REDACTION.replace("prompt", "producer_id"),
        "x.yaml:3: redaction r: fields.0: producer_id says which event it is: no rule may change it",
    ),
    "a fact": (
        REDACTION.replace("prompt", "agent_id"),
        "x.yaml:3: redaction r: fields.0: agent_id is a fact, on which conditions",
    ),
    "written by the processor": (
        REDACTION.replace("prompt", "processed_flags"),
        "x.yaml:3: redaction r: fields.0: processed_flags is written by the processor: no rule may change it",
    ),
    "cut without length": (REDACTION.replace("mask", "cut"), "x.yaml:4: redaction r: action: cut needs length"),
    "mask with length": (REDACTION + "length: 3\n", "x.yaml:5: redaction r: length: mask has no length: remove it"),
    "keep without detectors": (REDACTION.replace("mask", "keep"), "x.yaml:4: redaction r: action: keep needs detectors"),
    "drop with detectors": (
        REDACTION.replace("mask", "drop") + "detectors: [email]\n",
        "x.yaml:5: redaction r: detectors: drop takes the whole field",
    ),
    "unknown detector": (
        REDACTION + "detectors: [emial]\n",
        "x.yaml:5: redaction r: detectors.0: there is no detector 'emial' (did you mean email?)",
    ),
    "a secret is kept": (
        "kind: redaction\nname: r\nfields: [prompt]\naction: keep\ndetectors: [jwt]\n",
        "x.yaml:5: redaction r: detectors.0: jwt finds secrets, which are masked everywhere whatever rules say: remove it here",
    ),
    "another tenant's detector": (
        "kind: detector\nname: d\ntenant: a\npattern: x1\npersonal: true\n---\n" + REDACTION + "detectors: [d]\n",
        "x.yaml:11: redaction r: detectors.0: d searches in events of tenant a only: add tenant: to this rule as well",
    ),
    "name of a built-in detector": (
        "kind: detector\nname: email\npattern: x1\n",
        "x.yaml:2: detector email: name: a built-in detector has this name",
    ),
    "one name twice": (
        "kind: capture\nname: no-crm-content\nwhen: outcome = 'denied'\nlevel: metadata\n",
        "x.yaml:2: capture no-crm-content: name: good.yaml:10 has a redaction of this name: rename one",
    ),
    "unknown class": (
        "kind: retention\nname: r\nclass: extendd\n",
        "x.yaml:3: retention r: class: there is no class 'extendd' (did you mean extended?): correct it, or add",
    ),
    "short without a reason": (
        "kind: retention_class\nname: brief\nmonths: 5\n",
        "x.yaml:3: retention_class brief: months: fewer than 6 months need a reason: Art. 19 and 26 of the EU AI Act ask for six",
    ),
    "unknown field in a condition": (
        "kind: capture\nname: c\nwhen: evnt_type = 'x'\nlevel: metadata\n",
        "x.yaml:3: capture c: when: column 1, at \"evnt_type = 'x'\": an event has no field evnt_type; did you mean event_type?",
    ),
    "a type error in a condition": (
        "kind: capture\nname: c\nwhen: input_tokens = 'x'\nlevel: metadata\n",
        "x.yaml:3: capture c: when: column",
    ),
    "content in a condition": (
        "kind: capture\nname: c\nwhen: prompt = 'x'\nlevel: metadata\n",
        "x.yaml:3: capture c: when: column 1, at \"prompt = 'x'\": prompt is content and conditions may name facts only",
    ),
    "a person in a condition": (
        "kind: capture\nname: c\nwhen: actor_id = 'x'\nlevel: metadata\n",
        "actor_id is personal and conditions",
    ),
    "never": (
        CAPTURE.format("c", "outcome = 'a' AND outcome = 'b'"),
        "x.yaml:3: capture c: when: no event can match",
    ),
    "shadowed": (
        CAPTURE.format("c", "event_type LIKE 'tool.%'") + CAPTURE.format("d", "event_type = 'tool.denied'"),
        "x.yaml:8: capture d: when: never decides, as capture c (x.yaml:1) matches its events first",
    ),
    "shadowed by two": (
        CAPTURE.format("c", "event_type = 'a'")
        + CAPTURE.format("d", "event_type = 'b'")
        + CAPTURE.format("e", "event_type IN ('a', 'b')"),
        "x.yaml:13: capture e: when: never decides, as capture c (x.yaml:1) with others matches its events first",
    ),
    "after one for all": (
        "kind: capture\nname: c\nlevel: metadata\n---\n" + CAPTURE.format("d", "event_type = 'tool.denied'"),
        "x.yaml:7: capture d: when: never decides, as capture c (x.yaml:1) matches its events first",
    ),
    "a weaker redaction": (
        "kind: redaction\nname: r\nwhen: tool_server = 'crm-mcp'\nfields: [prompt]\naction: hash\n",
        "x.yaml:5: redaction r: action: changes nothing, as redaction no-crm-content (good.yaml:10) takes as much",
    ),
    "misspelt field of an event": (
        "kind: example\nname: e\nevent:\n  promt: x\nexpect: {redacted: []}\n",
        "x.yaml:4: example e: event.promt: there is no field 'promt' (did you mean prompt?): docs/event-reference.md lists them",
    ),
    "misspelt field that is expected": (
        "kind: example\nname: e\nevent: {}\nexpect:\n  fields:\n    tool_arg: x\n",
        "x.yaml:6: example e: expect.fields.tool_arg: there is no field 'tool_arg' (did you mean tool_args?)",
    ),
    "a value that does not fit its field": (
        "kind: example\nname: e\nevent: {input_tokens: many}\nexpect: {redacted: []}\n",
        "x.yaml:3: example e: event.input_tokens: must be a whole number",
    ),
    "a value that no event can have": (
        "kind: example\nname: e\nevent: {prompt: !!binary aGk=}\nexpect: {redacted: []}\n",
        "x.yaml:3: example e: event.prompt: must be text",
    ),
    "given to the processor what it writes": (
        "kind: example\nname: e\nevent: {processed_version: '1'}\nexpect: {redacted: []}\n",
        "x.yaml:3: example e: event.processed_version: the processor writes it after the rules: leave it out",
    ),
    "no field of an expectation": (
        "kind: example\nname: e\nevent: {}\nexpect: {redactd: []}\n",
        "x.yaml:4: example e: expect.redactd: expect has no such field (did you mean redacted?)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_with_its_place_and_a_way_out(folder: Path, case: str) -> None:
    text, problem = CASES[case]
    found = said(folder, text)
    assert any(problem in line for line in found), found
    assert len(found) == 1, found


def test_a_rule_that_others_only_partly_cover_stays(folder: Path) -> None:
    assert said(folder, CAPTURE.format("c", "event_type = 'a'") + CAPTURE.format("d", "event_type IN ('a', 'b')")) == []
    stronger = "kind: redaction\nname: r\nwhen: tool_server = 'crm-mcp'\nfields: [prompt, response]\naction: hash\n"
    assert said(folder, stronger) == []
    assert (
        said(folder, "kind: redaction\nname: r\ntenant: a\nwhen: tool_server = 'crm-mcp'\nfields: [prompt]\naction: drop\n") == []
    )


def test_a_tenants_own_rules_come_first_and_shadow_no_other_tenants(folder: Path) -> None:
    own = CAPTURE.format("c", "event_type = 'a'").replace("when", "tenant: demo\nwhen")
    assert said(folder, own + CAPTURE.format("d", "event_type = 'a'")) == []
    assert said(folder, CAPTURE.format("d", "event_type = 'a'") + own) == []


def test_hundreds_of_rules_are_compared_in_no_time(folder: Path) -> None:
    actions = ("fields: [response]\naction: drop", "fields: [content]\naction: mask", "fields: [message]\naction: cut\nlength: 9")
    one = "kind: redaction\nname: r{}\nwhen: ({}) AND agent_id IN ({})\n{}\n---\n"
    agents = [", ".join(f"'agent-{(n + k) % 50}'" for k in range(4)) for n in range(50)]
    texts = [one.format(n, text, agents[n % 50], actions[n % 3]) for n, text in enumerate(conditions(200))]
    started = time.process_time()
    found = said(folder, "".join(texts))
    assert time.process_time() - started < 2
    assert any("changes nothing" in line for line in found)


def test_no_more_than_32_classes_with_those_of_the_settings(folder: Path) -> None:
    many = "".join(f"kind: retention_class\nname: c{n:02}\nmonths: 7\n---\n" for n in range(30))
    assert said(folder, many) == []
    found = said(folder, many, [f"s{n}" for n in range(3)])
    text = "there are 34 classes, and at most 32 can be (AUDITWIRE_RETENTION_CLASSES has 3 of them): merge some"
    assert found == [f"x.yaml:113: retention_class c28: {text}", f"x.yaml:117: retention_class c29: {text}"]


def test_what_is_too_much_for_every_batch_or_for_a_record_is_refused(folder: Path) -> None:
    rules = "".join(f"kind: capture\nname: c{n}\nwhen: event_type = 'e{n}'\nlevel: metadata\n---\n" for n in range(1000))
    (folder / "x.yaml").write_text(rules, encoding="utf-8")
    documents, _ = source.read(folder, KINDS)
    found = [str(p) for p in check._crowding(documents)]
    assert found == [
        "x.yaml:4996: capture c999: from here on there are more than 1,000 rules, and every batch asks all: merge some"
    ]
    one = "kind: capture\nname: c{}\nwhen: event_type IN ({})\nlevel: metadata\n---\n"
    texts = [", ".join(f"'{n:0>1000}{m}'" for m in range(8)) for n in range(35)]
    long = "".join(one.format(n, text) for n, text in enumerate(texts))
    (folder / "x.yaml").write_text(long, encoding="utf-8")
    _, large = check.document_of(source.read(folder, KINDS)[0])
    assert large is not None and "524,288 is the most that is published" in str(large)
