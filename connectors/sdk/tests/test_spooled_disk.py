"""Mode spooled where the disk is full, lost something, or the machine gives no threads; what must not be said of a lane then."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from auditwire import AuditClient, AuditEvent, DeliveryError, SpoolError, SpoolFolder
from auditwire._registry import _remember
from auditwire._slots import Slots
from auditwire._spool import Spool
from auditwire._spool_disk import Disk
from auditwire._spool_frames import FRAME_MAGIC
from auditwire._transport import Report
from auditwire.testing import RecordingTransport
from tests.waiting import until

KEY = bytes(range(32))
END = "auditwire.producer.closed"
MOUNT = 'mount -t tmpfs -o size=600k tmpfs "$0" && exec "$@"'
FULL = """
import os, sys, time
from pathlib import Path
from auditwire import AuditClient, AuditEvent, SpoolFolder, SpoolFullError
from auditwire._registry import _remember
from auditwire.testing import RecordingTransport
folder = Path(sys.argv[1]) / "s"
def client(transport):
    spool = SpoolFolder(folder, bytes(range(32)))
    return AuditClient(transport, service="s", tenant="t", mode="spooled", spool=spool, heartbeat=3600.0)
def taken(c):
    try:
        c.record(AuditEvent(event_type="x"))
    except SpoolFullError:
        return False
    return True
def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, holds
        time.sleep(0.02)
def released(transport):
    transport.release()
    return True
