"""The batch keeps rows and their input records together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.batch import Batch
from tests.unit.batches import batch_of, column


@pytest.fixture
def batch() -> Batch:
    return batch_of(*({"prompt": text} for text in "abcd"))


def test_a_new_batch_has_its_rows_in_input_order(batch: Batch) -> None:
    assert (len(batch), batch.index.tolist(), column(batch, "prompt")) == (4, [0, 1, 2, 3], ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (np.array([True, False, True, False]), [0, 2]),
        (pa.array([False, False, False, True]), [3]),
        (np.array([3, 1]), [3, 1]),
        (pa.array([2]), [2]),
        (np.array([False] * 4), []),
        (np.array([], np.int64), []),
    ],
)
def test_take_follows_masks_and_positions(
    batch: Batch, rows: np.ndarray[tuple[int], np.dtype[np.bool_]], index: list[int]
) -> None:
    taken = batch.take(rows)
    assert taken.index.tolist() == index
    assert column(taken, "prompt") == ["abcd"[i] for i in index]
    assert taken.take(np.arange(len(index))).index.tolist() == index


def test_a_mask_of_all_rows_copies_nothing(batch: Batch) -> None:
    assert batch.take(np.ones(4, np.bool_)) is batch


def test_replace_shares_all_other_columns(batch: Batch) -> None:
    changed = batch.replace({"prompt": pa.array(list("wxyz"))})
    assert column(changed, "prompt") == list("wxyz")
    assert changed.column("event_id").buffers()[2].address == batch.column("event_id").buffers()[2].address
    assert batch.replace({}) is batch
    assert column(batch, "prompt") == list("abcd")


def test_refusals_say_what_to_pass(batch: Batch) -> None:
    with pytest.raises(ValueError, match="fill older events up to it first"):
        Batch(batch.columns.select(["event_id"]), batch.index)
    with pytest.raises(ValueError, match="3 entries for 4 rows; pass one ordinal per row"):
        Batch(batch.columns, batch.index[:3])
    with pytest.raises(ValueError, match="2 entries for 4 rows; pass one per row"):
        batch.take(np.array([True, False]))
    with pytest.raises(ValueError, match="no column 'prompts'"):
        batch.replace({"prompts": pa.array(list("wxyz"))})
