"""Conditions of rules: what the language has and lacks, and that every engine gives what the plain evaluator gives."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rules import columnar, facts, sql, tree
from pipeline.rules.condition import parse
from pipeline.rules.nodes import And, Compare, Const, Field, IsNull, Like, Not, Or, Tree, TreeError
from pipeline.rules.refused import Refused
from schemas import fields_of_class
from tests import condition_engines as engines
from tests import conditions
from tests.conditions import Draw

TOOL: Any = ["field", "tool_name"]
TOKENS: Any = ["field", "input_tokens"]
READ: list[tuple[str, Any]] = [
    ("tool_name = 'it''s'", ["=", TOOL, ["text", "it's"]]),
    ("5 < input_tokens", [">", TOKENS, ["long", 5]]),
    ("-5 >= cost_usd", ["<=", ["field", "cost_usd"], ["double", "-5.0"]]),
    ("tool_name NOT IN ('a', 'b')", ["not", ["in", TOOL, [["text", "a"], ["text", "b"]]]]),
    ("input_tokens BETWEEN 1 AND -2", ["between", TOKENS, ["long", 1], ["long", -2]]),
    ("tool_name IS NOT DISTINCT FROM 'a'", ["not", ["distinct", TOOL, ["text", "a"]]]),
    ("input_tokens IS NOT NULL", ["not", ["null", TOKENS]]),
    ("tool_name NOT ILIKE 'a%'", ["not", ["ilike", TOOL, "a%"]]),
    ("has(tools_offered, 'shell')", ["has", ["field", "tools_offered"], "shell"]),
    ("Starts_With(tool_name, 'a')", ["starts_with", TOOL, "a"]),
    ("occurred_at >= '2026-01-01T00:00:00.5Z'", [">=", ["field", "occurred_at"], ["time", 1_767_225_600_500_000]]),
    ("TIMESTAMP '2026-01-01 00:00:00Z' > occurred_at", ["<", ["field", "occurred_at"], ["time", 1_767_225_600_000_000]]),
    ("COALESCE(input_tokens, 0) = 0", ["=", ["coalesce", TOKENS, ["long", 0]], ["long", 0]]),
    (
        "CASE tool_name WHEN 'a' THEN 1 ELSE 0.5 END > 0",
        [">", ["case", [[["=", TOOL, ["text", "a"]], ["double", "1.0"]]], ["double", "0.5"]], ["double", "0.0"]],
    ),
    (
        "(tool_name = 'a' OR (tool_name = 'b')) AND (input_tokens = 1 AND NOT input_tokens = 2)",
        [
            "and",
            ["or", ["=", TOOL, ["text", "a"]], ["=", TOOL, ["text", "b"]]],
            ["=", TOKENS, ["long", 1]],
            ["not", ["=", TOKENS, ["long", 2]]],
        ],
    ),
]
REFUSED = [  # text, where, what the message says
    ("tol_name = 'a'", 0, "did you mean tool_name?"),
    ("TOOL_NAME = 'a'", 0, "did you mean tool_name?"),
    ("zzz = 'a'", 0, "docs/event-reference.md lists the fields"),
    ("prompt = 'a'", 0, "prompt is content"),
    ("outcome = 'x' AND actor_id = 'a'", 18, "actor_id is personal"),
    ("attributes IS NULL", 0, "attributes is content"),
    ("processed_retention_class = 'a'", 0, "the rules decide it"),
    ("processed_raw_offset = 5", 0, "after the rules"),
    ("has(truncated_fields, 'prompt')", 4, "after the rules"),
    ("tool_name = 5", 12, "write it like 'text'"),
    ("input_tokens = '5'", 15, "write it like 15"),
    ("input_tokens = 1.5", 15, "whole number"),
    ("input_tokens = 9223372036854775808", 15, "outside"),
    ("cost_usd > 1e999", 11, "finite"),
    ("occurred_at > '2026-01-01'", 14, "write it as '2026-11-01T00:00:00Z'"),
    ("occurred_at > '2026-01-01T00:00:00+02:00'", 14, "write it as"),
    ("occurred_at > '2026-02-30T00:00:00Z'", 14, "check month, day"),
    ("occurred_at > '1969-12-31T23:59:59Z'", 14, "1970"),
    ("occurred_at > TIMESTAMPTZ '2026-01-01T00:00:00Z'", 14, "times are UTC"),
    ("occurred_at > DATE '2026-01-01'", 14, "write the moment"),
    ("occurred_at > now()", 14, "the same at any time"),
    ("tool_name = NULL", 12, "write IS NULL"),
    ("tool_name IN ('a', NULL)", 19, "write IS NULL"),
    ("tool_name NOT IN (NULL)", 18, "write IS NULL"),
    ("COALESCE(tool_name, NULL) = 'a'", 20, "write IS NULL"),
    ("tool_name IN ()", 0, "at least one literal"),
    ("tool_name IN ('a',)", 18, "comma"),
    ("tool_name IN (SELECT tool_name FROM events)", 14, "one event only"),
    ("tool_name = tool_version", 12, "literals only"),
    ("'a' = 'a'", 0, "one side must be a field"),
    ("tool_name", 0, "compare it with a literal"),
    ("NOT (tool_name)", 5, "compare it with a literal"),
    ("(tool_name = 'a') IS NULL", 1, "join conditions by AND"),
    ("tool_name = 'a' = 'b'", 0, "join conditions by AND"),
    ("tool_name IS TRUE", 13, "write the comparison itself"),
    ("tool_name != 'a'", 10, "write <>"),
    ("tool_name == 'a'", 10, "write ="),
    ('tool_name = "a"', 12, "single quotes"),
    ("tool_name = “a”", 12, "docs/rules.md"),
    ("`tool_name` = 'a'", 0, "docs/rules.md"),
    ("tool_name = 'a", 12, "nothing closes"),
    ("tool_name LIKE 'a\\_b'", 15, "backslash"),
    ("tool_name LIKE 'a' ESCAPE '!'", 19, "contains()"),
    ("tool_name ILIKE 'É'", 16, "use LIKE"),
    ("tool_name LIKE tool_version", 15, "single quotes"),
    ("tool_name LIKE ANY ('a', 'b')", 15, "joined by OR"),
    ("tool_name RLIKE 'a'", 10, "use LIKE"),
    ("tool_name SIMILAR TO 'a'", 10, "use LIKE"),
    ("input_tokens LIKE '5'", 0, "compare it with < and >"),
    ("input_tokens + 1 > 2", 13, "compare the field itself"),
    ("input_tokens - 1 > 2", 0, "compare the field itself"),
    ("input_tokens = - -5", 18, "compare the field itself"),
    ("input_tokens > 1_000", 16, "operator is missing"),
    ("input_tokens = 0x1F", 16, "operator is missing"),
    ("tool_name = 'a' tool_version", 16, "operator is missing"),
    ("tool_name = 'a' AND\n  tool_name 'b'", 32, "line 2, column 13"),
    ("tool_name = 'a' AND", 16, "cannot be read"),
    ("(tool_name = 'a'", 13, "cannot be read"),
    ("length(tool_name) > 5", 0, "conditions lack it"),
    ("lower(tool_name) = 'a'", 0, "ILIKE"),
    ("sleep(tool_name) = 'a'", 0, "no function sleep()"),
    ("CAST(input_tokens AS VARCHAR) = '5'", 0, "leave the cast out"),
    ("tool_name::VARCHAR = 'a'", 9, "leave the cast out"),
    ("contains(tools_offered, 'a')", 9, "write has(tools_offered, 'text')"),
    ("tools_offered = 'a'", 0, "write has(tools_offered, 'text')"),
    ("has(tool_name, 'a')", 4, "write contains() or ="),
    ("has(tools_offered, tool_name)", 19, "single quotes"),
    ("has(tools_offered)", 0, "takes a field and a text"),
    ("contains(tool_name, 'a', 1)", 0, "more here than"),
    ("COALESCE(5, input_tokens) > 3", 9, "put it last"),
    ("COALESCE(input_tokens) > 3", 0, "two values"),
    ("COALESCE(tool_name, input_tokens) = 'a'", 20, "fields of one type"),
    ("CASE WHEN tool_name = 'a' THEN 'x' ELSE 5 END = 'x'", 40, "write it like 'text'"),
    ("CASE lower WHEN 'a' THEN 1 END = 1", 5, "ILIKE"),
    ("tool_name = :tool", 12, "not filled in"),
    ("tool_name = ?", 12, "not filled in"),
    ("tool_name = $1", 12, "docs/rules.md"),
    ("tool_name = {tool:String}", 12, "docs/rules.md"),
    ("tool_name = 'a' -- or so", 16, "YAML"),
    ("tool_name = 'a' /* AND 1 */", 16, "YAML"),
    ("/*+ x */ tool_name = 'a'", 0, "YAML"),
    ("tool_name = 'a'; DROP TABLE events", 15, "one expression"),
    ("events.tool_name = 'a'", 6, "without a table"),
    ("tool_name BETWEEN SYMMETRIC 'b' AND 'a'", 18, "lower limit first"),
    ("(tool_name, tool_version) = ('a', 'b')", 1, "docs/rules.md"),
    ("tool_name = 'a' COLLATE nocase", 12, "conditions lack it"),
    ("tool_name = N'a'", 12, "docs/rules.md"),
    ("tool_name = 'a\0b'", 14, "U+0000"),
    ("", 0, "no condition"),
    (" \n ", 0, "no condition"),
    ("-- nothing", 0, "no condition"),
    ("tool_name = '" + "a" * 1025 + "'", 12, "at most 1,024"),
    (" OR ".join(["tool_name = 'abc'"] * 500), 8192, "split the rule"),
    ("input_tokens IN (" + ", ".join(["1"] * 1000) + ")", 0, "split the rule"),
    ("(" * 33 + "tool_name = 'a'" + ")" * 33, 32, "split the rule"),
]


@pytest.mark.parametrize(("text", "meaning"), READ, ids=[text for text, _ in READ])
def test_a_condition_is_read_as_it_is_meant(text: str, meaning: Any) -> None:
    assert tree.to_json(parse(text).tree) == meaning


@pytest.mark.parametrize(("text", "at", "said"), REFUSED, ids=[text[:60] for text, _, _ in REFUSED])
def test_what_the_language_lacks_is_refused_with_place_and_way_out(text: str, at: int, said: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(text)
    assert said in str(refused.value)
    assert refused.value.at == at, str(refused.value)


def test_every_fact_of_a_plain_type_can_be_named_and_nothing_else() -> None:
    for name, kind in facts.kinds().items():
        assert parse(f"has({name}, 'a')" if kind == "texts" else f"{name} IS NOT NULL")
    assert facts.kinds().keys() == set(fields_of_class("fact")) - facts.LATER.keys()
    for name in {*fields_of_class("personal", "content"), *facts.LATER}:
        with pytest.raises(Refused, match=name):
            parse(f"{name} IS NOT NULL")


@pytest.mark.parametrize(
    "text",
    [
        "NOT " * 2000 + "tool_name = 'a'",
        "(" * 4000,
        "CASE WHEN " * 800,
        "COALESCE(" * 900,
        "NOT (" * 1000 + "tool_name = 'a'",
        "tool_name = 'a' AND " * 409 + "x",
        "tool_name = " * 600 + "'a'",
        "'" * 8191,
        "-" * 8000,
        "a" * 8192,
        "1" * 8192,
        "(NOT " * 33 + "tool_name = 'a'" + ")" * 33,
    ],
    ids=lambda text: text[:20],
)
def test_nasty_texts_are_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(Refused):
        parse(text)
    assert time.process_time() - started < 2


def test_as_deep_as_is_allowed_is_read() -> None:
    assert parse("(" * 31 + "tool_name = 'a'" + ")" * 31).tree == Compare("=", Field("tool_name"), Const("text", "a"))
    assert parse("(NOT " * 16 + "tool_name = 'a'" + ")" * 16)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_written_out_a_tree_is_read_as_itself_also_by_way_of_json(seed: int) -> None:
    one = Draw(seed).tree()
    assert parse(conditions.text_of(one)).tree == one
    assert tree.from_json(json.loads(json.dumps(tree.to_json(one)))) == one


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_the_processor_and_duckdb_give_what_the_plain_evaluator_gives(seed: int) -> None:
    draw = Draw(seed)
    rows, trees = draw.rows(20), [draw.tree() for _ in range(15)]
    expected = engines.plain(trees, rows)
    assert engines.difference(trees, rows, expected, engines.pyarrow(trees, rows)) == "no difference"
    assert engines.difference(trees, rows, expected, engines.in_duckdb(trees, rows)) == "no difference"


def _turned(one: Tree, rows: engines.Rows) -> list[bool]:
    """Wrong: NOT taken as everything that is not a match, also where it is unknown."""
    if isinstance(one, Not):
        return [not match for match in _turned(one.item, rows)]
    if isinstance(one, And | Or):
        taken = all if isinstance(one, And) else any
        return [taken(parts) for parts in zip(*(_turned(item, rows) for item in one.items), strict=True)]
    return engines.pyarrow([one], rows)[0]


def _duckdb_with(old: str, new: str) -> Callable[[Tree, engines.Rows], list[bool]]:
    def run(one: Tree, rows: engines.Rows) -> list[bool]:
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'Pacific/Kiritimati'")
            db.register("rows", engines.utc(conditions.batch(rows)))
            return [bool(match) for (match,) in db.sql(f"SELECT {sql.duckdb(one).replace(old, new)} FROM rows").fetchall()]

    return run


WRONG: dict[str, Callable[[Tree, engines.Rows], list[bool]]] = {
    "NOT of NULL": _turned,
    "letters beyond ASCII": _duckdb_with("XYZ', 'abcdefghijklmnopqrstuvwxyz'", "XYZ\u212a', 'abcdefghijklmnopqrstuvwxyzk'"),
    "times in the session's zone": _duckdb_with("TIMESTAMPTZ '", "TIMESTAMP '"),
    "IS DISTINCT as <>": _duckdb_with("IS DISTINCT FROM", "<>"),
}
"""Compilers with one mistake each."""


@pytest.mark.parametrize("mistake", WRONG)
def test_a_compiler_with_a_mistake_is_found(mistake: str) -> None:
    letters = [Like(Field("tool_name"), f"%{letter}%", any_case=True) for letter in "kis"]
    for seed in range(40):
        draw = Draw(seed)
        rows = draw.rows(30)
        for one in (draw.tree(), *letters):
            if WRONG[mistake](one, rows) != engines.plain([one], rows)[0]:
                return
    pytest.fail("no condition shows it")


def test_a_null_in_a_column_that_has_none_is_no_match_and_no_contrary() -> None:
    column = pa.record_batch({"tool_name": pa.array(["a", None, "b"])})
    is_a = parse("tool_name = 'a'").tree
    for one, wanted in ((is_a, [True, False, False]), (Not(is_a), [False, False, True])):
        assert columnar.mask(one, column).tolist() == wanted
        table = pa.Table.from_batches([column])
        with duckdb.connect() as db:
            db.register("rows", table)
            assert [match for (match,) in db.sql(f"SELECT {sql.duckdb(one)} FROM rows").fetchall()] == wanted


def test_what_conditions_have_in_common_is_worked_out_once() -> None:
    first, second = parse("tool_name = 'a' AND input_tokens > 5").tree, parse("input_tokens > 5 AND NOT tool_name <> 'a'").tree
    assert len(columnar.Program([first]).steps) == 3
    assert len(columnar.Program([first, second, first]).steps) == 4


def test_only_what_is_asked_for_is_worked_out() -> None:
    """A condition over a column that is not there would raise."""
    program = columnar.Program([parse(f"{name} = 'a'").tree for name in ("tool_name", "session_id")])
    batch = pa.record_batch({"tool_name": ["a", "b"]})
    assert [mask.tolist() for mask in program.masks(batch, [0])] == [[True, False]]
    with pytest.raises(KeyError):
        program.masks(batch)


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_columns_that_repeat_themselves_and_columns_that_do_not(count: int) -> None:
    """Both ways to compare texts give the same, over no rows too."""
    texts = [conditions.TEXTS[n % 5] for n in range(count)]
    batch = pa.record_batch(
        {"tool_name": pa.array(texts, pa.string()), "session_id": pa.array([f"{t}{n}" for n, t in enumerate(texts)])}
    )
    same = "{0} IN ('a', 'b') OR {0} ILIKE '%B_' OR starts_with({0}, 'ab') OR {0} > 'x' OR NOT {0} <> 'A'"
    for name in ("tool_name", "session_id"):
        wanted = engines.plain([parse(same.format(name)).tree], batch.to_pylist())[0]
        assert columnar.mask(parse(same.format(name)).tree, batch).tolist() == wanted


def test_a_slice_of_a_batch_is_seen_as_its_rows() -> None:
    draw = Draw(7)
    batch = conditions.batch(draw.rows(60))
    program = columnar.Program([draw.tree() for _ in range(40)])
    for mask, part in zip(program.masks(batch), program.masks(batch.slice(13, 29)), strict=True):
        assert mask[13:42].tolist() == part.tolist()


def test_no_word_of_a_person_gets_out_of_its_quotes() -> None:
    for text in conditions.TEXTS:
        one = Compare("=", Field("tool_name"), Const("text", text))
        with duckdb.connect() as db:
            assert db.execute(f"SELECT {sql.duckdb(one)} FROM (SELECT ? AS tool_name)", [text]).fetchall() == [(True,)]
    assert sql.clickhouse(Compare("=", Field("tool_name"), Const("text", "\\' OR 1"))) == "(\"tool_name\" = '\\\\\\' OR 1')"


@pytest.mark.parametrize(
    "obj",
    [
        None,
        [],
        {},
        "tool_name = 'a'",
        ["="],
        ["=", TOOL],
        ["=", TOOL, ["text", "a"], ["text", "b"]],
        ["=", TOOL, ["long", 1]],
        ["=", TOOL, ["text", 1]],
        ["=", TOKENS, ["long", True]],
        ["=", TOKENS, ["long", 1.0]],
        ["=", TOKENS, ["long", 2**63]],
        ["=", ["field", "cost_usd"], ["double", 1.0]],
        ["=", ["field", "cost_usd"], ["double", "1"]],
        ["=", ["field", "cost_usd"], ["double", "nan"]],
        ["=", ["field", "cost_usd"], ["double", "-0.0"]],
        ["=", ["field", "occurred_at"], ["time", -1]],
        ["=", ["text", "a"], ["text", "a"]],
        ["=", ["field", "prompt"], ["text", "a"]],
        ["=", ["field", "nothing"], ["text", "a"]],
        ["=", ["field", 'tool_name" OR 1 --'], ["text", "a"]],
        ["=", TOOL, TOOL],
        ["==", TOOL, ["text", "a"]],
        ["in", TOOL, []],
        ["in", TOOL, "ab"],
        ["null", TOOL, TOOL],
        ["null", ["field", "tools_offered"]],
        ["has", TOOL, "a"],
        ["like", TOOL, "a\\_"],
        ["ilike", TOOL, "É"],
        ["like", TOKENS, "a"],
        ["starts_with", TOOL, "a\0"],
        ["and", ["null", TOOL]],
        ["and", ["null", TOOL], ["and", ["null", TOOL], ["null", TOOL]]],
        ["not", ["null", TOOL], ["null", TOOL]],
        ["null", ["coalesce", TOOL]],
        ["null", ["coalesce", ["text", "a"], TOOL]],
        ["null", ["coalesce", TOOL, TOKENS]],
        ["null", ["case", [], TOOL]],
        ["null", ["case", ["ab"], TOOL]],
        ["null", ["case", [[["null", TOOL], TOOL]], TOKENS]],
        ["in", TOOL, [["text", "a"]] * 1000],
        json.loads('["not", ' * 33 + json.dumps(["null", TOOL]) + "]" * 33),
        json.loads('["not", ' * 900 + json.dumps(["null", TOOL]) + "]" * 900),
    ],
    ids=lambda obj: json.dumps(obj)[:40],
)
def test_json_that_is_not_canonical_is_no_condition(obj: Any) -> None:
    with pytest.raises(TreeError):
        tree.from_json(obj)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_whatever_json_is_read_is_what_was_written(seed: int, data: st.DataObject) -> None:
    """A part exchanged at random: read back as exactly this, or refused; nothing else."""
    obj = tree.to_json(Draw(seed).tree())
    part, parts = obj, []
    while isinstance(part, list) and part:
        parts.append(part)
        part = part[data.draw(st.integers(0, len(part) - 1))]
    chosen = data.draw(st.sampled_from(parts))
    chosen[data.draw(st.integers(0, len(chosen) - 1))] = data.draw(
        st.sampled_from(
            [None, True, 1, 1.5, "", "text", "=", "and", [], {}, TOOL, TOKENS, ["long", 5], ["text", "a"], ["null", TOOL]]
        )
    )
    try:
        read = tree.from_json(obj)
    except TreeError:
        return
    assert tree.to_json(read) == obj
    columnar.mask(read, conditions.batch(Draw(seed).rows(2)))


def test_is_null_of_what_is_never_null() -> None:
    rows = Draw(1).rows(5)
    assert not columnar.mask(IsNull(Field("tool_name")), conditions.batch(rows)).any()


def test_the_processor_needs_no_parser() -> None:
    used = "import sys; from pipeline.rules import columnar, sql, tree; sys.exit('sqlglot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", used], check=False).returncode == 0
