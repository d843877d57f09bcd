"""A person at the page: a real browser that writes down what it asks for and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, Request, expect, sync_playwright

from infra import tools
from tests.export_service import TOKENS

SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 30_000.0
expect.set_options(timeout=SECONDS)
OLGA, ANTON, NORA = TOKENS


@contextmanager
def browser() -> Iterator[Browser]:
    """The installed Chromium. Not for longer than a module: while it lasts, this thread cannot run asyncio."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=tools.chromium(), args=SWITCHES)
        yield launched
        launched.close()


@dataclass
class Visit:
    """One visit. ``wrong`` has errors and warnings of the console, uncaught exceptions and dialogs; ``origins`` who was asked."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)
    expected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.page.set_default_timeout(SECONDS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in self.expected):
            self.wrong.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data"):
            self.origins.add(f"{parts.scheme}://{parts.netloc}")

    def clean(self) -> None:
        """Nothing went wrong, and nobody but the service was asked for anything."""
        assert self.wrong == []
        assert self.origins == {self.url}

    def expecting(self, *texts: str) -> Visit:
        """The console may say this: browsers write down each answer of 400 and more."""
        self.expected = texts
        return self

    def sign_in(self, name: str = OLGA) -> None:
        self.page.goto(self.url + "/")
        self.page.get_by_label("Token", exact=True).fill(TOKENS[name])
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Events")

    def choose(self, start: str = "2026-11-02T00:00:00", end: str = "2026-11-03T00:00:00", **filters: str) -> None:
        """Fill in a range of one's own (UTC) and add filters: ``Outcome="denied"``."""
        self.page.get_by_label("From (UTC)").fill(start)
        self.page.get_by_label("To, not included (UTC)").fill(end)
        for column, value in filters.items():
            self.filter(column.replace("_", " "), value)

    def filter(self, column: str, value: str) -> None:
        """Add one filter, as the form names the column."""
        self.page.get_by_label("Column", exact=True).select_option(label=column)
        field = self.page.get_by_label("Value", exact=True)
        if field.evaluate("node => node.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
        self.page.get_by_role("button", name="Add filter").click()

    def show(self) -> None:
        """Ask for the selection and wait until it is shown or refused."""
        self.page.get_by_role("button", name="Show events").click()
        shown = self.page.locator("#events[aria-busy=false]:not([hidden])")
        expect(shown.or_(self.problem).first).to_be_visible()

    @property
    def problem(self) -> Locator:
        return self.page.get_by_role("alert")

    def totals(self) -> dict[str, int]:
        """The numbers above the plot."""
        pairs: list[list[str]] = self.page.locator("#totals > div").evaluate_all(
            "nodes => nodes.map(n => [n.querySelector('dt').textContent, n.querySelector('dd').textContent])"
        )
        return {name: int(value.replace(",", "")) for name, value in pairs}

    def legend(self) -> dict[str, int]:
        """The parts of the bars and how many events each has."""
        pairs: list[list[str]] = self.page.locator("#legend li").evaluate_all(
            "nodes => nodes.map(n => ['.legend-name', '.legend-total'].map(c => n.querySelector(c).textContent))"
        )
        return {name: int(value.replace(",", "")) for name, value in pairs}

    def view(self, name: str) -> None:
        """Go to Events, Extracts or Saved extracts."""
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """A visit in a fresh profile; at its end nothing may have gone wrong."""
    context = browser.new_context(
        **{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, "accept_downloads": True, **options}
    )
    try:
        visit = Visit(context.new_page(), url)
        yield visit
        visit.clean()
    finally:
        context.close()
