"""What rules do to events: who wins where they conflict, what each action leaves, and that nothing of what goes stays."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from pipeline.batch import Batch
from pipeline.rules.columns import CONTENT, RESPONSE_SIDE
from pipeline.rules.decide import NO_RULES
from pipeline.rules.tally import tally
from pipeline.stages import RULES_REVISION
from pipeline.stages.act import clean
from tests.rules import rules
from tests.unit.batches import batch_of, column

TOKEN = "glpat-A1b2C3d4E5f6G7h8I9j0"
MAIL = "ana@example.com"


def key_of(tenant: str) -> bytes:
    return tenant.encode().ljust(32, b"\0")


def done(text: str, *events: dict[str, Any], **how: Any) -> tuple[Batch, list[list[str]]]:
    """The events after the rules, and what they say was changed."""
    batch, changed, _ = clean(batch_of(*events), rules(text, **how), key_of)
    return batch, changed.to_pylist()


def one(text: str, **event: Any) -> tuple[dict[str, Any], list[str]]:
    batch, changed = done(text, event)
    found: dict[str, Any] = batch.columns.to_pylist()[0]
    return found, changed[0]


def test_without_rules_only_secrets_and_addresses_go() -> None:
    batch = batch_of({"prompt": f"{TOKEN} {MAIL}", "actor_id": MAIL})
    after, changed, _ = clean(batch, NO_RULES, key_of)
    assert column(after, "prompt") == ["[REDACTED:gitlab_token] [REDACTED:email]"] and column(after, "actor_id") == [MAIL]
    assert all("rule" not in entry for entry in changed.to_pylist()[0])
    assert NO_RULES.version == RULES_REVISION


def test_columns_that_no_rule_touches_are_shared() -> None:
    batch = batch_of({"prompt": "p", "response": "r"})
    after, _, _ = clean(batch, rules("kind: redaction\nname: r\nfields: [prompt]\naction: drop\n"), key_of)
    for name in set(batch.columns.schema.names) - {"prompt"}:
        assert _addresses(batch, name) == _addresses(after, name)
    assert _addresses(batch, "prompt") != _addresses(after, "prompt")


def _addresses(batch: Batch, name: str) -> list[int]:
    return [buffer.address for buffer in batch.column(name).buffers() if buffer is not None]


ATTRIBUTES = [{"key": "host", "value": "web-1"}, {"key": "note", "value": "secret plan"}]
ACTIONS = {
    "drop": ("", [], []),
    "mask": (
        "[REDACTED:r]",
        ["[REDACTED:r]"] * 2,
        [{"key": "host", "value": "[REDACTED:r]"}, {"key": "note", "value": "[REDACTED:r]"}],
    ),
    "cut\nlength: 3": ("per", ["use", "age"], [{"key": "host", "value": "web"}, {"key": "note", "value": "sec"}]),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_what_an_action_leaves_of_a_text_a_list_and_attributes(action: str) -> None:
    text = f"kind: redaction\nname: r\nfields: [actor_name, delegation_chain, attributes]\naction: {action}\n"
    name, chain, attributes = ACTIONS[action]
    after, changed = one(text, actor_name="per", delegation_chain=["user:1", "agent:2"], attributes=ATTRIBUTES)
    assert (after["actor_name"], after["delegation_chain"], after["attributes"]) == (name, chain, attributes)
    cut = action.startswith("cut")
    assert changed == [*([] if cut else ["actor_name=rule:r"]), "delegation_chain=rule:r", "attributes=rule:r"]
    assert one(text)[1] == [], "what is empty was not touched"


def test_a_hash_is_keyed_by_tenant_and_equal_for_equal_texts() -> None:
    text = "kind: redaction\nname: r\nfields: [actor_id, approver_id, delegation_chain]\naction: hash\n"
    events: list[dict[str, Any]] = [
        {"tenant_id": t, "actor_id": "ana", "approver_id": a} for t, a in (("a", "ana"), ("a", "bob"), ("b", "ana"))
    ]
    events.append({"tenant_id": "b", "delegation_chain": ["ana", "", "bob"]})
    batch, changed = done(text, *events)

    def hashed(tenant: str, plain: str) -> str:
        return f"[HASH:{hmac.new(key_of(tenant), plain.encode(), hashlib.sha256).hexdigest()[:32]}]"

    assert column(batch, "actor_id") == [hashed("a", "ana"), hashed("a", "ana"), hashed("b", "ana"), ""]
    assert column(batch, "approver_id") == [hashed("a", "ana"), hashed("a", "bob"), hashed("b", "ana"), ""]
    assert column(batch, "delegation_chain")[3] == [hashed("b", "ana"), "", hashed("b", "bob")]
    assert changed[3] == ["delegation_chain=rule:r"]


def test_a_field_that_goes_says_nothing_of_what_was_found_in_it() -> None:
    text = "kind: redaction\nname: r\nfields: [prompt]\naction: {}\n"
    for action in ("drop", "mask", "hash"):
        after, changed = one(text.replace("{}", action), prompt=f"{TOKEN} {MAIL}", response=TOKEN)
        assert changed[0] == "prompt=rule:r" and len(changed) == 2
        assert TOKEN not in str(after) and MAIL not in str(after)


def test_what_is_cut_was_searched_before() -> None:
    text = "kind: redaction\nname: r\nfields: [prompt]\naction: cut\nlength: 12\n"
    after, changed = one(text, prompt=f"key {TOKEN}")
    assert after["prompt"] == "key [REDACTE" and "prompt=rule:r" in changed
    assert one(text, prompt="äöüäöüäöüäöü")[0]["prompt"] == "äöüäöüäöüäöü"


def test_nothing_tells_how_long_a_text_was_that_is_gone() -> None:
    event = {
        "prompt": "x" * 9,
        "response": "y",
        "content_length": 70_000,
        "truncated_fields": ["prompt=70000", "attributes[1]=9", "response=80000"],
    }
    text = "kind: redaction\nname: r\nwhen: agent_id = 'a'\nfields: [prompt]\naction: hash\n"
    after, _ = one(text, agent_id="a", **event)
    assert after["content_length"] is None and after["truncated_fields"] == ["attributes[1]=9", "response=80000"]
    after, _ = one(text, agent_id="b", **event)
    assert (after["content_length"], after["truncated_fields"]) == (70_000, event["truncated_fields"])


FULL: dict[str, Any] = {name: [{"key": "k", "value": "v"}] if name == "attributes" else "text" for name in CONTENT}


def test_capture_levels_drop_content_and_only_content() -> None:
    text = "".join(
        f"kind: capture\nname: {name}\nwhen: event_type = '{name}'\nlevel: {level}\n---\n"
        for name, level in (("m", "metadata"), ("r", "request"), ("a", "request_response"))
    )
    batch, changed = done(text, *({**FULL, "event_type": t, "actor_name": "ana"} for t in ("m", "r", "a", "other")))
    gone = [{name for name in CONTENT if not event[name]} for event in batch.columns.to_pylist()]
    assert gone == [set(CONTENT), set(RESPONSE_SIDE), set(), set()]
    assert changed[0] == [f"{name}=rule:m" for name in CONTENT] and changed[2:] == [[], []]
    assert column(batch, "actor_name") == ["ana"] * 4


def test_the_first_capture_rule_that_matches_wins_and_a_tenants_own_come_first() -> None:
    text = """\
