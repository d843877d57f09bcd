"""`auditwired rules preview` on a real ClickHouse: it counts what the processor's own stages would make different."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import pipeline.__main__ as command_line
from connectors.clickhouse import client
from connectors.clickhouse.client import ClickHouseError
from connectors.postgres.reference import Revisions
from connectors.series import RULES
from pipeline import settings
from pipeline.batch import Batch
from pipeline.explain.core import Stored, explained
from pipeline.rules import preview, preview_sql
from pipeline.rules.columns import REDACTABLE
from pipeline.rules.decide import NO_RULES, Rules
from pipeline.rules.model import Detector, Redaction, Snapshot
from pipeline.rules.preview_sql import CLASS, LEVEL
from pipeline.stages.act import clean
from tests import analyst_world
from tests.analyst_world import MORNING
from tests.plain.data_rules import matching, ruled
from tests.rules import revision, rules
from tests.sinks import clickhouse
from tests.space import Space

NOW = """
{kind: capture, name: reads, when: tool_category = 'read', level: request}
---
{kind: redaction, name: no-prompts, tenant: acme, when: "tool_name LIKE 'git%'", fields: [prompt], action: drop}
---
{kind: redaction, name: short, fields: [tool_result, tool_args], action: cut, length: 8}
---
{kind: redaction, name: names, when: "outcome <> 'success'", fields: [personal], action: hash}
---
{kind: retention_class, name: long, months: 120}
---
{kind: retention, name: failures, when: outcome = 'failure', class: long}
"""
DRAFT = """
{kind: capture, name: nothing-of-slack, when: "starts_with(tool_name, 'slack')", level: metadata}
---
{kind: redaction, name: masked, when: input_tokens > 50 OR input_tokens IS NULL, fields: [prompt, attributes], action: mask}
---
{kind: redaction, name: shorter, when: outcome = 'success', fields: [tool_result], action: cut, length: 3}
---
{kind: redaction, name: much-shorter, fields: [tool_result], action: cut, length: 1}
---
{kind: redaction, name: names, tenant: demo, fields: [personal], action: hash}
---
{kind: retention_class, name: long, months: 120}
---
{kind: retention, name: costly, when: "COALESCE(cost_usd, 0) > 0.5", class: long}
---
{kind: retention, name: failures, when: outcome = 'failure', class: extended}
"""
DAY_US = 86_400_000_000
SINCE = int(MORNING.timestamp()) * 1_000_000
COUNT = 300


def _events() -> pa.RecordBatch:
    """As the processor has them after enrichment."""
    rng, texts = random.Random(3), ("", "ab", "abcd", "a longer text", "mail ana@example.com", "glpat-A1b2C3d4E5f6G7h8I9j0")
    made = [
        analyst_world.event(
            "tool.invoked",
            n / 10,
            tenant_id=rng.choice(("acme", "demo", "third")),
            outcome=rng.choice(("success", "failure", "denied")),
            tool_name=rng.choice(("git_push", "slack_post", "it's")),
            tool_category=rng.choice(("read", "write", "")),
            input_tokens=rng.choice((None, 5, 50, 51)),
            cost_usd=rng.choice((None, 0.5, 0.75)),
            delegation_chain=rng.choice(([], ["user:1"], ["user:1", ""])),
            attributes=rng.choice(([], [{"key": "a", "value": rng.choice(texts)}])),
            **{
                name: rng.choice(texts)
                for name in ("prompt", "response", "tool_args", "tool_result", "actor_id", "actor_name", "reason")
            },
        )
        for n in range(COUNT)
    ]
    return analyst_world.batch(made)


def _after(events: pa.RecordBatch, one: Rules) -> Batch:
    """What the processor would store under these rules."""
    batch, changed, _ = clean(Batch.of(events), one, lambda tenant: tenant.encode().ljust(32, b"0"))
    return batch.replace({"processed_redacted_fields": changed.cast(events.schema.field("processed_redacted_fields").type)})


@pytest.fixture(scope="module")
def stored(new_space: Callable[[], Space]) -> Space:
    """The events as stored under NOW."""
    space = new_space()
    space.provision()
    analyst_world.insert(space, _after(_events(), rules(NOW)).columns)
    return space


def _preview(space: Space, now: Snapshot, draft: Snapshot, since: int = SINCE, until: int = SINCE + DAY_US) -> preview.Preview:
    with clickhouse(space, "RULES") as reader:
        return preview.of(reader, space.name, now, draft, since=since, until=until)


def _counted(found: preview.Preview) -> Counter[str]:
    return Counter({what: sum(c.events for c in found.changes if c.what == what) for what in {c.what for c in found.changes}})


def _expected(now: Rules, draft: Rules) -> Counter[str]:
    """By running the processor's stages over the events twice and comparing what comes out."""
    events, found = _events(), Counter[str]()
    before, after = _after(events, now), _after(events, draft)
    rows = [set(range(COUNT)) - set(_equal(before.column(name), after.column(name))) for name in REDACTABLE]
    found.update({name: len(differ) for name, differ in zip(REDACTABLE, rows, strict=True) if differ})
    found[CLASS] = COUNT - len(_equal(before.column("processed_retention_class"), after.column("processed_retention_class")))
    levels = [_levels(one, events) for one in (now, draft)]
    found[LEVEL] = sum(one != other for one, other in zip(*levels, strict=True))
    return +found


