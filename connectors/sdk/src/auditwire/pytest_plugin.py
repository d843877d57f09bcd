"""A pytest fixture: put ``pytest_plugins = ["auditwire.pytest_plugin"]`` into your outermost conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditwire.testing import Recorded


@pytest.fixture
def audit() -> Iterator[Recorded]:
    """Clients that record into memory, for this test alone, and what they recorded; see `auditwire.testing.Recorded`."""
    recorded = Recorded()
    yield recorded
    recorded.transport.close()