kind: capture
name: everything
when: event_type = 'tool.invoked'
level: request_response
---
kind: capture
name: nothing
level: metadata
---
kind: capture
name: own
tenant: b
when: tool_name = 'x'
level: request
"""
    kinds = [{"tenant_id": t, "event_type": e, "tool_name": n} for t, e, n in (("a", "tool.invoked", "x"), ("a", "o", "x"))]
    kinds += [
        {"tenant_id": "b", "event_type": e, "tool_name": n} for e, n in (("tool.invoked", "x"), ("tool.invoked", ""), ("o", ""))
    ]
    batch, _ = done(text, *({**kind, "prompt": "p", "response": "r"} for kind in kinds))
    left = [(event["prompt"], event["response"]) for event in batch.columns.to_pylist()]
    assert left == [("p", "r"), ("", ""), ("p", ""), ("p", "r"), ("", "")]


ORDER = ["drop", "mask", "hash", "cut\nlength: 1"]


@pytest.mark.parametrize("first", range(len(ORDER)))
@pytest.mark.parametrize("second", range(len(ORDER)))
def test_the_strongest_redaction_wins_in_whatever_order_they_are_written(first: int, second: int) -> None:
    text = "".join(
        f"kind: redaction\nname: r{n}\nwhen: agent_id IN ('a', '{n}')\nfields: [actor_id]\naction: {ORDER[action]}\n---\n"
        for n, action in enumerate((first, second))
    )
    _, changed = one(text, agent_id="a", actor_id="ana")
    assert changed == [f"actor_id=rule:r{0 if first <= second else 1}"]


def test_capture_is_stronger_than_any_redaction() -> None:
    text = "kind: redaction\nname: r\nfields: [prompt]\naction: drop\n---\nkind: capture\nname: c\nlevel: metadata\n"
    assert one(text, prompt="p")[1] == ["prompt=rule:c"]


def test_retention_is_decided_by_the_first_rule_and_otherwise_left() -> None:
    text = """\
