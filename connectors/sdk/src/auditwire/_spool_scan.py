"""What a folder of segments holds when it is opened: proven frame by frame, with what is torn told from what is damaged.

A record counts as acknowledged up to the highest position that anything proven calls durable: the mark, a later frame, the
first position of a later segment. What cannot be read before it is damage; what cannot be read behind it is the torn end of
a write that nobody was told about.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from auditwire._spool_frames import HEAD_BYTES, SegmentCipher, frames, read_header

SUFFIX = ".seg"


@dataclass(slots=True)
class Segment:
    """One file: the positions ``first`` .. ``end`` - 1 are its own, whatever else stands in it; ``size`` in bytes."""

    number: int
    path: Path
    cipher: SegmentCipher
    first: int
    end: int
    size: int


@dataclass(slots=True)
class Survey:
    """``lost``: ranges of acknowledged positions that nothing holds any more, with the file that should (None: no file)."""

    segments: list[Segment] = field(default_factory=list)
    end: int = 0
    lost: list[tuple[int, int, Path | None]] = field(default_factory=list)
    strangers: list[Path] = field(default_factory=list)  # no header that belongs here
    torn: list[tuple[Path, int]] = field(default_factory=list)  # file, size of its good part


@dataclass(slots=True)
class _Run:
    first: int
    end: int
    ends_at: int  # offset in the file
    durable: int


def survey(folder: Path, master: bytes, done: int | None, durable: int, *, sealed: bool) -> Survey:
    """``done`` and ``durable`` as the mark has them, None where there is no mark. Raises OSError."""
    found = Survey()
    runs = [_runs(segment) for segment in _segments(folder, master, found, sealed=sealed)]
    for segment, its_runs in zip(found.segments, runs, strict=True):
        durable = max(durable, segment.first, *(run.durable for run in its_runs), 0)
    expected = done if done is not None else min((segment.first for segment in found.segments), default=0)
    for index, (segment, its_runs) in enumerate(zip(found.segments, runs, strict=True)):
        if segment.first > expected:
            found.lost.append((expected, segment.first, None))
        later = found.segments[index + 1 :]
        expected = _walk(segment, its_runs, later[0].first if later else None, durable, found)
    if expected < durable:
        found.lost.append((expected, durable, None))
    found.lost = [(max(begin, done or 0), end, path) for begin, end, path in found.lost if end > (done or 0)]
    found.end = max(expected, durable)
    return found


def number_of(path: Path) -> int:
    return int(path.stem) if path.stem.isascii() and path.stem.isdigit() else -1


def reader(fd: int) -> Callable[[int, int], bytes]:
    """``pread(size, offset)`` of an open file."""
    return lambda size, offset: os.pread(fd, size, offset)


def _segments(folder: Path, master: bytes, found: Survey, *, sealed: bool) -> Iterator[Segment]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        size = path.stat().st_size
        header = read_header(head, number_of(path), master, sealed=sealed)
        if header:
            segment = Segment(number_of(path), path, header[0], header[1], header[1], size)
            found.segments.append(segment)
            yield segment
        else:
            found.strangers.append(path)


def _runs(segment: Segment) -> list[_Run]:
    """The frames of the file that open, as runs of positions without a gap."""
    runs: list[_Run] = []
    with segment.path.open("rb") as file:
        for frame, _ in frames(reader(file.fileno()), segment.cipher, HEAD_BYTES, segment.size):
            if runs and runs[-1].end == frame.position:
                runs[-1].end, runs[-1].ends_at = frame.end, frame.offset + frame.size
                runs[-1].durable = max(runs[-1].durable, frame.durable)
            else:
                runs.append(_Run(frame.position, frame.end, frame.offset + frame.size, frame.durable))
    return runs


def _walk(segment: Segment, runs: list[_Run], limit: int | None, durable: int, found: Survey) -> int:
    """Settle which positions are the segment's own, and say what is missing of them; the position behind the last."""
    expected, good = segment.first, HEAD_BYTES
    bound = durable if limit is None else limit
    for run in runs:
        if run.first > expected:
            if expected >= bound:
                break
            found.lost.append((expected, min(run.first, bound), segment.path))
        if run.end > expected:
            expected, good = run.end, run.ends_at
        if limit is not None and expected >= limit:
            expected = limit
            break
    if expected < bound:
        found.lost.append((expected, bound, segment.path))
        expected = bound
    elif limit is None and good < segment.size:
        found.torn.append((segment.path, good))
        segment.size = good
    segment.end = expected
    return expected
