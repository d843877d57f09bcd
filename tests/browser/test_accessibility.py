"""The page without eyes or mouse; each check is seen red."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.accessibility import faults, focused, tab_to
from tests.browser.visit import OLGA, Visit, visiting
from tests.export_service import TOKENS, Running


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark"), (320, "dark")])
def test_every_view_has_names_structure_and_contrast(browser: Browser, service: Running, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with visiting(browser, service.url, **options) as visit:
        page = visit.page
        page.goto(service.url)
        assert faults(page) == []
        visit.sign_in()
        visit.choose(Outcome="denied", Tool="search")
        visit.show()
        page.get_by_text("The plot as a table").click()
        assert faults(page) == []
        page.locator("#events-table button").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert [
            f for f in faults(page) if "headings" not in f and "no " not in f
        ] == []  # the rest is out of reach behind a dialog
        page.keyboard.press("Escape")
        visit.view("Extracts")
        page.get_by_label("Choose").check()
        page.get_by_text("Save it, and run it on a schedule").click()
        page.get_by_role("button", name="Start the extract").click()
        expect(page.get_by_role("button", name="Download manifest.json").first).to_be_visible()
        assert faults(page) == []
        visit.view("Saved extracts")
        assert faults(page) == []


def test_the_checks_are_seen_red(visitor: Visit) -> None:
    page = visitor.page
    page.goto(visitor.url)
    spoil = {
        "a textbox has no name": "document.querySelector('label[for=token]').remove()",
        "2 headings of the first level": "const h = document.createElement('h1'); h.append('x'); document.body.append(h)",
        "no main": "document.querySelector('main').setAttribute('role', 'group')",
        "contrast": "document.querySelector('#token-hint').style.color = '#aab'",
        "not exactly one live region": "document.querySelector('#live').remove()",
        "id token-hint twice": "document.querySelector('footer').id = 'token-hint'",
        "pixels wider": "document.querySelector('h2').style.width = '3000px'",
    }
    for fault, script in spoil.items():
        page.goto(visitor.url)
        page.evaluate(f"() => {{ {script} }}")
        assert [f for f in faults(page) if fault in f], fault


def test_a_keyboard_is_enough(visitor: Visit) -> None:
    page, keys = visitor.page, visitor.page.keyboard
    page.goto(visitor.url)
    assert focused(page)[0] == "Token"
    keys.type(TOKENS[OLGA])
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    way = tab_to(page, "From (UTC)")
    assert way[0] == "Tenant"
    for name, day in (("From (UTC)", "11022026"), ("To, not included (UTC)", "11032026")):
        if focused(page)[0] != name:
            tab_to(page, name)
        keys.type(day)  # month, day, year
        keys.press("ArrowRight")
        keys.type("120000AM")
    assert page.get_by_label("To, not included (UTC)").input_value() == "2026-11-03T00:00"
    tab_to(page, "Show events")
    keys.press("Enter")
    expect(page.locator("#live")).to_contain_text("603 events")
    tab_to(page, "Outcome")
    keys.press("ArrowRight")
    expect(page.get_by_label("Event type", exact=True).last).to_be_checked()
    tab_to(page, "2026-11-02")
    keys.press("Enter")
    expect(page.get_by_role("dialog").get_by_text("tenant_id")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert focused(page)[0].startswith("2026-11-02")  # back where it was
    way = tab_to(page, "Next page")
    assert len(way) == 25
    keys.press("Enter")
    expect(page.locator("#page-number")).to_contain_text("Events 26 to 50")
    page.get_by_role("button", name="Extract these events").focus()
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    tab_to(page, "Start the extract")
    keys.press("Enter")
    expect(page.locator("#live")).to_contain_text("The extract is done. 603 events")
    with page.expect_download() as download:
        tab_to(page, "Download part-00000.csv")
        keys.press("Enter")
    assert download.value.suggested_filename == "part-00000.csv"


def test_a_focus_that_does_not_show_is_seen_red(visitor: Visit) -> None:
    visitor.sign_in()
    visitor.page.evaluate("document.querySelector('#show').style.outline = 'none'")
    with pytest.raises(AssertionError, match="nothing shows that 'Show events'"):
        tab_to(visitor.page, "Show events")
