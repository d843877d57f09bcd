"""Tokens of the receiver: a YAML list of {tenant, source, token_sha256}; a token decides the tenant, nothing in a body does."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any

import yaml

log = logging.getLogger(__name__)
SHA256_HEX = re.compile(r"[0-9a-f]{64}")
TENANT = re.compile(r"[a-z0-9_.-]{1,64}")
SOURCE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
KEYS = {"tenant", "source", "token_sha256"}


class TokensError(Exception):
    """The tokens file cannot be used; the text says which entry and what to do. No token stands in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Whom a token speaks for; ``digest`` is the SHA-256 of the token's text."""

    tenant: str
    source: str
    digest: bytes


def parse(text: str, name: str) -> tuple[Entry, ...]:
    """Entries of a tokens file; raises TokensError."""
    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise TokensError(f"{name} is not YAML" + (f" (line {mark.line + 1})" if mark else "") + ": correct it") from None
    if not isinstance(items, list):
        raise TokensError(f"{name} must be a YAML list; `auditwired token new` prints an entry")
    entries = tuple(_entry(item, f"{name}, entry {i + 1}") for i, item in enumerate(items))
    if len({e.digest for e in entries}) != len(entries):
        raise TokensError(f"{name} names one token_sha256 twice: a token belongs to one tenant and source")
    return entries


def _entry(item: Any, where: str) -> Entry:
    if not isinstance(item, Mapping) or set(item) != KEYS:
        raise TokensError(f"{where} must have exactly tenant, source and token_sha256")
    for key, form, what in (("tenant", TENANT, "small letters"), ("source", SOURCE, "letters")):
        if not isinstance(item[key], str) or not form.fullmatch(item[key]):
            raise TokensError(f"{where}: {key} must be 1 to 64 {what}, digits, dots, dashes or underscores (quote numbers)")
    if not isinstance(item["token_sha256"], str) or not SHA256_HEX.fullmatch(item["token_sha256"]):
        raise TokensError(f"{where}: token_sha256 must be 64 hex digits in lower case (quote it)")
    return Entry(item["tenant"], item["source"], bytes.fromhex(item["token_sha256"]))


class Tokens:
    """The entries of a file, read again when the file changes; a broken file is logged and the entries before it stay."""

    def __init__(self, path: Path) -> None:
        """Raises TokensError when the file cannot be read at the start."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._entries: tuple[Entry, ...] = ()
        try:
            self._seen, self._entries = self._signature(), parse(path.read_text(encoding="utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as exc:
            raise TokensError(
                f"{path} cannot be read ({type(exc).__name__}): set AUDITWIRE_INGEST_TOKENS_FILE to the tokens file"
            ) from None

    def find(self, token: bytes) -> Entry | None:
        """The entry of a token, None for an unknown one. Every entry is compared, each in constant time."""
        self._refresh()
        digest = sha256(token).digest()
        found: Entry | None = None
        for entry in self._entries:
            if compare_digest(entry.digest, digest):
                found = entry
        return found

    def _signature(self) -> tuple[int, int, int]:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _refresh(self) -> None:
        try:
            now = self._signature()
        except OSError:
            now = None
        if now == self._seen:
            return
        self._seen = now
        try:
            self._entries = parse(self._path.read_text(encoding="utf-8"), self._path.name)
        except (TokensError, OSError, UnicodeDecodeError) as exc:
            log.warning("tokens file changed but cannot be used, the entries before it stay: %s", exc)
            return
        log.info("tokens file read again: %d entries", len(self._entries))
