"""Deduplication with plain lists and no cleverness, as docs/processor.md tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

STEPS = 12  # of five minutes, an hour
NOBODY = -1


@dataclass(frozen=True)
class Event:
    """What deduplication looks at. ``producer`` NOBODY: a receiver's event without a sequence."""

    identity: Any
    content: Any
    producer: Any
    sequence: int


@dataclass
class Memory:
    """What was stored, with the step of five minutes in which it was. ``most``: identities held at most, of several steps."""

    window_hours: int
    most: int | None = None
    now: int = -(10**9)
    floor: int = -(10**9)
    stored: list[tuple[int, Event]] = field(default_factory=list)
    fresh: list[Event] = field(default_factory=list)
    window: list[Event] = field(default_factory=list)
    before: list[Event] = field(default_factory=list)

    def judge(self, batch: Iterable[Event], at: int) -> list[str]:
        """Each event's fate (new, conflict, duplicate) at the step ``at``; all but duplicates are stored."""
        self.begin(at)
        answers = []
        for event in batch:
            answers.append(self.fate(event))
            if answers[-1] != "duplicate":
                self.fresh.append(event)
        self.end()
        return answers

    def begin(self, at: int) -> None:
        """A batch begins."""
        self.now = max(self.now, at)
        horizon = self._horizon()
        self.window = [event for when, event in self.stored if when >= horizon]
        self.before = [event for when, event in self.stored if when < horizon]

    def fate(self, event: Event) -> str:
        """Of one event; ``fresh`` are those of the batch that were stored before it."""
        within = self.window + self.fresh
        same = [e for e in within if e.identity == event.identity]
        if any(e.content == event.content for e in same):
            return "duplicate"
        if same:
            return "conflict"
        if event.producer == NOBODY:
            return "new"
        number = (event.producer, event.sequence)
        if number in [(e.producer, e.sequence) for e in self.before]:
            return "duplicate"
        return "conflict" if number in [(e.producer, e.sequence) for e in within] else "new"

    def end(self) -> None:
        """The batch is stored."""
        self.stored += [(self.now, event) for event in self.fresh]
        self.fresh = []
        while self.most is not None and len(self._held()) > self.most and min(self._held()) < max(self._held()):
            self.floor = min(self._held()) + 1

    def _horizon(self) -> int:
        return max(self.now - self.window_hours * STEPS, self.floor)

    def _held(self) -> list[int]:
        return [at for at, _ in self.stored if at >= self._horizon()]