def _equal(one: pa.Array[object], other: pa.Array[object]) -> list[int]:
    return [n for n, (a, b) in enumerate(zip(one.to_pylist(), other.to_pylist(), strict=True)) if a == b]


def _levels(one: Rules, events: pa.RecordBatch) -> list[str]:
    codes = one.decide(Batch.of(events)).levels
    names = [rule.level for rule in one.snapshot.captures]
    return [names[code] if code >= 0 else "request_response" for code in ([-1] * COUNT if codes is None else codes.tolist())]


def test_it_counts_what_the_processor_would_make_different(stored: Space) -> None:
    now, draft = rules(NOW), rules(DRAFT)
    found = _preview(stored, now.snapshot, draft.snapshot)
    assert _counted(found) == _expected(now, draft)
    assert (found.events, found.tenants) == (COUNT, 3)
    assert 0 < found.changed <= COUNT and found.changed_tenants == 3


CONFLICTING: list[dict[str, Any]] = [
    {"kind": "capture", "name": "failures", "when": ("outcome", "failure"), "level": "request"},
    {"kind": "capture", "name": "reads", "when": ("tool_category", "read"), "level": "metadata"},
    {"kind": "capture", "name": "acme-reads", "tenant": "acme", "when": ("tool_category", "read"), "level": "request"},
    {
        "kind": "redaction",
        "name": "start",
        "when": ("tool_category", "write"),
        "fields": ["reason"],
        "action": "cut",
        "length": 5,
    },
    {"kind": "redaction", "name": "hashed", "when": ("tool_name", "slack_post"), "fields": ["content"], "action": "hash"},
    {"kind": "redaction", "name": "one", "when": ("tool_name", "git_push"), "fields": ["reason", "actor_id"], "action": "mask"},
    {"kind": "redaction", "name": "two", "when": ("outcome", "success"), "fields": ["reason", "personal"], "action": "mask"},
    {"kind": "redaction", "name": "g", "tenant": "demo", "when": ("outcome", "denied"), "fields": ["reason"], "action": "drop"},
    {"kind": "retention", "name": "failed", "when": ("outcome", "failure"), "class": "long"},
    {"kind": "retention", "name": "read", "when": ("tool_category", "read"), "class": "extended"},
    {"kind": "retention", "name": "thirds", "tenant": "third", "when": ("tool_name", "git_push"), "class": "year"},
    {"kind": "retention_class", "name": "long", "months": 120},
    {"kind": "retention_class", "name": "year", "months": 12},
]
SOME = 100  # events, the first of them


def _ready(documents: list[dict[str, Any]]) -> Rules:
    said = [{**d, "when": "{} = '{}'".format(*d["when"])} if "when" in d else d for d in documents]
    return rules("\n---\n".join(json.dumps(document) for document in said))


def _words(one: Rules) -> dict[str, str]:
    """Name of a rule → what preview calls that which it does."""
    words = {"mask": "mask ({0.name})", "cut": "cut to {0.length}"}
    redactions = {rule.name: words.get(rule.action, rule.action).format(rule) for rule in one.snapshot.redactions}
    return {**redactions, **{rule.name: "drop" for rule in one.snapshot.captures}}


