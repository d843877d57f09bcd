"""Who asks: bearer tokens of principals, kept as SHA-256 in a YAML file that is read again when it changes."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.export.errors import RefusedError, UnavailableError
from pipeline.export.limits import Limits

EXTRACT, READ = "extract", "read"


class Principal(BaseModel):
    """Somebody with a token: the tenants they may see and their rights, ``read`` and ``extract``; neither includes the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    token_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tenants: tuple[str, ...]
    rights: tuple[str, ...]
    limits: Limits = Limits()

    def may_extract(self, tenant: str) -> bool:
        return EXTRACT in self.rights and tenant in self.tenants

    def may_read(self, tenant: str) -> bool:
        return READ in self.rights and tenant in self.tenants


@dataclass(frozen=True)
class _Read:
    stamp: tuple[int, int, int]
    principals: Sequence[Principal]


class Principals:
    """The principals of the file as it is now. A file that cannot be read serves nobody: rights may have been withdrawn in it.

    An empty one is being written: it would end every schedule for good. `[]` says that there is nobody.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._read: _Read | None = None

    def of(self, authorization: str | None) -> Principal:
        """The principal of an ``Authorization`` header. Raises RefusedError (401), UnavailableError."""
        kind, _, token = (authorization or "").partition(" ")
        found = None
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        for principal in self.all():  # every one is compared, so that the time does not tell which was near
            if hmac.compare_digest(principal.token_sha256, digest):
                found = principal
        if found is None or kind.lower() != "bearer":
            hint = "Send `Authorization: Bearer <token>`; `auditwired token new` makes one, an operator enters its SHA-256."
            raise RefusedError(401, "unauthenticated", "The token is missing or unknown.", hint)
        return found

    def tenants(self) -> frozenset[str]:
        """Every tenant that any principal may see."""
        return frozenset(tenant for principal in self.all() for tenant in principal.tenants)

    def all(self) -> Sequence[Principal]:
        """Raises UnavailableError where the file cannot be read or is not what it should be."""
        with self._lock:
            try:
                stat = self._path.stat()
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if self._read is None or self._read.stamp != stamp:
                    self._read = _Read(stamp, _PRINCIPALS.validate_python(yaml.safe_load(self._path.read_text())))
            except (OSError, yaml.YAMLError, ValidationError, UnicodeError) as exc:
                self._read = None
                raise UnavailableError(
                    f"The principals file cannot be read ({type(exc).__name__}).",
                    "An operator mends AUDITWIRE_EXPORT_PRINCIPALS_FILE: a YAML list of {name, token_sha256, tenants, rights}.",
                ) from exc
            return self._read.principals


_PRINCIPALS: TypeAdapter[tuple[Principal, ...]] = TypeAdapter(tuple[Principal, ...])