kind: retention
name: denials
when: decision = 'deny'
class: extended
---
kind: retention
name: own
tenant: b
when: decision = 'deny' AND tool_name = 'x'
class: standard
"""
    events = [
        {"decision": "deny", "tool_name": "x"},
        {"tenant_id": "b", "decision": "deny", "tool_name": "x"},
        {"decision": "allow"},
    ]
    batch, _ = done(text, *({**event, "processed_retention_class": "of-tenant"} for event in events))
    assert column(batch, "processed_retention_class") == ["extended", "standard", "of-tenant"]


def test_outdated_rules_keep_no_content_and_say_so() -> None:
    text = "kind: redaction\nname: r\nfields: [actor_id, prompt]\naction: drop\n"
    batch, changed = done(text, {**FULL, "actor_id": "ana"}, outdated=True)
    found = batch.columns.to_pylist()[0]
    assert not any(found[name] for name in (*CONTENT, "actor_id"))
    assert changed[0][:2] == ["message=outdated-rules", "actor_id=rule:r"]
    assert rules(text, "7", outdated=True).version == f"{RULES_REVISION}/7/outdated"
    assert rules(text, "7").version == f"{RULES_REVISION}/7"


OWN = "kind: detector\nname: staff\npattern: E[0-9]{{5}}\npersonal: {}\n---\n"
FINDING = "kind: redaction\nname: {}\nfields: [{}]\naction: {}\ndetectors: [{}]\n---\n"


def test_a_detector_of_ones_own_searches_content_for_personal_data_and_every_text_for_secrets() -> None:
    event = {
        "prompt": "E12345 E1",
        "actor_id": "E12345",
        "agent_name": "E12345",
        "attributes": [{"key": "E12345", "value": "E12345"}],
    }
    after, changed = one(OWN.format("true"), **event)
    assert (after["prompt"], after["actor_id"], after["agent_name"]) == ("[REDACTED:staff] E1", "E12345", "E12345")
    assert after["attributes"] == [{"key": "E12345", "value": "[REDACTED:staff]"}]
    after, changed = one(OWN.format("false"), **event)
    assert "E12345" not in str(after) and len(changed) == 4


def test_a_pattern_that_backtracking_takes_years_for_takes_no_time() -> None:
    assert one("kind: detector\nname: d\npattern: (?:a+)+c\n", prompt="a" * 5000 + "b")[1] == []


def test_a_tenants_own_detector_searches_its_events_only_in_whatever_order_they_come() -> None:
    text = OWN.format("true\ntenant: b")
    batch, changed = done(text, *({"tenant_id": t, "prompt": f"{t} E12345 {MAIL}"} for t in "abcb"))
    assert column(batch, "prompt") == [f"{t} {'[REDACTED:staff]' if t == 'b' else 'E12345'} [REDACTED:email]" for t in "abcb"]
    assert column(batch, "tenant_id") == list("abcb") and batch.index.tolist() == [0, 1, 2, 3]
    assert [len(entries) for entries in changed] == [1, 1, 1, 1]


def test_findings_are_kept_masked_or_hashed_as_rules_say_and_secrets_never_kept() -> None:
    plain = f"{MAIL} E12345 {TOKEN}"
    rest = "[REDACTED:staff] [REDACTED:gitlab_token]"
    after, _ = one(OWN.format("true") + FINDING.format("r", "prompt", "keep", "email"), prompt=plain, response=plain)
    assert (after["prompt"], after["response"]) == (f"{MAIL} {rest}", f"[REDACTED:email] {rest}")
    after, changed = one(OWN.format("true") + FINDING.format("r", "prompt", "hash", "email"), prompt=plain, tenant_id="a")
    digest = hmac.new(key_of("a"), MAIL.encode(), hashlib.sha256).hexdigest()[:32]
    assert after["prompt"] == f"[HASH:{digest}] {rest}" and "prompt=rule:r" in changed and len(changed) == 2
    after, changed = one(OWN.format("true") + FINDING.format("r", "actor_id", "mask", "email"), actor_id=plain)
    assert after["actor_id"] == "[REDACTED:email] E12345 [REDACTED:gitlab_token]" and "actor_id=rule:r" in changed
    after, changed = one(FINDING.format("r", "delegation_chain", "mask", "email"), delegation_chain=["x", MAIL], prompt="y")
    assert (after["delegation_chain"], changed) == (["x", "[REDACTED:email]"], ["delegation_chain=rule:r"])


def test_findings_in_many_fields_of_many_events_come_back_where_they_were() -> None:
    text = FINDING.format("r", "prompt, response, delegation_chain", "hash", "email").replace(
        "fields", "when: tool_name = 'x'\nfields"
    )
    names = [f"p{n}@example.com" for n in range(6)]
    events = [
        {
            "tenant_id": "a",
            "tool_name": "xy"[n % 2],
            "prompt": names[n],
            "response": f"{n} {names[n]}",
            "delegation_chain": ["c", names[n]],
        }
        for n in range(6)
    ]
    batch, changed = done(text, *events)
    for n, event in enumerate(batch.columns.to_pylist()):
        digest = f"[HASH:{hmac.new(key_of('a'), names[n].encode(), hashlib.sha256).hexdigest()[:32]}]"
        wanted = (
            (digest, f"{n} {digest}", ["c", digest])
            if n % 2 == 0
            else ("[REDACTED:email]", f"{n} [REDACTED:email]", ["c", names[n]])
        )
        assert (event["prompt"], event["response"], event["delegation_chain"]) == wanted
        assert len(changed[n]) == (3 if n % 2 == 0 else 2)


@pytest.mark.parametrize("first", ("mask", "hash", "keep"))
@pytest.mark.parametrize("second", ("mask", "hash", "keep"))
def test_of_rules_on_one_finding_the_strongest_wins(first: str, second: str) -> None:
    order = ("mask", "hash", "keep")
    text = FINDING.format("r0", "prompt", first, "email") + FINDING.format("r1", "prompt, reason", second, "email")
    after, changed = one(text, prompt=MAIL)
    winner, name = (first, "r0") if order.index(first) <= order.index(second) else (second, "r1")
    starts = {"mask": "[REDACTED:email]", "hash": "[HASH:", "keep": MAIL}
    assert after["prompt"].startswith(starts[winner])
    assert changed == ([] if winner == "keep" else [f"prompt=rule:{name}"])


def test_a_whole_field_goes_whatever_is_said_of_findings_and_a_cut_comes_after_them() -> None:
    keep = FINDING.format("k", "prompt", "keep", "email")
    whole = "kind: redaction\nname: w\nfields: [prompt]\naction: {}\n"
    for finding in (keep, FINDING.format("k", "prompt", "hash", "email")):
        after, changed = one(finding + whole.format("mask"), prompt=f"{MAIL} {TOKEN}")
        assert (after["prompt"], changed) == ("[REDACTED:w]", ["prompt=rule:w"])
    after, changed = one(keep + whole.format("cut\nlength: 20"), prompt=f"{MAIL} {TOKEN}")
    assert after["prompt"] == f"{MAIL} [RED" and "prompt=rule:w" in changed


def test_what_a_cut_leaves_of_a_secret_is_masked_where_rules_search_too() -> None:
    text = FINDING.format("k", "prompt", "keep", "email")
    after, _ = one(text, prompt=f"{MAIL} glpat-A1b2", truncated_fields=["prompt=70000"])
    assert after["prompt"] == f"{MAIL} [REDACTED:cut]"


COUNTED = """\
kind: capture
name: bare
when: event_type = 'bare'
level: metadata
---
kind: redaction
name: no-prompts
fields: [prompt]
action: mask
---
kind: redaction
name: mails
fields: [actor_id]
action: hash
detectors: [email]
---
kind: retention
name: longer
when: event_type = 'long'
class: extended
"""


@pytest.mark.parametrize("outdated", [False, True])
def test_what_rules_did_is_counted_by_level_action_and_class(outdated: bool) -> None:
    asked = rules(COUNTED, outdated=outdated)
    events = [
        {"event_type": "bare", "prompt": "p", "message": MAIL, "actor_id": "ana"},
        {"event_type": "long", "prompt": "p", "message": MAIL, "actor_id": MAIL},
        {"event_type": "long", "prompt": "", "message": "", "tool_name": TOKEN},
    ]
    found = tally(
        *clean(batch_of(*({"processed_retention_class": "standard"} | event for event in events)), asked, key_of), asked
    )
    assert found.levels == ({"metadata": 3} if outdated else {"metadata": 1, "request_response": 2})
    assert found.classes == {"standard": 1, "extended": 2}
    taken = {("drop", "rule"): 2, ("mask", "rule"): 1, ("mask", "detector"): 2}
    assert found.fields == {("hash", "rule"): 1} | ({("drop", "outdated"): 4, ("mask", "detector"): 1} if outdated else taken)


def test_without_rules_what_detectors_masked_is_counted() -> None:
    found = tally(*clean(batch_of({"prompt": MAIL}, {"prompt": "p"}), NO_RULES, key_of), NO_RULES)
    assert (found.levels, found.fields) == ({"request_response": 2}, {("mask", "detector"): 1})
