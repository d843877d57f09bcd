"""The export service on the namespace ``space`` of a test's module. A module's own fixture of the same name comes first."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pipeline import settings
from pipeline.export.app import stores
from pipeline.export.jobs import Stores
from tests import export_service
from tests.export_service import Running
from tests.space import Space


@pytest.fixture(scope="module")
def service(space: Space) -> Iterator[Running]:
    """The service as a process; for modules whose ``space`` is one for the module."""
    with export_service.start(space) as running:
        yield running


@pytest.fixture
def olga(service: Running) -> Iterator[httpx.Client]:
    """Asks the service as olga, who may extract the tenant demo."""
    with service.client("olga@example.com") as client:
        yield client


@pytest.fixture
def anton(service: Running) -> Iterator[httpx.Client]:
    """Asks the service as anton, who may extract the tenant acme."""
    with service.client("anton@example.com") as client:
        yield client


@pytest.fixture
def connected(space: Space) -> Iterator[Stores]:
    """A service's connections, for one that runs in this process."""
    made = stores(space.settings(settings.Export))
    yield made
    made.trail.close()
    made.clickhouse.close()
