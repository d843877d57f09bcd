"""`quarantine show` of values that Python cannot express."""

from __future__ import annotations

import pyarrow as pa

from pipeline.quarantine import _shown


def test_a_time_that_python_does_not_know_is_shown_as_its_number() -> None:
    assert _shown(pa.array([2**62], pa.timestamp("us"))) == 2**62
    assert str(_shown(pa.array([0], pa.timestamp("us")))) == "1970-01-01 00:00:00"
