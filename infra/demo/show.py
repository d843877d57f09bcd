"""What the users of the demo see: that everything is stored, an analyst's queries, a compliance extract."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from infra.demo.feed import DemoError, Fed
from infra.demo.platform import PLANTED_SECRET

__all__ = ["DemoError", "analyst", "extract", "overview", "stored"]
# Without Auditwire's own.
COUNT = "SELECT count() FROM audit.events WHERE NOT match(event_type, '^(export|reference|auditwire)\\\\.')"


def stored(settings: Mapping[str, str], fed: Fed, console: Console) -> None:
    """Wait until ClickHouse has every event once, then let fsck compare topic, ClickHouse and archive."""
    total = sum(fed.events.values())
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("  stored in ClickHouse", total=total)

        def all_there() -> bool:
            count = int(_query(settings, COUNT).strip())
            progress.update(bar, completed=count)
            return count >= total

        _until(all_there, 60, "ClickHouse does not get all events: see log/processor.log and log/clickhouse-sink.log")
        bar = progress.add_task("  stored in the archive", total=None)
        _until(lambda: _fsck(settings)[0] == 0, 60, f"fsck finds differences: {_fsck(settings)[1]}")
    seen = int(_query(settings, COUNT).strip())
    if seen != total:
        raise DemoError(f"{total} events were acknowledged, {seen} are stored")
    console.print(f"  {total} events acknowledged, {seen} stored, each once. auditwired fsck:")
    console.print("  " + _fsck(settings)[1].strip().replace("\n", "\n  "), highlight=False)


def _fsck(settings: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "fsck"], env=dict(settings), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def analyst(settings: Mapping[str, str], fed: Fed, console: Console) -> None:
    """Plain SQL on the table and on the views."""
    _table(
        settings,
        console,
        "Tools by risk: who answers for them, and what came of the calls (tenant acme, view tool_calls)",
        "SELECT processed_tool_risk AS risk, tool_name, tool_owner, countIf(event_type = 'tool.invoked') AS calls,"
        " countIf(outcome = 'denied') AS denied, countIf(outcome = 'failure') AS failed FROM audit.tool_calls"
        " WHERE tenant_id = 'acme' GROUP BY ALL ORDER BY indexOf(['critical', 'high', 'medium', 'low'], risk), calls LIMIT 5",
    )
    _table(
        settings,
        console,
        "Who did what for whom: a denied secret",
        "SELECT toString(occurred_at, 'UTC') AS at, agent_name, human_principal_id AS for_whom, tool_name, outcome"
        " FROM audit.who_did_what_for_whom WHERE event_type = 'tool.denied' AND tool_name = 'read_secret' ORDER BY at LIMIT 3",
    )
    _table(
        settings,
        console,
        "Where events and reference data disagree",
        "SELECT arrayJoin(processed_flags) AS flag, tenant_id, count() AS events, any(agent_name) AS example FROM audit.events"
        " WHERE processed_flags != [] AND session_id != '' GROUP BY flag, tenant_id ORDER BY flag, tenant_id LIMIT 6",
        must_have=("agent_version_deprecated", "tool_category_differs=write"),
    )
    _table(
        settings,
        console,
        "What redaction took out before anything was stored",
        "SELECT arrayJoin(processed_redacted_fields) AS field, count() AS events, any(tool_args) AS example FROM audit.events"
        " WHERE tool_args LIKE '%REDACTED%' GROUP BY field",
    )
    found = "SELECT countIf(position(tool_args, {secret:String}) > 0) FROM audit.events"
    leaked = _query(settings, found, secret=PLANTED_SECRET).strip()
    if leaked != "0":
        raise DemoError(f"{leaked} events hold the planted secret: redaction failed")
    console.print("  The planted GitLab token is in none of them.")


def overview(settings: Mapping[str, str], fed: Fed, console: Console) -> None:
    """What the compliance page shows: counts over time, and up to where they are complete."""
    console.print(f"  The page: {settings['AUDITWIRE_EXPORT_URL']}/ (choose, see, extract, download; `make up` keeps it running)")
    asked = {"tenant": "demo", "from": fed.start.isoformat(), "to": fed.end.isoformat()}
    headers = {"Authorization": f"Bearer {settings['AUDITWIRE_EXPORT_TOKEN']}"}
    counts = _checked(
        httpx.get(f"{settings['AUDITWIRE_EXPORT_URL']}/v1/counts", params=asked, headers=headers, timeout=30)
    ).json()
    worst = [one for one in counts["series"] if one["outcome"] in ("denied", "failure", "error")]
    listed = ", ".join(f"{one['total']} {one['event_type']} ({one['outcome']})" for one in worst[:4])
    console.print(f"  GET /v1/counts: {counts['total']} events of tenant demo, among them {listed}")
    console.print(
        f"  asked up to {asked['to']}, complete up to {counts['complete_until']}: said, not silently short", highlight=False
    )
    if counts["complete"]:
        raise DemoError("a range that ends in the future is called complete")


def extract(settings: Mapping[str, str], fed: Fed, folder: Path, console: Console) -> None:
    """Ask for a Parquet extract of tenant demo, wait, download, check the digests, open it."""
    headers = {"Authorization": f"Bearer {settings['AUDITWIRE_EXPORT_TOKEN']}"}
    asked = {"tenant": "demo", "from": fed.start.isoformat(), "to": fed.end.isoformat(), "format": "parquet"}
    with httpx.Client(base_url=settings["AUDITWIRE_EXPORT_URL"], headers=headers, timeout=30) as client:
        job = _checked(client.post("/v1/extracts", json=asked)).json()
        console.print(f"  POST /v1/extracts {json.dumps(asked)} → {job['id']}")
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("  extract", total=1.0)

            def done() -> bool:
                nonlocal job
                job = _checked(client.get(f"/v1/extracts/{job['id']}")).json()
                progress.update(bar, completed=job["progress"]["fraction"])
                return job["state"] in ("done", "failed")

            _until(done, 60, "the extract does not end: see log/export.log")
        if job["state"] == "failed":
            raise DemoError(f"the extract failed: {job}")
        folder.mkdir()
        manifest = json.loads(_download(client, job["id"], "manifest.json", folder))
        for file in manifest["files"]:
            body = _download(client, job["id"], file["name"], folder)
            if hashlib.sha256(body).hexdigest() != file["sha256"]:
                raise DemoError(f"{file['name']}: the SHA-256 in the manifest differs")
    _summary(manifest, fed, folder, console)


def _summary(manifest: dict[str, Any], fed: Fed, folder: Path, console: Console) -> None:
    files = [folder / f["name"] for f in manifest["files"]]
    events = pq.read_table(files[0]) if len(files) == 1 else pq.ParquetDataset(files).read()
    rows = sum(1 for kind in events.column("event_type").to_pylist() if not kind.startswith(("export.", "auditwire.")))
    if rows != fed.events["demo"]:
        raise DemoError(f"the extract has {rows} events of tenant demo, {fed.events['demo']} were acknowledged")
    if set(pc.unique(events.column("tenant_id")).to_pylist()) != {"demo"}:
        raise DemoError("the extract holds another tenant's events")
    console.print(
        f"  {len(files)} Parquet file, {events.num_rows} events, {events.num_columns} columns, SHA-256 as in manifest.json"
    )
    ends = {mark["partition"]: mark["end_offset"] for mark in manifest["high_water"]}
    console.print(
        f"  complete up to {manifest['complete_until']}, and to these offsets of the clean topic: {ends}", highlight=False
    )
    table = Table("event type", "outcome", "events", title="The extract in short", title_justify="left")
    counts = events.group_by(["event_type", "outcome"]).aggregate([([], "count_all")]).sort_by([("count_all", "descending")])
    for row in counts.slice(0, 8).to_pylist():
        table.add_row(row["event_type"], row["outcome"], str(row["count_all"]))
    console.print(table)


def _table(settings: Mapping[str, str], console: Console, title: str, sql: str, must_have: tuple[str, ...] = ()) -> None:
    lines = [line.split("\t") for line in _query(settings, sql + " FORMAT TSVWithNames").splitlines()]
    table = Table(*lines[0], title=title, title_justify="left", caption=sql, caption_justify="left")
    for line in lines[1:]:
        table.add_row(*line)
    console.print(table)
    if len(lines) == 1 or any(text not in {line[0] for line in lines} for text in must_have):
        raise DemoError(f"{title}: the answer lacks what was fed ({', '.join(must_have) or 'it is empty'})")


def _query(settings: Mapping[str, str], sql: str, **values: str) -> str:
    user = {
        "X-ClickHouse-User": settings["AUDITWIRE_CLICKHOUSE_USER"],
        "X-ClickHouse-Key": settings["AUDITWIRE_CLICKHOUSE_PASSWORD"],
    }
    parameters = {f"param_{name}": value for name, value in values.items()}
    url = settings["AUDITWIRE_CLICKHOUSE_URL"]
    return _checked(httpx.post(url, params=parameters, content=sql.encode(), headers=user, timeout=30)).text


def _download(client: httpx.Client, job: str, name: str, folder: Path) -> bytes:
    body = _checked(client.get(f"/v1/extracts/{job}/files/{name}")).content
    (folder / name).write_bytes(body)
    return body


def _checked(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise DemoError(f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text[:500]}")
    return answer


def _until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise DemoError(f"after {seconds:.0f} s {otherwise}")
        time.sleep(0.2)
