"""Which failures of an attempt are worth another one."""

from __future__ import annotations

import pytest

from connectors.clickhouse.client import AccessError, ClickHouseError, UnreachableError
from connectors.s3 import Exists, Refused, Unavailable
from pipeline.export.extract import ChangedError
from pipeline.export.jobs import _passing


@pytest.mark.parametrize(
    ("exc", "again"),
    [
        (UnreachableError("no answer"), True),
        (ClickHouseError("memory", 241), True),
        (ClickHouseError("quota", 201), True),
        (ClickHouseError("shutting down", 236), True),
        (ClickHouseError("no such column", 47), False),
        (AccessError("wrong password", 516), False),
        (Unavailable("503"), True),
        (Exists("a lost answer"), True),
        (Refused("no such bucket"), False),
        (ChangedError("counted and read differ"), True),
        (KeyError("a bug"), False),
    ],
)
def test_what_can_pass_is_tried_again(exc: Exception, again: bool) -> None:
    assert _passing(exc) is again
