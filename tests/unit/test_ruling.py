"""What a processor does with rules that it cannot use, or of which it has had no news for too long."""

from __future__ import annotations

from typing import Any, cast

import pytest

from auditwire.redaction import detectors_for, revision_of
from pipeline.rules.decide import NO_RULES
from pipeline.ruling import Age, Ruling
from pipeline.work import Blocked
from tests.rules import revision

ONE = "kind: capture\nname: c\nwhen: event_type = 'a'\nlevel: metadata\n---\nkind: retention_class\nname: long\nmonths: 12\n"


class Topic:
    """A topic that has been read, at whatever age."""

    def __init__(self) -> None:
        self.held, self.seconds = ("", ""), 0.0

    def wait_loaded(self, seconds: float) -> None:
        """It was."""

    def current(self) -> tuple[str, str]:
        return self.held

    def age(self) -> float:
        return self.seconds

    def problem(self) -> str | None:
        return "the topic cannot be read" if self.seconds else None


def ruling(topic: Topic, outdated: Any = "wait", catch_up: float = 0.0, *classes: str) -> Ruling:
    return Ruling(cast(Any, topic), frozenset({"standard", *classes}), Age(60, outdated, catch_up))


def test_nothing_published_means_no_rules_and_a_new_revision_is_taken_up() -> None:
    topic = Topic()
    one = ruling(topic)
    assert one.rules() is NO_RULES
    topic.held = ("3", revision(ONE))
    assert one.rules().version.endswith("/3") and one.rules().classes == {"long"}
    assert one.rules() is one.rules(), "it is made ready once"


def test_outdated_rules_mean_to_wait_and_health_says_why() -> None:
    topic = Topic()
    one = ruling(topic)
    topic.held, topic.seconds = ("3", revision(ONE)), 61.0
    with pytest.raises(Blocked, match="known to be the newest 61 s ago, and AUDITWIRE_PROCESSOR_RULES_MAX_AGE_SECONDS is 60"):
        one.rules()
    assert "the topic cannot be read" in str(one.missing())
    topic.seconds = 59.0
    assert one.rules().version.endswith("/3") and one.missing() is None


def test_or_to_keep_no_content_but_only_after_the_reader_had_time_to_catch_up() -> None:
    topic = Topic()
    topic.held, topic.seconds = ("3", revision(ONE)), 61.0
    with pytest.raises(Blocked):
        ruling(topic, "strictest", 30.0).rules()
    one = ruling(topic, "strictest")
    assert one.rules().version.endswith("/3/outdated") and one.missing() is None
    topic.seconds = 1.0
    assert one.rules().version.endswith("/3")


def test_a_later_outage_gets_the_same_time_to_catch_up() -> None:
    """Also where no event came in between, so that nobody noticed the end of the one before."""
    topic, now = Topic(), [1000.0]
    topic.held = ("3", revision(ONE))
    one = Ruling(cast(Any, topic), frozenset({"standard"}), Age(60, "strictest", 30), clock=lambda: now[0])
    said = []
    for at, age in ((1000, 61), (1029, 90), (5000, 70), (5029, 99), (5031, 101), (5032, 1), (9000, 61)):
        now[0], topic.seconds = at, age
        try:
            said.append(one.rules().version.partition("/")[2])
        except Blocked:
            said.append("waits")
    assert said == ["waits", "waits", "waits", "waits", "3/outdated", "3", "waits"]


def test_the_built_in_detectors_are_those_of_the_setting_with_and_without_rules() -> None:
    topic, on = Topic(), detectors_for("base64")
    one = Ruling(cast(Any, topic), frozenset({"standard"}), Age(60, "strictest", 0), detectors=on)
    found = [one.rules()]
    topic.held = ("3", revision(ONE))
    found.append(one.rules())
    topic.seconds = 61.0
    found.append(one.rules())
    assert [rules.version for rules in found] == [f"{revision_of(on)}{end}" for end in ("", "/3", "/3/outdated")]
    assert all(rules.searches.detectors("") == on for rules in found)
    assert not found[0].version.startswith(NO_RULES.version)


UNUSABLE = {
    "another form": '{"form":2}',
    "an unknown condition": revision(ONE).replace('["="', '["~"'),
    "a detector that is built in by now": revision("kind: detector\nname: d\npattern: x1\n").replace(
        '"name":"d"', '"name":"email"'
    ),
    "an unknown class": revision("kind: retention\nname: r\nclass: extended\n"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_revision_that_cannot_be_used_stops_with_an_alarm(case: str) -> None:
    topic = Topic()
    topic.held = ("4", UNUSABLE[case])
    with pytest.raises(Blocked, match="revision 4 of the rules") as stopped:
        ruling(topic).rules()
    assert stopped.value.alarm


def test_more_than_32_classes_together_stop_it_too() -> None:
    topic = Topic()
    topic.held = ("4", revision(ONE))
    assert ruling(topic, "wait", 0, *(f"c{n}" for n in range(30))).rules()
    with pytest.raises(Blocked, match="more than 32 retention classes"):
        ruling(topic, "wait", 0, *(f"c{n}" for n in range(31))).rules()
