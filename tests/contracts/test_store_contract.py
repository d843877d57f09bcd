"""What every store owes the sink loop (`connectors.ranges`), on memory and on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.ranges import Claim, FencedError, OpenRange, Plan, Proof, Rows
from tests.archive_rows import part, plan_of, rows
from tests.contracts.stores import BENCHES, Bench, new_topic_id


@pytest.fixture(scope="module", params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with BENCHES[request.param](request) as one:
        yield one


@pytest.fixture
def topic_id() -> str:
    return new_topic_id()


def take_over(bench: Bench, plan: Plan) -> Claim:
    return bench.store.take_over(plan.topic, plan.topic_id, plan.partition)


def filled(claim: Claim, *held: Rows) -> OpenRange:
    opened = claim.open()
    for one in held:
        opened.add(one)
    return opened


def write(claim: Claim, plan: Plan, *held: Rows) -> None:
    opened = filled(claim, *held)
    claim.write(plan, opened)
    opened.close()


def whole(plan: Plan) -> Proof:
    return Proof(plan.count, plan.count, plan.checksum)


def test_nothing_is_stored_before_the_first_write(bench: Bench, topic_id: str) -> None:
    plan = plan_of(rows(10), topic_id=topic_id)
    claim = take_over(bench, plan)
    assert claim.stands_at() is None
    assert claim.prove(plan) == Proof(0, 0, 0)


def test_a_range_in_several_pieces_is_stored_whole(bench: Bench, topic_id: str) -> None:
    of = rows(100, first=5, step=3, classes=("standard", "short"))
    plan = plan_of(of, topic_id=topic_id)
    claim = take_over(bench, plan)
    write(claim, plan, part(of, 0, 30), part(of, 30, 100))
    assert claim.prove(plan) == whole(plan)
    assert claim.stands_at() == plan.end


def test_positions_outside_the_plan_do_not_count(bench: Bench, topic_id: str) -> None:
    of = rows(30)
    first, second = part(of, 0, 10), part(of, 10, 30)
    claim = take_over(bench, plan_of(of, topic_id=topic_id))
    for one in (first, second):
        write(claim, plan_of(one, topic_id=topic_id), one)
    for one in (first, second):
        assert claim.prove(plan_of(one, topic_id=topic_id)) == whole(plan_of(one, topic_id=topic_id))


def test_topics_and_partitions_do_not_mix(bench: Bench, topic_id: str) -> None:
    of, other_topic = rows(10), new_topic_id()
    write(take_over(bench, plan_of(of, topic_id=topic_id)), plan_of(of, topic_id=topic_id), of)
    for other in (plan_of(of, topic_id=other_topic), plan_of(of, topic_id=topic_id, partition=3)):
        claim = take_over(bench, other)
        assert claim.stands_at() is None
        assert claim.prove(other) == Proof(0, 0, 0)


def test_another_attempt_after_success_adds_nothing(bench: Bench, topic_id: str) -> None:
    of = rows(20)
    plan = plan_of(of, topic_id=topic_id)
    write(take_over(bench, plan), plan, of)
    again = take_over(bench, plan)
    write(again, plan.again(), of)
    assert again.prove(plan) == whole(plan)


def test_another_attempt_does_not_hang_on_the_first_ones_token(bench: Bench, topic_id: str) -> None:
    of = rows(20)
    plan = plan_of(of, topic_id=topic_id)
    claim = take_over(bench, plan)
    for attempt in range(1, 4):
        write(claim, replace(plan, attempt=attempt), of)
    assert claim.prove(plan) == whole(plan)


def test_an_earlier_owner_is_refused(bench: Bench, topic_id: str) -> None:
    if not bench.fences:
        pytest.skip("this store's writes are idempotent by themselves")
    of = rows(20)
    plan = plan_of(of, topic_id=topic_id)
    earlier = take_over(bench, plan)
    later = take_over(bench, plan)
    with pytest.raises(FencedError, match="another owner"):
        write(earlier, plan, of)
    assert later.prove(plan) == Proof(0, 0, 0)
    write(later, plan, of)
    assert later.prove(plan) == whole(plan)


def test_other_partitions_owners_are_not_disturbed(bench: Bench, topic_id: str) -> None:
    of = rows(20)
    plan = plan_of(of, topic_id=topic_id)
    claim = take_over(bench, plan)
    take_over(bench, replace(plan, partition=plan.partition + 1))
    take_over(bench, replace(plan, topic_id=new_topic_id()))
    write(claim, plan, of)
    assert claim.prove(plan) == whole(plan)


def test_what_was_written_comes_back_unchanged(bench: Bench, topic_id: str) -> None:
    of = rows(200, classes=("", "standard"))
    plan = plan_of(of, topic_id=topic_id)
    write(take_over(bench, plan), plan, of)
    assert bench.read(topic_id, plan.partition).equals(of.columns)
