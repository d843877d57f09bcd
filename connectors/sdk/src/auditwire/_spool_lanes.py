"""What a spool remembers of its lanes, so that a process that was killed leaves no lane open: the next one says where it ended.

The file ``lanes`` beside the segments holds the last epoch and every lane that is not closed, with its next number. It is
written before records are marked as done, so the last number of a lane is there or in a record that is still in the spool.
"""

from __future__ import annotations

import json
import logging
import struct
import threading
from pathlib import Path
from typing import Any

from auditwire._decode import decode_some
from auditwire._errors import SpoolError
from auditwire._lane import CLOSED, Lane
from auditwire._slots import Slots
from auditwire._spool_disk import NO_ROOM, Disk

log = logging.getLogger("auditwire")
_NAME = "lanes"
_WANTED = ("tenant_id", "event_type", "producer_id", "producer_epoch", "sequence")
Key = tuple[str, str, int]  # tenant, producer id, epoch


class SpoolLanes:
    """The lanes of one folder; safe between threads. Raises SpoolError where the disk does not take the new epoch.

    Of lanes with an epoch below ``doubtful`` nobody knows any more how far they went: no end is ever said for them.
    """

    def __init__(self, folder: Path, producer_id: str, now: int, *, lost: bool = False, rising: bool = True) -> None:
        """``now`` in microseconds is the epoch, unless an earlier process had a later one: then one more than that."""
        self._path = folder / _NAME
        last, self.doubtful, self._left = self._read()
        self._producer_id = producer_id
        self.epoch = max(now, last + 1) if rising else now
        self._lanes: dict[str, Lane] = {}
        self._kept: dict[str, int] = {}
        self._over: set[Key] = set()
        self._closed = False
        self._written = b""
        self._lock = threading.Lock()
        if lost:
            self.doubt()
        self.save()

    def lane(self, tenant: str) -> tuple[Lane, bool]:
        """The tenant's lane in this epoch, and whether it is new."""
        with self._lock:
            found = self._lanes.get(tenant)
            lane = self._lanes[tenant] = found or Lane(tenant, self._producer_id, self.epoch)
            return lane, found is None

    def own(self) -> list[Lane]:
        """Every lane of this epoch that was used."""
        with self._lock:
            return list(self._lanes.values())

    def kept(self, lane: Lane, number: int) -> None:
        """The lane's event with this number is durable."""
        if lane.epoch == self.epoch:
            with self._lock:
                self._kept[lane.tenant] = number + 1

    def passed(self, key: bytes, value: bytes) -> None:
        """A message of an earlier process is in Kafka, and all before it: learn from it how far its lane went."""
        event = _understood(key, value)
        if event is None:
            log.warning("%s holds an event of another form: lanes that are left stay open until declared dead", self._path.parent)
            self.doubt()
            return
        lane = (event["tenant_id"], event["producer_id"], event["producer_epoch"])
        with self._lock:
            if event["event_type"] == CLOSED:
                self._left.pop(lane, None)
                self._over.add(lane)
            elif lane not in self._over and lane[2] >= self.doubtful:
                self._left[lane] = max(self._left.get(lane, 0), event["sequence"] + 1)

    def doubt(self) -> None:
        """Records are lost that may have been the last of any lane of an earlier process."""
        with self._lock:
            self.doubtful = self.epoch
            self._left = {lane: following for lane, following in self._left.items() if lane[2] >= self.doubtful}

    def unended(self) -> list[tuple[Key, int]]:
        """The lanes of earlier processes that nobody closed, each with the number that its last event gets."""
        with self._lock:
            return list(self._left.items())

    def ended(self, key: Key) -> None:
        """Its last event is durable."""
        with self._lock:
            self._left.pop(key, None)
            self._over.add(key)

    def close(self) -> None:
        """The lanes of this epoch have their last event. Raises SpoolError."""
        self._closed = True
        self.save()

    def save(self) -> None:
        """Durable when it returns. Raises SpoolError."""
        with self._lock:
            lanes: list[list[object]] = [[*key, following] for key, following in self._left.items()]
            if not self._closed:
                lanes += [[tenant, self._producer_id, self.epoch, following] for tenant, following in self._kept.items()]
            text = self._text(lanes)
            if text == self._written:
                return
            try:
                self._write(text, lanes)
            except OSError as error:
                raise SpoolError(f"cannot write {self._path}: {error.strerror}. Check the disk and who may write there") from None
            self._written = text

    def _write(self, text: bytes, lanes: list[list[object]]) -> None:
        try:
            self._slots.write(text)
        except OSError as error:
            if error.errno not in NO_ROOM or not self._slots.room:
                raise
            while len(text) > self._slots.room and lanes:
                lanes = lanes[: len(lanes) // 2]
                text = self._text(lanes)
            log.warning("%s has no room for all lanes: after a kill, some stay open until they are declared dead", self._path)
            self._slots.write(text)

    def _text(self, lanes: list[list[object]]) -> bytes:
        return json.dumps({"epoch": self.epoch, "doubtful": self.doubtful, "lanes": lanes}).encode()

    def _read(self) -> tuple[int, int, dict[Key, int]]:
        try:
            self._slots = Slots(self._path, Disk())
            if self._slots.text is None:
                return 0, 0, {}
            found = json.loads(self._slots.text)
            left = {(str(t), str(p), int(e)): int(n) for t, p, e, n in found["lanes"]}
            return int(found["epoch"]), int(found["doubtful"]), left
        except (OSError, ValueError, KeyError, TypeError):
            raise SpoolError(
                f"{self._path} cannot be read: give its user the right to, or delete it: then lanes of a process that was killed "
                "stay open until an operator declares them dead"
            ) from None


def _understood(key: bytes, value: bytes) -> dict[str, Any] | None:
    """What the message says of its lane, whatever columns its schema has behind that; None where it is no such event."""
    try:
        event = decode_some(value[5:], _WANTED)
    except (IndexError, ValueError, OverflowError, struct.error):
        return None
    numbered = isinstance(event["producer_epoch"], int) and isinstance(event["sequence"], int)
    return event if numbered and key == f"{event['tenant_id']}/{event['producer_id']}".encode() else None