def _documented(documents: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """What docs/rules.md says, one event and one field at a time."""
    kinds = {kind: [d for d in documents if d["kind"] == kind] for kind in ("capture", "redaction", "retention")}
    words, found = _words(_ready(documents)), Counter[tuple[str, str]]()
    for event in _events().slice(0, SOME).to_pylist():
        after, entries = ruled(event, kinds, b"")
        found.update((name, words[rule]) for name, rule in (entry.split("=rule:") for entry in entries))
        if after["processed_retention_class"] != event["processed_retention_class"]:
            found[CLASS, after["processed_retention_class"]] += 1
        if level := next(matching(event, kinds["capture"]), None):
            found[LEVEL, level["level"]] += 1
    return found


def _processed(one: Rules) -> Counter[tuple[str, str]]:
    events, words = _events().slice(0, SOME), _words(one)
    after = _after(events, one)
    entries = [entry for row in after.column("processed_redacted_fields").to_pylist() for entry in row if "=rule:" in entry]
    found = Counter((name, words[rule]) for name, rule in (entry.split("=rule:") for entry in entries))
    before = events.column("processed_retention_class").to_pylist()
    classes = zip(before, after.column("processed_retention_class").to_pylist(), strict=True)
    found.update((CLASS, new) for old, new in classes if new != old)
    return found


def _previewed(stored: Space, one: Rules) -> Counter[tuple[str, str]]:
    until = SINCE + SOME * 6_000_000  # ten a minute
    return Counter({(c.what, c.after): c.events for c in _preview(stored, NO_RULES.snapshot, one.snapshot, until=until).changes})


def _explained(one: Rules) -> Counter[tuple[str, str]]:
    found, words = Counter[tuple[str, str]](), _words(one)
    after = _after(_events().slice(0, SOME), one).columns
    for row in range(SOME):
        said = explained(Stored(after.slice(row, 1), MORNING), one.snapshot, [], MORNING)
        found.update((field["field"], words[field["rule"]]) for field in said["redacted"] if field["rule"])
        if said["retention"]["rule"]:
            (winner,) = (rule for rule in one.snapshot.retentions if rule.name == said["retention"]["rule"])
            assert winner.retention_class == said["retention"]["class"]
            found[CLASS, winner.retention_class] += 1
        if said["capture"]:
            found[LEVEL, said["capture"]["level"]] += 1
    return found


@pytest.mark.parametrize("step", [1, -1])
def test_of_rules_in_conflict_the_documented_one_wins_in_processor_preview_and_explain(stored: Space, step: int) -> None:
    documents = CONFLICTING[::step]
    one, documented = _ready(documents), _documented(documents)
    assert _explained(one) == documented
    assert _previewed(stored, one) == documented
    fields = Counter({(what, word): count for (what, word), count in documented.items() if what != LEVEL})
    assert _processed(one) == fields
    other = _documented(CONFLICTING[::-step])
    decided = {what for what, _ in other.keys() | documented.keys()}
    assert {what for what in decided if _of(documented, what) != _of(other, what)} >= {LEVEL, CLASS, "reason", "actor_id"}, (
        "control: in the other order others win"
    )


def _of(found: Counter[tuple[str, str]], what: str) -> dict[str, int]:
    return {word: count for (name, word), count in found.items() if name == what}


def test_back_again_counts_the_same(stored: Space) -> None:
    """Also what is not stored any more, as the events say which rule took it."""
    now, draft = rules(NOW), NO_RULES
    assert _counted(_preview(stored, now.snapshot, draft.snapshot)) == _expected(now, draft)


def test_the_same_rules_change_nothing(stored: Space) -> None:
    found = _preview(stored, rules(NOW).snapshot, rules(NOW, "2").snapshot)
    assert (found.changed, found.changes) == (0, [])


def test_only_events_of_the_time_count(stored: Space) -> None:
    half = SINCE + int(timedelta(minutes=COUNT / 20).total_seconds()) * 1_000_000
    first, second = (
        _preview(stored, rules(NOW).snapshot, rules(DRAFT).snapshot, *ends) for ends in ((SINCE, half), (half, SINCE + DAY_US))
    )
    assert (first.events, second.events) == (COUNT // 2, COUNT // 2)
    assert _counted(first) + _counted(second) == _expected(rules(NOW), rules(DRAFT))


def test_many_rules_are_one_statement(stored: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than ClickHouse takes in a field of a form: the control."""
    many = [Redaction(f"r{n}", f"t{n}", None, ("content", "personal"), "mask", (), 0) for n in range(200)]
    draft = Snapshot("", redactions=(*many, Redaction("acme", "acme", None, ("prompt",), "drop", (), 0)))
    assert len(preview_sql.changes(NO_RULES.snapshot, draft)) > 128 << 10
    found = _preview(stored, NO_RULES.snapshot, draft)
    assert {(c.what, c.before, c.after, c.tenants) for c in found.changes} == {("prompt", "kept", "drop", 1)}
    monkeypatch.setattr(client, "FORM_CHARACTERS", 1 << 30)
    with clickhouse(stored, "RULES") as reader, pytest.raises(ClickHouseError):
        preview.of(reader, stored.name, NO_RULES.snapshot, draft, since=SINCE, until=SINCE + DAY_US)


def test_own_detectors_are_searched_in_stored_text_and_it_says_so(stored: Space) -> None:
    now = rules(NOW).snapshot
    draft = Snapshot("", detectors=(Detector("longer", "demo", "l[o]nger", False),), captures=now.captures)
    found = _preview(stored, now, draft)
    (change,) = [change for change in found.changes if change.what == "longer in prompt"]
    column = _after(_events(), rules(NOW)).columns
    there = pc.and_(pc.match_substring(column["prompt"], "longer"), pc.equal(column["tenant_id"], "demo"))
    assert (change.before, change.after, change.events) == ("kept", "mask (longer)", there.true_count)
    assert any("redacted already" in line for line in preview.lines(found, now, draft))


def test_what_built_in_detectors_find_is_known_by_its_mask(stored: Space) -> None:
    draft = rules(NOW + "---\n{kind: redaction, name: mail-stays, fields: [reason], action: keep, detectors: [email]}\n")
    found = _preview(stored, rules(NOW).snapshot, draft.snapshot)
    (change,) = found.changes
    assert (change.what, change.before, change.after) == ("email in reason", "mask (email)", "kept")
    assert change.events == _expected(rules(NOW), draft)["reason"] > 0


def test_its_user_reads_events_and_nothing_else(stored: Space) -> None:
    with clickhouse(stored, "RULES") as reader:
        for refused in (
            "SELECT count() FROM ledger",
            "INSERT INTO fence VALUES ('t', 0, 1)",
            "ALTER TABLE events DELETE WHERE true",
        ):
            with pytest.raises(ClickHouseError, match="497"):
                reader.command(refused, database=stored.name)


def test_the_command_says_what_would_change(
    stored: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*settings.names_of(settings.Rules), *settings.names_of(settings.RulesPreview)):
        monkeypatch.setenv(name, stored.env.get(name, ""))
    Revisions(stored.env["AUDITWIRE_RULES_POSTGRES_DSN"], stored.name, RULES).apply(revision(NOW), "ana", "first")
    (tmp_path / "rules.yaml").write_text(DRAFT, encoding="utf-8")
    assert command_line.main(["rules", "preview", str(tmp_path), "--days", "3660"]) == 0
    out = capsys.readouterr().out
    assert f"{COUNT} events of 3 tenants" in out and "compared with revision 1" in out
    assert "tool_result: cut to 8 -> cut to 3" in out
    assert "a longer" not in out, "nothing of what events hold is shown"
    (tmp_path / "rules.yaml").write_text("kind: capture\nname: x\nlevel: none\n", encoding="utf-8")
    assert command_line.main(["rules", "preview", str(tmp_path)]) == 1
    monkeypatch.setenv("AUDITWIRE_CLICKHOUSE_URL", "http://127.0.0.1:9")
    (tmp_path / "rules.yaml").write_text(DRAFT, encoding="utf-8")
    assert command_line.main(["rules", "preview", str(tmp_path)]) == 2
    assert "does not answer" in capsys.readouterr().err
