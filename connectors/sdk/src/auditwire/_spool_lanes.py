"""What a spool remembers of its lanes, so that a process that was killed leaves no lane open: the next one says where it ended.

``lanes.json`` beside the segments holds the last epoch and every lane that is not closed, with its next number. It is written
before records are marked as done, so the last number of a lane is there or in a record that is still in the spool.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from auditwire._decode import decode
from auditwire._errors import SpoolError
from auditwire._lane import CLOSED, Lane

_NAME = "lanes.json"
Key = tuple[str, str, int]  # tenant, producer id, epoch


class SpoolLanes:
    """The lanes of one folder; safe between threads. Raises SpoolError where the disk does not take the new epoch."""

    def __init__(self, folder: Path, producer_id: str, now: int, *, rising: bool = True) -> None:
        """``now`` in microseconds is the epoch, unless an earlier process had a later one: then one more than that."""
        self._path = folder / _NAME
        last, self._left = self._read()
        self._producer_id = producer_id
        self.epoch = max(now, last + 1) if rising else now
        self._lanes: dict[str, Lane] = {}
        self._kept: dict[str, int] = {}
        self._closed = False
        self._written = ""
        self._lock = threading.Lock()
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

    def passed(self, value: bytes) -> None:
        """A message of an earlier process is in Kafka: learn from it how far its lane went."""
        event = decode(value[5:])
        key = (event["tenant_id"], event["producer_id"], event["producer_epoch"])
        with self._lock:
            if event["event_type"] == CLOSED:
                self._left.pop(key, None)
            else:
                self._left[key] = max(self._left.get(key, 0), event["sequence"] + 1)

    def unended(self) -> list[tuple[Key, int]]:
        """The lanes of earlier processes that nobody closed, each with the number that its last event gets."""
        with self._lock:
            return list(self._left.items())

    def ended(self, key: Key) -> None:
        """Its last event is durable, or nobody can say any more which number it has."""
        with self._lock:
            self._left.pop(key, None)

    def close(self) -> None:
        """The lanes of this epoch have their last event. Raises SpoolError."""
        self._closed = True
        self.save()

    def save(self) -> None:
        """Durable when it returns. Raises SpoolError."""
        with self._lock:
            lanes = [[*key, following] for key, following in self._left.items()]
            if not self._closed:
                lanes += [[tenant, self._producer_id, self.epoch, following] for tenant, following in self._kept.items()]
            text = json.dumps({"epoch": self.epoch, "lanes": lanes})
            if text == self._written:
                return
            try:
                _replace(self._path, text)
            except OSError as error:
                raise SpoolError(f"cannot write {self._path}: {error.strerror}. Check the disk and who may write there") from None
            self._written = text

    def _read(self) -> tuple[int, dict[Key, int]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            left = {(str(t), str(p), int(e)): int(n) for t, p, e, n in found["lanes"]}
            return int(found["epoch"]), left
        except FileNotFoundError:
            return 0, {}
        except (OSError, ValueError, KeyError, TypeError):
            raise SpoolError(
                f"{self._path} cannot be read: give its user the right to, or delete it: then lanes of a process that was killed "
                "stay open until an operator declares them dead"
            ) from None


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