def fill():
    with open(folder.parent / "others", "ab", 0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
if os.fork() == 0:
    c = client(transport := RecordingTransport(held=True))
    n = 0
    while taken(c):
        n += 1
    fill()
    until(lambda: released(transport) and c.counts.spooled == 0)
    until(lambda: released(transport) and taken(c))  # what was sent gave its room back
    while taken(c):
        pass
    until(lambda: released(transport) and c.counts.spooled == 0)
    until(lambda: taken(c))
    fill()
    print(n, flush=True)
    os._exit(0)
assert os.wait()[1] == 0
c = client(transport := RecordingTransport())  # the disk is full: it can be opened, and what was left is sent
c.flush(30)
_remember(folder / "schema.json", "[]" * 5000)
assert [e["event_type"] for e in transport.events][:1] == ["x"]
until(lambda: "auditwire.producer.closed" in [e["event_type"] for e in transport.events])
c.close()
print("went on")
"""


def test_a_full_disk_gives_room_back_as_kafka_takes_events_and_opens_again(tmp_path: Path) -> None:
    """On a file system of 600 KiB of its own."""
    command = ["unshare", "-rm", "sh", "-c", MOUNT, str(tmp_path), sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100
    assert "went on" in done.stdout


def client(transport: RecordingTransport, folder: Path, **options: Any) -> AuditClient:
    given = {"service": "deploy", "tenant": "acme", "mode": "spooled", "spool": SpoolFolder(folder, KEY), "heartbeat": 3600.0}
    return AuditClient(transport, **{**given, **options})


def abandon(c: AuditClient, transport: RecordingTransport) -> None:
    """As a kill leaves it, but for the hold of the folder."""
    c._closed = True
    c._pulse.stop()
    transport.close()
    assert c._spooled
    c._spooled.stop()


def left(folder: Path, count: int = 1) -> None:
    c = client(transport := RecordingTransport(held=True), folder)
    for number in range(count):
        c.record(AuditEvent(event_type=f"x{number}"))
    abandon(c, transport)


def told(transport: RecordingTransport) -> list[tuple[int, str]]:
    return [(e["sequence"], e["event_type"]) for e in transport.events]


def test_a_lane_whose_end_overtook_its_last_event_gets_no_second_end(tmp_path: Path) -> None:
    c = client(RecordingTransport(held=True), tmp_path)
    c.record(AuditEvent(event_type="x"))
    c.close(0.1)
    transport = RecordingTransport()
    transport.refuse(1)
    c = client(transport, tmp_path)
    until(lambda: not c._spooled._sender._left)  # type: ignore[union-attr]
    c.flush(30)
    c.close()
    assert told(transport) == [(1, END), (0, "x")]


def test_no_end_is_said_for_lanes_that_may_have_lost_their_last_record_however_many_starts_later(tmp_path: Path) -> None:
    left(tmp_path, 3)
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.rfind(FRAME_MAGIC) + 80] ^= 1
    segment.write_bytes(bytes(data))

    class Stuck(RecordingTransport):
        def send(self, key: bytes, value: bytes, report: Report) -> None:
            if len(self.stored) == 2:
                raise DeliveryError("Kafka is away")
            super().send(key, value, report)

    transport: RecordingTransport = Stuck(held=True)
    c = client(transport, tmp_path)
    assert c._spooled and c._spooled._spool.lost == 1  # type: ignore[union-attr]
    until(lambda: len(transport._waiting) == 2)
    c.record(AuditEvent(event_type="kept"))  # so the folder is never all sent
    transport.release()
    until(lambda: c._spooled._spool.done_position == 3)  # type: ignore[union-attr]
    abandon(c, transport)
    with client(transport := RecordingTransport(), tmp_path) as c:
        assert c._spooled._spool.lost == 0  # type: ignore[union-attr]
        until(lambda: len(transport.stored) == 2)
    assert told(transport) == [(0, "kept"), (1, END)]  # of the second process, whose numbers are known


def test_opening_does_not_pass_over_what_is_lost_before_it_is_told(tmp_path: Path) -> None:
    left(tmp_path, 1)
    (segment,) = tmp_path.glob("*.seg")
    segment.unlink()
    Spool(tmp_path, KEY).close()
    again = Spool(tmp_path, KEY)
    assert (again.lost, again.pending[0], list(again.read())) == (1, 0, [])
    again.done(again.position)
    again.close()
    assert Spool(tmp_path, KEY).lost == 0


def respooled(folder: Path, change: Any) -> None:
    left(folder)
    spool = Spool(folder, KEY)
    ((_, topic, key, value),) = spool.read()
    spool.done(spool.position)
    spool.append([(key, change(value), topic)])
    spool.close()


def test_an_event_of_an_older_schema_is_understood_up_to_its_number(tmp_path: Path) -> None:
    respooled(tmp_path, lambda value: value[:-8])  # without the last column
    c = client(transport := RecordingTransport(), tmp_path)
    until(lambda: len(transport.stored) == 2)
    until(lambda: c.counts.spooled == 0)
    c.close()
    assert b"producer.closed" in transport.stored[1].value
    assert len(transport.stored) == 2


def test_an_event_that_cannot_be_read_is_sent_once_and_no_end_is_guessed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    respooled(tmp_path, lambda value: value[:20])
    c = client(transport := RecordingTransport(), tmp_path)
    c.record(AuditEvent(event_type="x"))
    until(lambda: c.counts.spooled == 0)
    c.close()
    assert [len(stored.value) for stored in transport.stored].count(20) == 1
    assert "holds an event of another form" in caplog.text
    assert sum(END.encode() in stored.value for stored in transport.stored) == 1


def test_a_lane_that_was_left_is_ended_while_the_service_is_busy(tmp_path: Path) -> None:
    left(tmp_path)
    transport = RecordingTransport(held=True)
    c = client(transport, tmp_path)
    until(lambda: len(transport._waiting) == 1)
    for _ in range(3):
        c.record(AuditEvent(event_type="busy"))
    transport.release()
    until(lambda: c.counts.recorded + 1 == c._spooled._spool.position - 1, 20)  # type: ignore[union-attr]
    abandon(c, transport)


def refuse_threads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    start = threading.Thread.start

    def refusing(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)


def test_a_process_without_threads_left_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        refuse_threads(patch, "auditwire-heartbeat")
        c = client(RecordingTransport(), tmp_path)
        recorded = threading.Thread(target=lambda: c.record(AuditEvent(event_type="x")), daemon=True)
        recorded.start()
        recorded.join(20)
        assert not recorded.is_alive()
        assert "no thread for heartbeats" in caplog.text
        c.close()
    with monkeypatch.context() as patch:
        refuse_threads(patch, "auditwire-spool-sender")
        with pytest.raises(SpoolError, match="cannot start its threads .*allow the process more"):
            client(RecordingTransport(), tmp_path)
    client(RecordingTransport(), tmp_path).close()  # the folder was let go


def test_what_nobody_expected_is_an_error_of_the_call_and_the_next_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = client(transport := RecordingTransport(), tmp_path)

    def failing(_: int) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(SpoolError, match=r"MemoryError.*Refuse the action; if it happens again, restart the process"):
            c.record(AuditEvent(event_type="x"))
    c.record(AuditEvent(event_type="y")).wait(20)
    c.close()
    assert told(transport)[-2:] == [(1, "y"), (2, END)]


def test_the_newest_whole_text_of_a_file_with_slots_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lanes"
    slots = Slots(path, Disk())
    for text in (b"one", b"two", b"a" * 20_000, b"last"):
        slots.write(text)
        assert Slots(path, Disk()).text == text
    data = path.read_bytes()
    path.write_bytes(data.replace(b"last", b"lost"))
    assert Slots(path, Disk()).text == b"a" * 20_000
    path.write_bytes(bytes(len(data)))
    with pytest.raises(ValueError, match="no slot is whole"):
        Slots(path, Disk())
    assert path.stat().st_mode & 0o077 == 0


def test_a_remembered_schema_is_written_whole_in_folders_that_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noting(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    memory = tmp_path / "a" / "b" / "schema.json"
    _remember(memory, "one")
    assert synced[:2] == [str(tmp_path), str(tmp_path / "a")]

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with caplog.at_level(logging.WARNING):
        _remember(memory, "two")
    assert (memory.read_text(encoding="utf-8"), len(list(memory.parent.iterdir()))) == ("one", 1)
    assert "the next start needs the registry" in caplog.text
    monkeypatch.undo()
    with pytest.raises(SpoolError, match="cannot write .*Check the disk and who may write there"):
        _remember(memory / "schema.json", "three")
