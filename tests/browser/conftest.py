"""A browser, and the service with events of two tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests import export_service
from tests.browser import visit, world
from tests.browser.visit import Visit
from tests.export_service import Running
from tests.space import Space


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with visit.browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space]) -> Space:
    made = new_space()
    world.provision(made)
    return made


@pytest.fixture(scope="module")
def service(space: Space) -> Iterator[Running]:
    with export_service.start(space) as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, service: Running) -> Iterator[Visit]:
    """A visit of the service; at its end the console is clean and nobody else was asked."""
    with visit.visiting(browser, service.url) as one:
        yield one


@pytest.fixture
def olga(visitor: Visit) -> Visit:
    """Signed in, with the day of the events chosen."""
    visitor.sign_in()
    visitor.choose()
    return visitor
