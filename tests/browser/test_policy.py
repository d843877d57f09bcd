"""What the page's policy keeps out, and that without it the same attacks go through."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page

from infra.stack.stack import CHECKOUT
from pipeline.export import page as compliance_page
from tests import export_service
from tests.browser import visit

LOOSE = "default-src * data: blob: 'unsafe-inline' 'unsafe-eval'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with visit.browser() as launched:
        yield launched


@contextmanager
def served(policy: str) -> Iterator[str]:
    """The page alone, under a policy; gives its address."""
    app = FastAPI()
    app.include_router(compliance_page.router(policy))
    with export_service.served(app) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def addresses() -> Iterator[tuple[str, str]]:
    with served(compliance_page.POLICY) as strict, served(LOOSE) as loose:
        yield strict, loose


@pytest.fixture
def pages(browser: Browser, addresses: tuple[str, str]) -> Iterator[tuple[Page, Page]]:
    """The page under its own policy, and under one that lets everything in."""
    context = browser.new_context()
    both = context.new_page(), context.new_page()
    for page, address in zip(both, addresses, strict=True):
        page.goto(address)
        page.get_by_label("Token", exact=True).wait_for()
    yield both
    context.close()


ATTACKS = {
    "markup": "document.querySelector('#problem').innerHTML = '<b id=in></b>'",
    "inline script": "{ const s = document.createElement('script'); s.textContent = 'owned = 1'; document.head.append(s); }",
    "handler": "{ const b = document.createElement('b'); b.setAttribute('onclick', 'owned = 1'); b.click(); }",
    "text as code": "setTimeout('owned = 1', 0)",
    "inline style": "const s = document.createElement('style'); s.append('h1 { margin-top: 77px }'); document.head.append(s)",
    "base": "{ const b = document.createElement('base'); b.href = 'https://example.com/'; document.head.append(b); }",
}
WENT_THROUGH = """typeof owned !== "undefined" || document.querySelector("#in") !== null
  || getComputedStyle(document.querySelector("h1")).marginTop === "77px"
  || new URL("x", document.baseURI).host !== location.host"""


@pytest.mark.parametrize("name", ATTACKS)
def test_the_policy_keeps_it_out_and_without_it_it_goes_through(pages: tuple[Page, Page], name: str) -> None:
    for page, through in zip(pages, (False, True), strict=True):
        page.evaluate(f"() => {{ try {{ {ATTACKS[name]} }} catch {{ /* refused */ }} }}")
        page.evaluate("() => new Promise(done => setTimeout(done, 0))")  # behind what the attack put into the queue
        assert bool(page.evaluate(WENT_THROUGH)) is through


def answers_to(page: Page) -> list[str]:
    """What the page gets from elsewhere from now on; elsewhere answers nothing."""
    answered: list[str] = []
    page.on("response", lambda response: answered.append(response.url))
    page.route("http://elsewhere.example.com/**", lambda route: route.fulfill(body=""))
    return answered


@pytest.mark.parametrize("kind", ["img", "fetch", "frame"])
def test_nothing_is_asked_of_anybody_else(pages: tuple[Page, Page], kind: str) -> None:
    ask = {
        "img": "url => new Promise(r => { const i = new Image(); i.onload = i.onerror = () => r(); i.src = url; })",
        "fetch": "url => fetch(url, {mode: 'no-cors'}).catch(() => null).then(() => null)",
        "frame": "url => new Promise(r => { const f = document.createElement('iframe'); f.onload = () => r(); f.src = url;"
        " document.body.append(f); })",
    }[kind]
    for page, reached in zip(pages, (False, True), strict=True):
        answered = answers_to(page)
        page.evaluate(ask, "http://elsewhere.example.com/x")
        assert bool(answered) is reached


def test_the_page_is_in_nobodys_frame_and_every_file_has_the_headers(addresses: tuple[str, str]) -> None:
    origin = addresses[0].rstrip("/")
    for name in ("", *(f"page/{name}" for name in compliance_page.FILES)):
        answer = httpx.get(f"{origin}/{name}")
        assert answer.status_code == 200, name
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        again = httpx.get(f"{origin}/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("../page.py", "..%2fpage.py", "nothing.js", ".", "app.js%00"):
        assert httpx.get(f"{origin}/page/{name}").status_code == 404, name


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    html = compliance_page.FILES["index.html"].decode()
    assert " style=" not in html
    assert "<style" not in html
    assert " on" not in [part[:3] for part in html.split("<")[1:]]
    for name, body in compliance_page.FILES.items():
        text = body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, name
        assert "https://" not in text, name
        assert "innerHTML" not in text, name


def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, "."],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    wanted = {f"pipeline/export/page/{name}" for name in compliance_page.FILES if name != "columns.json"}
    assert wanted <= set(names)
