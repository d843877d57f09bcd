"""When the cap on rejects trips, and that it stays so."""

from __future__ import annotations

from pipeline.reject_cap import WINDOW_SECONDS, RejectCap


def test_a_flood_is_refused_as_a_whole_and_stays_refused() -> None:
    cap = RejectCap(0.5, 1000)
    assert "10000 of the last 10000 raw records" in cap.check(0, 10_000, 10_000)
    assert cap.check(1, 1, 0), "until a restart"


def test_a_trickle_of_junk_is_let_through_until_there_are_enough_records_to_judge() -> None:
    cap, passed = RejectCap(0.5, 1000), 0
    while not cap.check(passed / 100, 100, 100):
        cap.note(passed / 100, 100, 100)
        passed += 100
    assert passed == 900


def test_the_ratio_itself_is_allowed_and_good_records_count() -> None:
    cap = RejectCap(0.5, 1000)
    assert not cap.check(0, 1000, 500)
    cap.note(0, 1000, 500)
    assert not cap.check(1, 2000, 0)
    cap.note(1, 2000, 0)
    assert not cap.check(2, 1000, 1000)
    assert cap.check(2, 2002, 2002)


def test_only_the_last_minutes_count() -> None:
    cap = RejectCap(0.5, 1000)
    cap.note(0, 100_000, 0)
    assert not cap.check(WINDOW_SECONDS, 2000, 2000)
    assert cap.check(WINDOW_SECONDS + 1, 2000, 2000)


def test_a_good_batch_never_trips_it() -> None:
    cap = RejectCap(0.5, 1000)
    cap.note(0, 999, 999)
    assert not cap.check(1, 500, 0)


def test_control_a_ratio_of_one_lets_everything_through() -> None:
    assert not RejectCap(1.0, 1000).check(0, 10_000, 10_000)
