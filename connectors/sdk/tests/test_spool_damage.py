"""What the disk or a stranger did to a spool's files is noticed, counted and kept aside; everything else is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auditwire._errors import SpoolError
from auditwire._spool import Spool, SpoolControl
from tests.spool_records import KEY, filled, numbers, records


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def damage_flip(files: list[Path]) -> set[int]:
    """One byte in the text of the fourth record of the second segment."""
    flip(files[1], 56 + int(3.5 * frame_size(files)))
    return {len_of(files, 0) + 3}


def damage_length(files: list[Path]) -> set[int]:
    """The length in the head of the first frame of the second segment points far away."""
    flip(files[1], 56 + 6)
    return {len_of(files, 0)}


def damage_truncate(files: list[Path]) -> set[int]:
    """The second segment ends in the middle of its fifth frame."""
    first, count = len_of(files, 0), len_of(files, 1)
    files[1].write_bytes(files[1].read_bytes()[: 56 + int(4.5 * frame_size(files))])
    return set(range(first + 4, first + count))


def damage_tail(files: list[Path]) -> set[int]:
    """The last segment lost its last frame as a whole: nothing in the files tells, but the mark does."""
    files[-1].write_bytes(files[-1].read_bytes()[: -frame_size(files)])
    return {99}


def damage_remove(files: list[Path]) -> set[int]:
    files[1].unlink()
    return set(range(len_of(files, 0), len_of(files, 0) + len_of(files, 1, like=2)))


def damage_swap(files: list[Path]) -> set[int]:
    """The second and the third segment have each other's name."""
    third = files[2].read_bytes()
    files[2].write_bytes(files[1].read_bytes())
    files[1].write_bytes(third)
    first = len_of(files, 0)
    return set(range(first, first + 2 * len_of(files, 1)))


def damage_duplicate(files: list[Path]) -> set[int]:
    """The third segment is a copy of the second."""
    files[2].write_bytes(files[1].read_bytes())
    first = len_of(files, 0) + len_of(files, 1)
    return set(range(first, first + len_of(files, 1)))


def damage_move_frame(files: list[Path]) -> set[int]:
    """A frame of the first segment stands in the place of one of the second."""
    size, other = frame_size(files), bytearray(files[1].read_bytes())
    other[56 + 2 * size : 56 + 3 * size] = files[0].read_bytes()[56 + 2 * size : 56 + 3 * size]
    files[1].write_bytes(other)
    return {len_of(files, 0) + 2}


def damage_header(files: list[Path]) -> set[int]:
    flip(files[1], 10)
    first = len_of(files, 0)
    return set(range(first, first + len_of(files, 1)))


def frame_size(files: list[Path]) -> int:
    return 48 + 16 + 9 + len("audit.raw") + len(b"key-10") + len(b"plain 10 ") + 100


def len_of(files: list[Path], index: int, like: int | None = None) -> int:
    return round((files[index if like is None else like].stat().st_size - 56) / frame_size(files))


DAMAGES = [
    damage_flip,
    damage_length,
    damage_truncate,
    damage_tail,
    damage_remove,
    damage_swap,
    damage_duplicate,
    damage_move_frame,
    damage_header,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_counted_kept_aside_and_the_rest_is_sent(tmp_path: Path, damage: Callable[[list[Path]], set[int]]) -> None:
    lost = damage(filled(tmp_path / "s"))
    spool = Spool(tmp_path / "s", KEY)
    assert numbers(spool) == [n for n in range(100) if n not in lost]
    assert (spool.lost, spool.pending[0]) == (len(lost), 100 - len(lost))
    assert spool.damaged, "kept aside, or at least named"
    spool.append(records(100, 1))
    spool.done(101)
    spool.close()
    again = Spool(tmp_path / "s", KEY)
    assert (again.lost, numbers(again)) == (0, [])
    assert again.damaged, "until somebody has looked into it"


def test_damage_while_it_is_open_is_found_by_the_reader(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", KEY, segment_bytes=4000)
    for n in range(100):
        spool.append(records(n, 1))
    lost = damage_flip(sorted(tmp_path.glob("s/*.seg")))
    assert numbers(spool) == [n for n in range(100) if n not in lost]
    assert numbers(spool, 5) == [n for n in range(5, 100) if n not in lost]
    assert spool.lost == 1
    spool.done(100)
    assert spool.pending == (0, 0)


def test_control_without_seal_a_flipped_byte_is_not_noticed(tmp_path: Path) -> None:
    control = SpoolControl(seal=False)
    damage_flip(filled(tmp_path / "s", control=control))
    spool = Spool(tmp_path / "s", KEY, control=control)
    assert spool.lost == 0
    assert [value for _, _, _, value in spool.read()] != [value for _, value, _ in records(0, 100)]


def test_a_lost_identity_is_not_guessed(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    (tmp_path / "s" / "identity").unlink()
    with pytest.raises(SpoolError, match=r"identity.*missing or damaged"):
        Spool(tmp_path / "s", KEY)


def test_without_its_mark_everything_is_sent_again(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    (tmp_path / "s" / "mark").write_bytes(b"\0" * 128)
    assert numbers(Spool(tmp_path / "s", KEY)) == list(range(100))
