"""The schema's id, asked from a Confluent-compatible registry."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from auditwire._errors import RegistryError, SpoolError
from auditwire._spool_disk import NO_ROOM, Disk, make_folder

log = logging.getLogger("auditwire")
_DOCS = ("doc", "class")


class _UnreachableError(RegistryError):
    """Nobody answered, or not sensibly: the id may be right all the same."""


def remembered_id(url: str, topic: str, schema: str, timeout: float, memory: Path) -> int:
    """As `schema_id`; where the registry does not answer, the id that it gave before, kept in the file ``memory``.

    An id is for ever, so this is safe for the same registry, topic and schema. Raises RegistryError, SpoolError (the file cannot
    be written; on a full disk it is left as it is).
    """
    what = [url, topic, hashlib.sha256(schema.encode()).hexdigest()]
    try:
        found = schema_id(url, topic, schema, timeout)
    except _UnreachableError as error:
        known = _known(memory, what)
        if known is None:
            raise
        log.warning("%s; events get the schema id %d of before", error, known)
        return known
    if _known(memory, what) != found:
        _remember(memory, json.dumps([*what, found]))
    return found


def _remember(memory: Path, text: str) -> None:
    try:
        make_folder(memory.parent, Disk().sync_folder)
        _replace(memory, text.encode())
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise SpoolError(f"cannot write {memory}: {error.strerror}. Check the disk and who may write there") from None
        log.warning("cannot write %s (%s): the next start needs the registry", memory, error.strerror)


def _replace(path: Path, content: bytes) -> None:
    """All of it or nothing, also where the power goes."""
    disk, new = Disk(), path.with_suffix(f".{os.getpid()}")
    disk.unlink(new)
    fd = disk.create(new)
    try:
        disk.write(fd, content, 0)
        disk.sync(fd)
        disk.rename(new, path)
    except OSError:
        disk.unlink(new)
        raise
    finally:
        os.close(fd)


def _known(memory: Path, what: list[str]) -> int | None:
    try:
        *about, known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return None
    return int(known) if about == what else None


def schema_id(url: str, topic: str, schema: str, timeout: float) -> int:
    """Id of ``schema`` among the versions of ``<topic>-value``; docs and marks do not count. ``timeout`` in seconds a request.

    Raises RegistryError: unreachable, no such subject, or the subject lacks this version.
    """
    subject = f"{url.rstrip('/')}/subjects/{topic}-value/versions"
    wanted = _plain(json.loads(schema))
    for version in sorted(_get(subject, topic, timeout), reverse=True):
        found = _get(f"{subject}/{version}", topic, timeout)
        if _plain(json.loads(found["schema"])) == wanted:
            return int(found["id"])
    raise RegistryError(
        f"the registry has no version of {topic}-value that equals this SDK's event schema: run `auditwired migrate` of a "
        "release at least as new as the SDK"
    )


def _get(url: str, topic: str, timeout: float) -> Any:
    if not url.startswith(("http://", "https://")):
        raise RegistryError("the schema registry's URL must start with http:// or https://: set AUDITWIRE_SCHEMA_REGISTRY_URL")
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - the scheme is checked above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            raise RegistryError(
                f"the schema of {topic}-value is not registered: run `auditwired migrate` first; if it ran, check that "
                "AUDITWIRE_NAMESPACE is the same here and there and that AUDITWIRE_SCHEMA_REGISTRY_URL carries its whole path"
            ) from None
        raise _UnreachableError(f"the schema registry answered {error.code} to GET {url}: check its log and the URL") from None
    except (OSError, ValueError) as error:
        raise _UnreachableError(
            f"the schema registry cannot be reached at {url} ({error}): check AUDITWIRE_SCHEMA_REGISTRY_URL and that it runs"
        ) from None


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: _plain(v) for k, v in schema.items() if k not in _DOCS}
    return [_plain(v) for v in schema] if isinstance(schema, list) else schema
