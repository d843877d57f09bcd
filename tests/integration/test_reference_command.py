"""`auditwired reference` on a real PostgreSQL: revisions are applied once, in order, for good, and can be brought back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import pipeline.__main__ as command_line
from connectors.postgres import PostgresError
from connectors.series import REFERENCE
from pipeline import settings
from pipeline.reference.publisher import Publisher
from tests.references import document, store
from tests.space import Space

ONE = "kind: tenant\nid: demo\n"
TWO = ONE + "---\nkind: agent\nid: a\nowner: o\nversions: {'1': approved}\n"


@pytest.fixture
def shell(provisioned: Space, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The environment of somebody who may apply reference data, and nothing else."""
    for name in settings.names_of(settings.Reference):
        monkeypatch.setenv(name, provisioned.env.get(name, ""))
    return provisioned


@pytest.fixture
def publisher(shell: Space) -> Iterator[Publisher]:
    one = Publisher(shell.settings(settings.ReferencePublisher), REFERENCE)
    thread = threading.Thread(target=one.run)
    thread.start()
    yield one
    one.stop()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "reference"
    path.mkdir()
    (path / "all.yaml").write_text(ONE, encoding="utf-8")
    return path


def reference(*words: object) -> int:
    return command_line.main(["reference", *map(str, words)])


def test_a_first_hour_with_reference_data(
    shell: Space, publisher: Publisher, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def out() -> str:
        return capsys.readouterr().out

    assert reference("diff", folder) == 1
    assert "+ tenant demo\n1 difference from nothing: no revision is there yet" in out()
    assert reference("apply", folder, "--reason", "the first", "--by", "ana@example.com", "--wait", 60) == 0
    said = out()
    assert "+ tenant demo\nrevision 1 is stored" in said
    assert "revision 1 is published: processors use it from their next batch on" in said
    assert reference("diff", folder) == 0
    assert "no differences from revision 1" in out()
    assert reference("apply", folder, "--reason", "again") == 0
    assert "nothing changes: revision 1 of" in out()

    (folder / "all.yaml").write_text(TWO, encoding="utf-8")
    assert reference("apply", folder, "--reason", "an agent", "--wait", 60) == 0
    assert "+ agent a\nrevision 2 is stored" in out()
    assert reference("history", "--revision", 1) == 0
    older = tmp_path / "older"
    older.mkdir()
    (older / "revision-1.yaml").write_text(out(), encoding="utf-8")
    assert reference("apply", older, "--reason", "back to revision 1", "--wait", 60) == 0
    assert "- agent a\nrevision 3 is stored" in out()
    first, third = store(shell).get(1), store(shell).get(3)
    assert first and third and first.document == third.document

    assert reference("history") == 0
    lines = [line.split("\t") for line in out().splitlines()]
    assert [(line[0], line[5]) for line in lines] == [("3", "back to revision 1"), ("2", "an agent"), ("1", "the first")]
    assert all(line[2].startswith("published 20") for line in lines)
    assert lines[2][4] == "ana@example.com (database user reference)"


def test_nobody_publishes_and_it_says_so(shell: Space, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference("apply", folder, "--reason", "r", "--wait", 0.3) == 1
    said = capsys.readouterr()
    assert "revision 1 is stored (" in said.out
    assert "revision 1 is stored, but not published yet: nobody did in 0.3 s." in said.err
    assert "Is the part reference-publisher running and healthy?" in said.err
    assert reference("apply", folder, "--reason", "r", "--wait", 0) == 0
    assert "not published yet: the part reference-publisher does that by itself" in capsys.readouterr().out
    assert reference("history") == 0
    assert "NOT PUBLISHED YET" in capsys.readouterr().out


def test_what_is_refused_changes_nothing(shell: Space, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference("apply", folder, "--reason", "r", "--expect", 4, "--wait", 0) == 1
    assert "revision 0 is the newest, not 4: compare with it (diff), then apply again" in capsys.readouterr().err
    (folder / "bad.yaml").write_text("kind: tenant\n", encoding="utf-8")
    assert reference("apply", folder, "--reason", "r") == 1
    assert reference("diff", folder) == 2
    assert "bad.yaml:1: tenant ?: id is missing: add it." in capsys.readouterr().err
    assert reference("history", "--revision", 9) == 1
    assert "there is no revision 9: `history` lists them" in capsys.readouterr().err
    assert store(shell).newest() is None


def test_a_wrong_password_and_a_server_that_is_away_are_told_apart(
    shell: Space, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = shell.env["AUDITWIRE_REFERENCE_POSTGRES_DSN"]
    name, _, rest = right.removeprefix("postgresql://").partition(":")
    place = rest.partition("@")[2]
    monkeypatch.setenv("AUDITWIRE_REFERENCE_POSTGRES_DSN", f"postgresql://{name}:wrong@{place}")
    assert reference("history") == 1
    assert "refused the password of user reference" in capsys.readouterr().err
    monkeypatch.setenv("AUDITWIRE_REFERENCE_POSTGRES_DSN", f"postgresql://{name}:wrong@127.0.0.1:1/x")
    assert reference("history") == 1
    assert "127.0.0.1:1/x does not answer" in capsys.readouterr().err


def _at_once(space: Space, round_: int, serialise: bool) -> list[str]:
    """Eight people apply eight contents at the same moment; what failed."""
    start = threading.Barrier(8)

    def one(n: int) -> str:
        start.wait()
        try:
            store(space, serialise=serialise).apply(document(f"r{round_}n{n}"), "p", "r")
        except PostgresError as exc:
            return str(exc)
        return ""

    with ThreadPoolExecutor(8) as pool:
        return [text for text in pool.map(one, range(8)) if text]


def test_those_who_apply_at_once_come_one_after_another(provisioned: Space) -> None:
    for n in range(3):
        assert _at_once(provisioned, n, serialise=True) == []
    assert [r.revision for r in store(provisioned).history(100)] == list(range(24, 0, -1))


def test_control_without_the_lock_they_run_into_each_other(provisioned: Space) -> None:
    end = time.monotonic() + 60
    n = 0
    while not (failed := _at_once(provisioned, n, serialise=False)):
        assert time.monotonic() < end, "no two applications met: the lock is not what keeps them apart"
        n += 1
    assert "UniqueViolation" in failed[0]


def test_a_revision_is_never_changed_by_anybody(provisioned: Space) -> None:
    store(provisioned).apply(document("demo"), "p", "r")
    with psycopg.connect(provisioned.env["AUDITWIRE_ADMIN_POSTGRES_DSN"], autocommit=True) as owner:
        for wrong in (
            "UPDATE reference_revisions SET reason = 'x'",
            "DELETE FROM reference_revisions",
            "TRUNCATE reference_revisions CASCADE",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="never changed: apply another one"):
                owner.execute(wrong.encode())
    with psycopg.connect(provisioned.env["AUDITWIRE_REFERENCE_POSTGRES_DSN"], autocommit=True) as person:
        for wrong in (
            "UPDATE reference_outbox SET published_at = now()",
            "DELETE FROM reference_outbox",
            "INSERT INTO reference_revisions (namespace, revision, applied_by, reason, sha256, document, database_user) "
            "VALUES ('x', 1, 'p', 'r', '', '', 'somebody else')",
            "SELECT * FROM extract_jobs",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                person.execute(wrong)
        with pytest.raises(psycopg.errors.CheckViolation):
            person.execute(
                "INSERT INTO reference_revisions (namespace, revision, applied_by, reason, sha256, document) "
                "VALUES ('x', 1, 'p', 'r', 'not its digest', '{}')"
            )
