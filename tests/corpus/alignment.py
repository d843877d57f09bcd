"""Which stretches of the original a redacted text has masked."""

from __future__ import annotations

from itertools import accumulate

from tests.corpus.leaks import MASK

Span = tuple[int, int]


class AlignmentError(ValueError):
    """The text outside the masks is not the original's: the engine changed more than it masked."""


def _places(text: str, piece: str) -> list[int]:
    if not piece:
        return list(range(len(text) + 1))
    out, at = [], text.find(piece)
    while at >= 0:
        out.append(at)
        at = text.find(piece, at + 1)
    return out


def masked(original: str, redacted: str, secrets: list[Span]) -> list[Span]:
    """The spans of the original that the masks stand for, one for each mask, none empty.

    Where more than one reading fits (the text between two masks comes twice), the one that covers most of the secrets counts.
    Raises AlignmentError where none fits.
    """
    kept = MASK.split(redacted)
    if len(kept) == 1:
        if original != redacted:
            raise AlignmentError("changed without a mask")
        return []
    inside = [0] * (len(original) + 1)
    for start, end in secrets:
        inside[start:end] = [1] * (end - start)
    worth = [0, *accumulate(inside[:-1])]
    # steps[n]: place of piece n -> (characters of secrets in the gaps so far, place of piece n - 1)
    steps: list[dict[int, tuple[int, int]]] = [{0: (0, -1)}] if original.startswith(kept[0]) else []
    for number in range(1, len(kept)):
        last = number == len(kept) - 1
        places = [len(original) - len(kept[number])] if last else _places(original, kept[number])
        if not steps or (last and not original.endswith(kept[number])):
            raise AlignmentError("text between the masks is not the original's")
        steps.append(_step(steps[-1], len(kept[number - 1]), places, worth))
        if not steps[-1]:
            raise AlignmentError("text between the masks is not the original's")
    return _walked(steps, kept)


def _step(before: dict[int, tuple[int, int]], length: int, places: list[int], worth: list[int]) -> dict[int, tuple[int, int]]:
    """For each place of the next piece the best place of the one before it, at least one character earlier."""
    starts = sorted(before)
    out: dict[int, tuple[int, int]] = {}
    best: tuple[int, int] | None = None
    at = 0
    for place in sorted(places):
        while at < len(starts) and starts[at] + length < place:
            value = before[starts[at]][0] - worth[starts[at] + length]
            if best is None or value > best[0]:
                best = (value, starts[at])
            at += 1
        if best is not None:
            out[place] = (best[0] + worth[place], best[1])
    return out


def _walked(steps: list[dict[int, tuple[int, int]]], kept: list[str]) -> list[Span]:
    """Back from the end along the best places."""
    place = next(iter(steps[-1]))
    spans: list[Span] = []
    for number in range(len(steps) - 1, 0, -1):
        previous = steps[number][place][1]
        spans.append((previous + len(kept[number - 1]), place))
        place = previous
    return spans[::-1]


def changed(original: str, redacted: str) -> list[Span]:
    """For a text that cannot be aligned: all between the common beginning and the common end."""
    start = 0
    while start < min(len(original), len(redacted)) and original[start] == redacted[start]:
        start += 1
    end = 0
    while end < min(len(original), len(redacted)) - start and original[-1 - end] == redacted[-1 - end]:
        end += 1
    return [(start, max(len(original) - end, start + 1))]
