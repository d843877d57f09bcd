"""The schema's id, asked from a Confluent-compatible registry."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from auditwire._errors import RegistryError

_DOCS = ("doc", "class")


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
        raise RegistryError(f"the schema registry answered {error.code} to GET {url}: check its log and the URL") from None
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"the schema registry cannot be reached at {url} ({error}): check AUDITWIRE_SCHEMA_REGISTRY_URL and that it runs"
        ) from None


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: _plain(v) for k, v in schema.items() if k not in _DOCS}
    return [_plain(v) for v in schema] if isinstance(schema, list) else schema
