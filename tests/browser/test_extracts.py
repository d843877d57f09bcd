"""Extracts on the page: started, downloaded, checked, saved, repeated."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visit import Visit


def started(visit: Visit) -> str:
    """Start the extract that the form asks for; returns its id."""
    with visit.page.expect_response(lambda r: r.request.method == "POST" and r.url.endswith("/extracts")) as answer:
        visit.page.get_by_role("button", name="Start the extract").click()
    assert answer.value.status == 202, answer.value.text()
    return str(answer.value.json()["id"])


def test_an_extract_from_start_to_files_whose_sha256_is_right(olga: Visit, tmp_path: Path) -> None:
    page = olga.page
    olga.filter("Outcome", "denied")
    olga.show()
    total = olga.totals()["Events"]
    page.get_by_role("button", name="Extract these events").click()
    expect(page.locator("#extract-selection")).to_contain_text(
        "2026-11-02 00:00:00 to 2026-11-03 00:00:00 UTC, with Outcome: denied"
    )
    page.get_by_role("radio", name="JSON lines").check()
    page.get_by_role("radio", name="Choose").check()
    page.get_by_role("button", name="Choose none").click()
    for name in ("event_id", "outcome", "prompt"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    page.get_by_label("Refuse to start while the range is not complete").check()
    item = page.locator(f"[data-extract='{started(olga)}']")
    expect(item).to_contain_text("Done")
    expect(item).to_contain_text(f"{total} events")
    expect(item).to_contain_text("Complete for its range")
    files = {}
    for name in ("part-00000.jsonl", "manifest.json"):
        with page.expect_download() as download:
            item.get_by_role("button", name=f"Download {name}").click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        files[name] = (tmp_path / name).read_bytes()
        expect(item).to_contain_text(hashlib.sha256(files[name]).hexdigest())
    expect(item.get_by_text("✓ downloaded, SHA-256 is right")).to_have_count(2)
    rows = [json.loads(line) for line in files["part-00000.jsonl"].splitlines()]
    assert len(rows) == total
    assert all(set(row) == {"event_id", "outcome", "prompt"} and row["outcome"] == "denied" for row in rows)
    manifest = json.loads(files["manifest.json"])
    assert manifest["files"][0]["sha256"] == hashlib.sha256(files["part-00000.jsonl"]).hexdigest()


def test_an_extract_has_the_range_that_was_looked_at(olga: Visit) -> None:
    page = olga.page
    page.get_by_role("radio", name="Last 7 days").check()
    olga.show()
    shown = [page.locator(f"#{end}").input_value() for end in ("from", "to")]
    seen = [value if value.count(":") == 2 else f"{value}:00" for value in shown]  # the browser leaves out a zero second
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=1))
    page.get_by_role("button", name="Extract these events").click()
    expect(page.locator("#extract-selection")).to_contain_text(" to ".join(seen).replace("T", " "))
    expect(page.locator(f"[data-extract='{started(olga)}'] h3")).to_contain_text(" to ".join(seen).replace("T", " "))
    olga.view("Events")
    olga.show()
    assert page.locator("#to").input_value() > seen[1]


def test_bytes_that_changed_on_the_way_are_not_kept(olga: Visit) -> None:
    page = olga.page
    olga.view("Extracts")
    item = page.locator(f"[data-extract='{started(olga)}']")
    page.route("**/files/*.csv", lambda route: route.fulfill(response=route.fetch(), body=b"spoiled"))
    downloads: list[str] = []
    page.on("download", lambda download: downloads.append(download.url))
    item.get_by_role("button", name="Download part-00000.csv").click()
    expect(item).to_contain_text("not kept: the SHA-256 differs")
    assert downloads == []


def test_a_saved_extract_is_run_and_deleted(olga: Visit) -> None:
    page = olga.page
    olga.filter("Outcome", "failure")
    olga.view("Extracts")
    page.get_by_text("Save it, and run it on a schedule").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(olga.problem).to_contain_text("has no name")
    page.get_by_label("Name", exact=True).fill("Failures for the auditor")
    page.get_by_label("Schedule").select_option("month")
    page.get_by_role("button", name="Save", exact=True).click()
    saved = page.locator("[data-definition]", has_text="Failures for the auditor")
    expect(saved).to_contain_text("Every month, for the month before")
    expect(saved).to_contain_text("Outcome: failure")
    saved.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Extracts")
    expect(page.locator("[data-extract]").first).to_contain_text("from a saved extract, by olga@example.com")
    expect(page.locator("[data-extract]").first).to_contain_text("Done")
    olga.view("Saved extracts")
    saved.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(saved).to_be_visible()
    saved.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(saved).to_have_count(0)
