"""Why a condition is refused: where in its text, what is wrong there, and what to write instead."""

from __future__ import annotations

EXCERPT = 40  # characters


class Refused(ValueError):  # noqa: N818
    """A text is no condition. ``at``: character of the text, from 0; ``line`` and ``column``: the same for people, from 1.

    The message names the place, what is wrong and a way out; show it to whoever wrote the text.
    """

    def __init__(self, text: str, at: int, why: str) -> None:
        self.at = max(0, min(at, len(text)))
        before = text[: self.at]
        self.line = before.count("\n") + 1
        self.column = self.at - (before.rfind("\n") + 1) + 1
        self.why = why
        place = f"line {self.line}, column {self.column}" if "\n" in text else f"column {self.column}"
        found = text[self.at : self.at + EXCERPT].partition("\n")[0]
        super().__init__(f"{place}, at {found!r}: {why}" if found else f"{place}, at the end: {why}")
