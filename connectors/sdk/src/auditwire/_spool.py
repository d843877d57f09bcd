"""A durable queue of Kafka records in a folder: sealed segments, appended by many threads, read and ticked off by a sender.

``append`` returns when the records are on the disk. Whatever it has returned for is read again after a crash, in the order of
the positions it gave, until ``done`` has passed it; what a crash cut off was never acknowledged. What the disk changed in the
middle does not open any more: it is kept aside as ``*.damaged`` and counted, and the rest is sent.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from auditwire._spool_disk import SpoolControl, trouble
from auditwire._spool_folder import Folder
from auditwire._spool_frames import HEAD_BYTES, KEY_BYTES, Frame, Record, frames, read_frame, unpack
from auditwire._spool_scan import Segment, reader
from auditwire._spool_write import Writer

__all__ = ["Spool", "SpoolControl"]


class Spool:
    """One process at a time per folder; safe to share between threads; a forked child must open a folder of its own.

    ``key`` (32 bytes) seals what is written; the folder opens with the same key only. ``max_bytes`` bounds its files together.
    Raises SpoolBusyError, SpoolError (wrong key, unusable disk); ValueError for a key of another length.
    A position counts records from 0; none is given twice in a folder, but for records that were not acknowledged.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        *,
        max_bytes: int = 1 << 30,
        segment_bytes: int = 16 << 20,
        control: SpoolControl | None = None,
    ) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of a spool must be {KEY_BYTES} bytes")
        self.max_bytes = max_bytes
        self._folder = Folder(Path(folder), key, control or SpoolControl())
        self._writer = Writer(self._folder, max_bytes, segment_bytes)
        self._hint = (-1, 0, 0)  # where the last reader was: number of the segment, position, offset
        _open.add(self)

    @property
    def id(self) -> str:
        """32 hex digits, made with the folder and kept in it."""
        return self._folder.id.hex()

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def position(self) -> int:
        """Behind the last durable record."""
        return self._writer.durable

    @property
    def done_position(self) -> int:
        """Before the first record that is not done."""
        return self._writer.done

    @property
    def pending(self) -> tuple[int, int]:
        """Durable records that are not done, and the bytes of the files that hold them."""
        writer = self._writer
        with writer.lock:
            missing = sum(max(0, end - max(begin, writer.done)) for begin, end in writer.lost)
            records = writer.durable - writer.done - missing
            return records, sum(segment.size for segment in writer.segments) if records else 0

    @property
    def lost(self) -> int:
        """Acknowledged records that were found unreadable since the folder was opened."""
        with self._writer.lock:
            return sum(end - begin for begin, end in self._writer.lost)

    @property
    def damaged(self) -> list[Path]:
        """Files kept aside. Keep a copy for whoever looks into it, then delete them: the spool does not use them."""
        return self._folder.damaged()

    def oldest_at(self) -> float | None:
        """When the oldest record that is not done was appended (seconds since 1970, UTC); None where there is none."""
        for frame, _ in self._frames(self._writer.done):
            return frame.at / 1_000_000
        return None

    def append(self, records: Sequence[Record]) -> int:
        """(key, value, topic) each. Durable when it returns, with the position behind the last of them.

        Threads that append at the same time share an fsync. Raises SpoolFullError (nothing taken), SpoolError (the disk failed:
        not kept, though a part may be sent all the same), ClosedError.
        """
        return self._writer.append(records)

    def read(self, position: int = 0) -> Iterator[tuple[int, str, bytes, bytes]]:
        """(position behind it, topic, key, value) of each durable record from ``position`` on that is not done, in order.

        Ends at the last durable record. Raises SpoolError where the disk does not give it: try again later.
        """
        position = max(position, self._writer.done)
        for frame, plain in self._frames(position):
            for index, (topic, key, value) in enumerate(unpack(plain), frame.position + 1):
                if index > position:
                    yield index, topic, key, value

    def wait(self, position: int, seconds: float) -> bool:
        """Whether something behind ``position`` is durable, after at most this time; at once when the spool is closed."""
        writer = self._writer
        with writer.grown:
            writer.grown.wait_for(lambda: writer.durable > position or writer.closed, seconds)
            return writer.durable > position

    def done(self, position: int) -> None:
        """Everything before ``position`` is where it belongs: not read again, but perhaps after a crash of the machine.

        ValueError for a position that is not durable.
        """
        self._writer.finish(position)

    def close(self) -> None:
        """Ends the use of the folder; what is not done stays in it. Appends that come later raise ClosedError."""
        self._writer.close()

    def _frames(self, position: int) -> Iterator[tuple[Frame, bytes]]:
        """The frames with durable records from ``position`` on, each once, in order; what does not open is counted as lost."""
        while (found := self._writer.holding(position)) is not None:
            segment, size, end = found
            try:
                fd = os.open(segment.path, os.O_RDONLY)
            except FileNotFoundError:
                if self._writer.done < end:
                    self._folder_lost(None, position, end)
                position = end
                continue
            except OSError as exc:
                raise trouble(exc, "read", self.path) from None
            try:
                for frame, plain in self._opened(segment, fd, position, size):
                    if frame.position >= end:
                        break
                    if frame.position > position:
                        self._folder_lost(segment.path, position, frame.position)
                    yield frame, plain
                    position = frame.end
            except OSError as exc:
                raise trouble(exc, "read", self.path) from None
            finally:
                os.close(fd)
            if position < end and self._writer.done < end:
                self._folder_lost(segment.path, position, end)
            position = max(position, end)

    def _opened(self, segment: Segment, fd: int, position: int, size: int) -> Iterator[tuple[Frame, bytes]]:
        """Frames of one segment that end behind ``position``, in the order of their positions."""
        pread, hint = reader(fd), self._hint
        start = hint[1:] if hint[0] == segment.number and hint[1] <= position else (segment.first, HEAD_BYTES)
        for frame, plain in frames(pread, segment.cipher, _skip(pread, *start, position), size):
            if frame.end > position:
                self._hint = (segment.number, frame.position, frame.offset)
                position = frame.end
                yield frame, plain

    def _folder_lost(self, path: Path | None, begin: int, end: int) -> None:
        """Count what a reader found missing, once."""
        for first, last in self._writer.lose(begin, end):
            self._folder.keep_aside(path, first, last)


def _skip(pread: Callable[[int, int], bytes], expected: int, start: int, position: int) -> int:
    """The offset of the frame that holds ``position``, by the heads alone; ``start`` where a head is not what it must be."""
    offset = start
    while (head := read_frame(pread, offset)) is not None and head.position == expected:
        if head.end > position:
            return offset
        offset, expected = offset + head.size, head.end
    return start


_open: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    for spool in _open:
        spool._writer.forget()


os.register_at_fork(after_in_child=_after_fork)
