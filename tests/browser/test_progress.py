"""An extract whose worker goes no further than the test lets it: waiting, running, cancelled, done, failed, expired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from connectors.postgres.jobs import Jobs
from pipeline import settings
from pipeline.export.app import create_app, stores
from pipeline.export.jobs import Worker
from tests import export_service
from tests.browser.visit import Visit, visiting
from tests.space import Space


@dataclass
class Still:
    """The service with a worker that does nothing before it is started, and another instance's view of the queue."""

    url: str
    worker: Worker
    other: Jobs


@pytest.fixture
def still(space: Space) -> Iterator[Still]:
    values = space.settings(settings.Export)
    connected = stores(values)
    worker = Worker(connected)
    other = Jobs(values.postgres_dsn.get_secret_value(), values.namespace, "another", values.lease_seconds)
    with export_service.served(create_app(values, connected, worker)) as client:
        yield Still(str(client.base_url).rstrip("/"), worker, other)
    connected.trail.close()
    connected.clickhouse.close()


@pytest.fixture
def visit(browser: Browser, still: Still) -> Iterator[Visit]:
    with visiting(browser, still.url) as one:
        one.sign_in()
        one.choose()
        one.view("Extracts")
        one.page.get_by_role("button", name="Start the extract").click()
        expect(one.page.get_by_text("waits for its turn").first).to_be_visible()
        yield one


def test_an_extract_that_waits_is_cancelled(visit: Visit) -> None:
    item = visit.page.locator("[data-extract]").first
    bar = item.get_by_role("progressbar")
    assert bar.get_attribute("value") is None  # nobody knows how far
    item.get_by_role("button", name="Cancel").click()
    expect(item.get_by_text("Cancelled", exact=True)).to_be_visible()
    expect(bar).to_be_hidden()
    expect(item.get_by_role("button")).to_have_count(0)
    expect(visit.page.locator("#live")).to_contain_text("The extract is cancelled")
    visit.view("Events")
    visit.view("Extracts")
    expect(visit.page.locator("[data-extract]").first).to_contain_text("Cancelled")


def test_the_bar_says_how_far_it_is_and_the_end_is_announced(visit: Visit, still: Still) -> None:
    page = visit.page
    item = page.locator("[data-extract]").first
    job = still.other.claim()
    assert job is not None
    still.other.renew(job, 150, 600)
    expect(item.get_by_text("25 %, 150 of 600 events")).to_be_visible()
    expect(item.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    expect(page.locator("#live")).to_have_text("The extract is running.")
    still.other.renew(job, 480, 600)
    expect(page.locator("#live")).to_have_text("The extract is at 75 %.")
    assert item.get_by_role("progressbar").evaluate("n => n.labels.length || n.getAttribute('aria-labelledby')")
    item.get_by_role("button", name="Cancel").focus()
    still.other.release(job, 0)
    still.worker.start()
    try:
        expect(item).to_contain_text("Done")
        expect(page.locator("#live")).to_contain_text("The extract is done. 603 events")
        expect(item.get_by_role("button", name="Download part-00000.csv")).to_be_visible()
    finally:
        still.worker.stop()


def test_an_extract_that_failed_says_why(visit: Visit, still: Still) -> None:
    job = still.other.claim()
    assert job is not None
    still.other.fail(job, "the reason <b>why</b>")
    item = visit.page.locator("[data-extract]").first
    expect(item).to_contain_text("Failed")
    expect(item).to_contain_text("the reason <b>why</b>")
    expect(item.get_by_role("button", name="Cancel")).to_be_hidden()
