"""What a compliance officer does on the page, in a real browser on the real service, and what the page must not let happen."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Route, expect

from tests import export_service
from tests.browser import world
from tests.browser.visit import ANTON, NORA, OLGA, Visit, visiting
from tests.export_service import PRINCIPALS, Running, write_principals
from tests.space import Space

EVENTS = world.EVENTS + 3
NAMES = {"": "not stated"}


def test_an_unknown_token_is_refused_and_a_known_one_is_not_kept(visitor: Visit) -> None:
    page = visitor.expecting("401").page
    page.goto(visitor.url)
    page.get_by_label("Token", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(visitor.problem).to_contain_text("The token is not known.")
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    visitor.sign_in()
    expect(visitor.problem).to_be_hidden()
    expect(page.get_by_label("Tenant").locator("option")).to_have_text(["demo"])
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert "token-of" not in stored
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert "olga" not in page.locator("body").inner_text()
    page.reload()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def counts_match(visit: Visit, space: Space, where: str = "1") -> None:
    """Totals, legend, table and bars say what SQL says."""
    outcomes, types = (world.counted(space, by, where) for by in ("outcome", "event_type"))
    total = sum(outcomes.values())
    failed = outcomes.get("failure", 0) + outcomes.get("error", 0)
    denied = outcomes.get("denied", 0)
    assert visit.totals() == {"Events": total, "Event types": len(types), "Denied": denied, "Failed": failed}
    page = visit.page
    page.get_by_role("radio", name="Event type").check()
    shown = visit.legend()
    assert {n: c for n, c in shown.items() if "other types" not in n}.items() <= types.items()
    assert sum(shown.values()) == total
    page.get_by_role("radio", name="Outcome").check()
    assert visit.legend() == {NAMES.get(n, n): c for n, c in outcomes.items()}
    cells = page.locator("#plot-table tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].slice(1).map(c => c.textContent))"
    )
    head = page.locator("#plot-table thead th").all_text_contents()[1:-1]
    numbers = [[int(c.replace(",", "")) for c in row] for row in cells]
    assert {n: sum(row[i] for row in numbers) for i, n in enumerate(head)} == visit.legend()
    assert [sum(row[:-1]) for row in numbers] == [row[-1] for row in numbers]
    heights = page.locator("#plot .fill").evaluate_all("rects => rects.map(r => [r.classList[1], r.height.baseVal.value])")
    high = sum(height for _, height in heights)
    for name, count in outcomes.items():
        part = sum(h for kind, h in heights if kind == f"outcome-{name or 'unknown'}")
        assert part / high == pytest.approx(count / total, abs=1e-3)


def test_counts_and_plot_are_what_sql_says(space: Space, olga: Visit) -> None:
    olga.show()
    counts_match(olga, space)
    olga.filter("Tool", "search")
    olga.filter("Outcome", "denied")
    olga.filter("Outcome", "failure")
    olga.show()
    counts_match(olga, space, "tool_name = 'search' AND outcome IN ('denied', 'failure')")
    olga.page.get_by_role("button", name="Remove the filter Tool: search").click()
    olga.show()
    counts_match(olga, space, "outcome IN ('denied', 'failure')")


def test_counts_that_are_off_by_one_are_seen_red(space: Space, olga: Visit) -> None:
    def spoiled(route: Route) -> None:
        answer = route.fetch()
        counts = answer.json()
        counts["series"][0]["counts"][3] += 1
        route.fulfill(response=answer, json=counts)

    olga.page.route("**/v1/counts?*", spoiled)
    olga.show()
    with pytest.raises(AssertionError):
        counts_match(olga, space)


def test_every_event_is_on_exactly_one_page_in_either_order(space: Space, olga: Visit) -> None:
    page = olga.page
    olga.filter("Tool", "send_mail")
    olga.show()

    def walked() -> list[str]:
        ids: list[str] = []
        while True:
            rows = page.locator("#events-table button[data-event]")
            ids += rows.evaluate_all("nodes => nodes.map(n => n.dataset.event)")
            number = page.locator("#page-number").inner_text()
            if page.get_by_role("button", name="Next page").is_disabled():
                return ids
            page.get_by_role("button", name="Next page").click()
            expect(page.locator("#page-number")).not_to_have_text(number)
            expect(page.locator("#events")).to_have_attribute("aria-busy", "false")

    newest = walked()
    page.get_by_role("radio", name="Oldest first").check()
    expect(page.locator("#page-number")).to_contain_text("Events 1 to 25")
    expect(page.locator("#events")).to_have_attribute("aria-busy", "false")
    with export_service.clickhouse(space) as client:
        where = "tenant_id = 'demo' AND tool_name = 'send_mail' AND toDate(occurred_at) = '2026-11-02'"
        rows = client.rows(f"SELECT event_id FROM {space.name}.events WHERE {where} ORDER BY occurred_at, event_id")
    assert walked() == [str(row[0]) for row in rows]
    assert newest == [str(row[0]) for row in reversed(rows)]
    page.get_by_role("button", name="Previous page").click()
    expect(page.locator("#events-table button[data-event]")).to_have_count(25)


def test_one_event_in_full(space: Space, olga: Visit) -> None:
    olga.filter("Actor", "agent-3")
    olga.show()
    first = olga.page.locator("#events-table button[data-event]").first
    number = first.get_attribute("data-event")
    first.click()
    detail = olga.page.get_by_role("dialog")
    for text in (number, "agent-3", "Invoice agent", "olga@example.com", "Facts", "Personal"):
        expect(detail.get_by_text(str(text), exact=True).first).to_be_visible()
    assert "sequence" not in detail.inner_text()  # empty
    assert "null" not in detail.inner_text()
    detail.get_by_role("button", name="Close").click()
    expect(detail).to_be_hidden()


def test_presets_are_utc_ranges_and_own_is_kept(visitor: Visit) -> None:
    page = visitor.page
    visitor.sign_in()
    page.get_by_role("radio", name="Last month").check()
    start, end = (page.get_by_label(n).input_value() for n in ("From (UTC)", "To, not included (UTC)"))
    assert (start[7:], end[7:]) == ("-01T00:00", "-01T00:00")
    page.get_by_role("radio", name="This month").check()
    assert page.get_by_label("From (UTC)").input_value() == end
    page.get_by_role("radio", name="Last 24 hours").check()
    visitor.show()
    assert visitor.totals()["Events"] == world.RECENT
    page.get_by_label("From (UTC)").fill("2026-11-02T10:00:00")
    expect(page.get_by_role("radio", name="Own")).to_be_checked()
    page.get_by_label("To, not included (UTC)").fill("2026-11-02T09:00:00")
    page.get_by_role("button", name="Show events").click()
    expect(visitor.problem).to_contain_text("ends before it begins")


def test_by_ingest_is_another_range(space: Space, olga: Visit) -> None:
    olga.choose("2026-11-02T00:00:00", "2026-11-02T00:00:02")
    olga.show()
    assert olga.totals()["Events"] == 1
    olga.page.get_by_role("radio", name="Ingest").check()
    olga.show()
    assert olga.totals()["Events"] == 0
    expect(olga.page.get_by_text("No event fits the selection.").first).to_be_visible()


def test_while_it_waits_the_page_says_so(olga: Visit) -> None:
    olga.page.route("**/v1/counts?*", lambda route: None)
    olga.page.get_by_role("button", name="Show events").click()
    expect(olga.page.get_by_text("Asking for the events…")).to_have_count(2)
    olga.page.unroute_all()


def test_the_watermark_is_stated(olga: Visit) -> None:
    page = olga.page
    olga.show()
    expect(page.locator("#completeness")).to_contain_text("The range is complete")
    expect(page.get_by_text("complete up to here")).to_have_count(0)
    page.get_by_role("radio", name="This month").check()
    olga.show()
    stated = page.locator("#completeness")
    expect(stated).to_contain_text(
        re.compile(r"Complete up to 2026-\d\d-\d\d \d\d:\d\d:\d\d UTC; the range ends later, at 20\d\d-\d\d-01 00:00:00")
    )
    expect(page.get_by_text("complete up to here")).to_have_count(1)


def test_what_wants_to_be_markup_is_text(olga: Visit) -> None:
    page = olga.page
    before = page.evaluate("document.querySelectorAll('script, iframe, img, style, base, form, h1').length")
    olga.choose("2026-11-02T12:00:00", "2026-11-02T12:00:03")
    olga.show()
    row = page.locator("#events-table tbody tr", has_text=world.HOSTILE["event_type"]).first
    for name in ("tool_name", "actor_id", "actor_name", "agent_name"):
        expect(row).to_contain_text(world.HOSTILE[name])
    page.get_by_role("radio", name="Event type").check()
    assert world.HOSTILE["event_type"] in olga.legend()
    assert world.HOSTILE["event_type"] in page.locator("#plot title").first.evaluate("n => n.textContent")
    row.locator("button").click()
    for value in world.HOSTILE.values():
        expect(page.get_by_role("dialog")).to_contain_text(value)
    page.keyboard.press("Escape")
    olga.filter("Event type", world.HOSTILE["event_type"])
    olga.filter("Actor", world.HOSTILE["actor_id"])
    olga.show()
    assert olga.totals()["Events"] == 3
    olga.view("Extracts")
    expect(page.locator("#extract-selection")).to_contain_text(world.HOSTILE["event_type"])
    page.get_by_text("Save it, and run it on a schedule").click()
    page.get_by_label("Name", exact=True).fill(world.HOSTILE["tool_name"])
    page.get_by_role("button", name="Save", exact=True).click()
    saved = page.get_by_role("listitem").filter(has_text=world.HOSTILE["tool_name"])
    expect(saved).to_contain_text(world.HOSTILE["actor_id"])
    saved.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(saved).to_have_count(0)
    assert page.evaluate("typeof owned") == "undefined"
    assert page.evaluate("document.querySelectorAll('script, iframe, img, style, base, form, h1').length") == before


def test_without_text_and_policy_what_wants_to_be_markup_is(visitor: Visit) -> None:
    def unguarded(route: Route) -> None:
        answer = route.fetch()
        headers = {n: v for n, v in answer.headers.items() if n != "content-security-policy"}
        spoiled = "for (const one of children.flat()) node.insertAdjacentHTML('beforeend', one?.outerHTML ?? one ?? '');"
        body = re.sub(r"node\.append\(\.\.\.children.*", spoiled, answer.text())
        route.fulfill(response=answer, headers=headers, body=body)

    visitor.expecting("")
    visitor.page.route(re.compile(r"/(page/dom\.js)?$"), unguarded)
    visitor.page.goto(visitor.url)
    visitor.page.evaluate(
        "text => import('/page/dom.js').then(dom => document.body.append(dom.el('p', null, text)))", world.HOSTILE["event_type"]
    )
    visitor.page.wait_for_function("typeof owned !== 'undefined'")


def test_another_tenant_is_out_of_reach(browser: Browser, service: Running, olga: Visit) -> None:
    olga.expecting("403")
    page = olga.page
    page.evaluate("document.querySelector('#tenant option').value = 'acme'")
    olga.show()
    expect(olga.problem).to_contain_text("no right to this tenant")
    for view in ("Extracts", "Saved extracts"):
        olga.view(view)
        assert world.SECRET not in page.content()
    with visiting(browser, service.url) as anton:  # the same look, with the right to it: the check can fail
        anton.sign_in(ANTON)
        anton.choose()
        anton.show()
        assert anton.totals()["Events"] == 8
        assert world.SECRET in anton.page.content()


def test_a_token_without_the_right_to_extracts_sees_none(visitor: Visit) -> None:
    visitor.expecting("403")
    visitor.sign_in(NORA)
    expect(visitor.page.get_by_role("link", name="Extracts", exact=True)).to_be_hidden()
    visitor.choose()
    visitor.show()
    expect(visitor.problem).to_contain_text("The token has no right to")
    expect(visitor.problem).to_contain_text("An operator gives the right")


def test_a_token_that_was_withdrawn_ends_the_session(space: Space, olga: Visit) -> None:
    olga.expecting("401")
    olga.show()
    path = space.folder / "export-principals.yaml"
    try:
        write_principals(path, PRINCIPALS[1:])
        olga.page.get_by_role("button", name="Show events").click()
        expect(olga.problem).to_contain_text("The token is no longer known.")
        expect(olga.page.get_by_label("Token", exact=True)).to_be_focused()
        assert OLGA not in olga.page.content()
        assert "agent-3" not in olga.page.content()
    finally:
        write_principals(path)
    olga.sign_in()
    expect(olga.problem).to_be_hidden()


def test_what_goes_wrong_on_the_page_is_seen_red(browser: Browser, service: Running) -> None:
    with pytest.raises(AssertionError), visiting(browser, service.url) as visit:
        visit.page.goto(service.url)
        visit.page.evaluate("console.error('wrong')")
    with pytest.raises(AssertionError), visiting(browser, service.url) as visit:
        visit.page.goto(service.url)
        visit.origins.add("https://example.com")
        visit.clean()
