"""The schema registry (Confluent API): look up, register, fetch; answers that never change are remembered."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx

_trusted = cache(httpx.create_ssl_context)  # reading the certificates takes longer than a request


class RegistryError(Exception):
    """The registry did not answer, or answered with an error; wait and try again. ``status`` is its HTTP status or 0."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class UnknownSchema(RegistryError):  # noqa: N818
    """The registry answered that there is no such schema or subject: waiting does not help."""


class SchemaRegistry:
    """One registry; safe from several threads."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout,
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
            verify=_trusted(),
        )
        self._by_id: dict[int, str] = {}

    def close(self) -> None:
        self._http.close()

    def schema_of(self, schema_id: int) -> str:
        """Schema text of an id. Raises UnknownSchema (a definite 404) or RegistryError (wait)."""
        if schema_id not in self._by_id:
            self._by_id[schema_id] = str(self._ask("GET", f"/schemas/ids/{schema_id}")["schema"])
        return self._by_id[schema_id]

    def id_of(self, subject: str, schema: str) -> int:
        """Id of a registered schema. Raises UnknownSchema where it is not registered: run `auditwired migrate`."""
        return int(self._ask("POST", f"/subjects/{subject}", {"schema": schema})["id"])

    def register(self, subject: str, schema: str) -> int:
        """Register and return the id; the same schema again gives the same id. Raises RegistryError when it is incompatible."""
        return int(self._ask("POST", f"/subjects/{subject}/versions", {"schema": schema})["id"])

    def set_compatibility(self, subject: str, level: str) -> None:
        """Set the subject's compatibility level, such as FULL_TRANSITIVE."""
        self._ask("PUT", f"/config/{subject}", {"compatibility": level})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as exc:
            raise RegistryError(
                f"schema registry {self.url} does not answer ({type(exc).__name__}): check AUDITWIRE_SCHEMA_REGISTRY_URL"
            ) from exc
        found = _body(answer)
        if answer.status_code == 404 and "error_code" in found:  # a proxy's or a starting server's 404 says nothing about ids
            raise UnknownSchema(f"schema registry {self.url} does not know {path}: run `auditwired migrate`", 404)
        if answer.status_code in (401, 403):
            raise RegistryError(
                f"schema registry {self.url} refused {method} {path} ({answer.status_code}): it wants credentials, and Auditwire "
                "sends none: let it answer this host without, or check AUDITWIRE_SCHEMA_REGISTRY_URL",
                answer.status_code,
            )
        if answer.is_error:
            raise RegistryError(
                f"schema registry {self.url} answered {answer.status_code} to {method} {path}", answer.status_code
            )
        if not found:
            raise RegistryError(f"schema registry {self.url} answered {method} {path} with something else: check its address")
        return found


def _body(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
