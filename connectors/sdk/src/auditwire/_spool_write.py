"""The writing side of a spool: frames into the newest segment, an fsync that waiting threads share, room that done records give.

Lock order: ``syncing`` before ``lock``. Under ``syncing`` nobody else syncs or changes the segment; ``lock`` guards the fields.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence

from auditwire._errors import ClosedError, SpoolError, SpoolFullError
from auditwire._spool_disk import NO_ROOM, trouble
from auditwire._spool_folder import Folder
from auditwire._spool_frames import HEAD_BYTES, Record, chunks, pack, sealed_size
from auditwire._spool_scan import Segment

logger = logging.getLogger("auditwire.spool")
EARLY_BYTES = 1 << 20  # a segment of which everything is done goes when it has this size, before it is full


class Writer:
    """``durable``: the position behind the last record that is on the disk. ``done``: everything before it may be deleted."""

    def __init__(self, folder: Folder, max_bytes: int, segment_bytes: int) -> None:
        self._folder, self._max = folder, max_bytes
        self._segment_bytes = min(segment_bytes, max(max_bytes // 4, 1 << 16))
        self.segments = folder.survey.segments
        self.written = self.durable = folder.survey.end
        found = min((segment.first for segment in self.segments), default=0)
        self.done = folder.mark.done if folder.mark.found else found
        self.lost = [(begin, end) for begin, end, _ in folder.survey.lost]  # acknowledged, and not readable any more
        self._number = folder.next_number()
        self._fd: int | None = None  # of the last segment; None: none may be written to
        self._failures: list[int] = []  # for each failed fsync, what was durable then
        self._pid, self.closed = os.getpid(), False
        self.lock, self._syncing = threading.Lock(), threading.Lock()
        self.grown = threading.Condition(self.lock)
        with self.lock:  # what is lost is passed over by whoever reads, after it was told
            self._mark()
            self._discard()

    def append(self, records: Sequence[Record]) -> int:
        """The position behind the last record, durable. Raises SpoolFullError, SpoolError, ClosedError."""
        while (written := self._write(records)) is None:
            with self._syncing, self.lock:
                self._next_segment()
        position, failures = written
        with self._syncing:
            with self.lock:
                if self._settled(position, failures):
                    return position
                if self._fd is None:
                    raise ClosedError(self._why_closed())
                fd, target = self._fd, self.written
            self._sync(fd, target)
        return position

    def finish(self, done: int) -> None:
        """Everything before ``done`` is where it belongs. A disk that does not take the mark only means sending again."""
        with self.lock:
            if done > self.durable:
                raise ValueError(f"position {done} is behind the last durable record ({self.durable})")
            if done > self.done and not self.closed:
                self._finish(done)

    def holding(self, position: int) -> tuple[Segment, int, int] | None:
        """The segment that holds the next durable record from ``position`` on, its size, and the end of what is durable in it."""
        with self.lock:
            for segment in self.segments:
                if segment.end > position and position < self.durable and not self.closed:
                    return segment, segment.size, min(segment.end, self.durable)
            return None

    def lose(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Count positions as lost; those of them that were not known yet."""
        new: list[tuple[int, int]] = []
        with self.lock:
            for first, last in sorted(self.lost):
                if first < end and last > begin:
                    new += [(begin, first)] if begin < first else []
                    begin = max(begin, last)
            new += [(begin, end)] if begin < end else []
            self.lost += new
        return new

    def close(self) -> None:
        with self._syncing, self.lock:
            if self.closed:
                return
            self.closed = True
            try:
                self._end_segment()
                self._discard()
                self._folder.mark.sync()
            except (OSError, SpoolError) as exc:
                logger.warning("the spool %s was not closed well (%s)", self._folder.path, exc)
            self._folder.close()
            self.grown.notify_all()

    def forget(self) -> None:
        """In a forked child: the files and the folder are the parent's."""
        self.lock, self._syncing = threading.Lock(), threading.Lock()
        self.grown = threading.Condition(self.lock)
        if not self.closed:
            self.closed = True
            self._close_fd()
            self._folder.close()

    def _write(self, records: Sequence[Record]) -> tuple[int, int] | None:
        """Position behind the last record and the number of failed fsyncs so far; None where a new segment is due."""
        with self.lock:
            if self.closed:
                raise ClosedError(self._why_closed())
            if not records:
                return self.durable, len(self._failures)
            need = sealed_size(records)
            if self._used() + need + HEAD_BYTES > self._max:
                self._make_room(need)
            if self._fd is None:
                return None
            segment = self.segments[-1]
            if segment.size > HEAD_BYTES and segment.size + need > self._segment_bytes:
                return None
            if not self._write_frames(segment, self._fd, records):
                return None
            return self.written, len(self._failures)

    def _write_frames(self, segment: Segment, fd: int, records: Sequence[Record]) -> bool:
        """False: the disk had no room, and has some now in another segment. Raises SpoolError."""
        at, position, data = time.time_ns() // 1000, self.written, bytearray()
        for chunk in chunks(records):
            data += segment.cipher.seal(pack(chunk), len(chunk), position, self.durable, at)
            position += len(chunk)
        try:
            self._folder.write(fd, bytes(data), segment.size)
        except OSError as exc:
            taken = not self._take_back(segment, fd)
            if exc.errno in NO_ROOM and segment.size > HEAD_BYTES and self._discard(everything=True):
                return False
            raise trouble(exc, "write to", self._folder.path, taken=taken) from None
        segment.size, segment.end, self.written = segment.size + len(data), position, position
        return True

    def _take_back(self, segment: Segment, fd: int) -> bool:
        """Whether nothing is left of a write that failed in the middle; the frames before it stay."""
        try:
            self._folder.truncate(fd, segment.size)
        except OSError as exc:
            logger.warning("%s keeps the rest of a write that failed (%s)", segment.path, exc.strerror)
            return False
        return True

    def _settled(self, position: int, failures: int) -> bool:
        """Whether the records are durable already; raises where they never will be."""
        if len(self._failures) > failures:
            if position <= self._failures[failures]:
                return True
            raise SpoolError(f"the disk of the spool {self._folder.path} failed before the records were safe: they are not kept")
        return position <= self.durable

    def _sync(self, fd: int, target: int) -> None:
        """Under ``syncing`` only, so that no thread misses an error that the system tells once."""
        try:
            self._folder.sync_file(fd)
        except OSError as exc:
            with self.lock:
                if self._folder.control.give_up_after_failed_fsync:
                    self._give_up()
            raise trouble(exc, "sync", self._folder.path) from None
        with self.lock:
            self._advance(target)

    def _advance(self, target: int) -> None:
        self.durable = target
        self._mark()
        self.grown.notify_all()

    def _give_up(self) -> None:
        """After a failed fsync nobody knows what the file holds: it is not written to again, what was not durable is not kept."""
        self._failures.append(self.durable)
        segment = self.segments[-1]
        segment.end = self.written = self.durable
        self._close_fd()

    def _next_segment(self) -> None:
        """Under both locks. Raises SpoolError; the next append tries again."""
        if self.closed:
            raise ClosedError(self._why_closed())
        if self._fd is not None and self.segments[-1].size == HEAD_BYTES:
            return  # another thread was here before
        self._end_segment()
        try:
            segment, self._fd = self._folder.create(self._number, self.written)
        except OSError as exc:
            raise trouble(exc, "begin a file in", self._folder.path, taken=False) from None
        finally:
            self._number += 1
        self.segments.append(segment)

    def _end_segment(self) -> None:
        """Everything in the segment is durable, or given up; it is not written to any more."""
        if self._fd is None:
            return
        if self.durable < self.written:
            try:
                self._folder.sync_file(self._fd)
            except OSError as exc:
                self._give_up()
                raise trouble(exc, "sync", self._folder.path) from None
            self._advance(self.written)
        self._close_fd()

    def _finish(self, done: int) -> None:
        """What is lost behind ``done`` is passed over: nothing will ever be sent of it."""
        for begin, end in sorted(self.lost):
            if begin <= done < end:
                done = end
        self.done = done
        self._mark()
        self._discard()

    def _make_room(self, need: int) -> None:
        self._discard(everything=True)
        if self._used() + need + HEAD_BYTES > self._max:
            raise SpoolFullError(
                f"the spool {self._folder.path} is full ({self._used()} of {self._max} bytes wait for Kafka, {need} more do not "
                "fit). Nothing was taken. Find out why nothing is sent, or give it more room."
            )

    def _discard(self, *, everything: bool = False) -> bool:
        """Delete segments of which all is done; the newest too where it is large enough to bother. Whether any is gone."""
        last = self.segments[-1] if self._fd is not None else None
        over = last is not None and self.written == self.done and (everything or self.closed or last.size >= EARLY_BYTES)
        if over:
            self._close_fd()
        gone = [s for s in self.segments if s.end <= self.done and (s is not last or over)]
        if not gone:
            return False
        self.segments[:] = [s for s in self.segments if s not in gone]
        try:
            self._folder.mark.write(self.done, self.durable)
            self._folder.delete(gone)
        except OSError as exc:
            logger.warning("cannot delete sent records of the spool %s yet (%s)", self._folder.path, exc.strerror)
            self.segments[:0] = gone
            return False
        return True

    def _mark(self) -> None:
        try:
            self._folder.mark.write(self.done, self.durable)
        except OSError as exc:
            logger.warning("the spool %s does not take its mark (%s): records may be sent again", self._folder.path, exc.strerror)

    def _used(self) -> int:
        return sum(segment.size for segment in self.segments)

    def _close_fd(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _why_closed(self) -> str:
        if os.getpid() != self._pid:
            return f"the spool {self._folder.path} is the parent process's: open one with a folder of its own after os.fork()"
        return f"the spool {self._folder.path} is closed"
