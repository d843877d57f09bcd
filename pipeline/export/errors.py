"""Answers of the service that are not the asked-for one. Each says what is wrong and what to do, and quotes no event value."""

from __future__ import annotations

from collections.abc import Mapping


class RefusedError(Exception):
    """A request that is not served, by the caller's doing: 4xx. ``reason`` is a short code for the audit event.

    ``retry_after``: seconds after which asking again can help, 0 for never; ``more``: further fields of the answer;
    ``attributes``: of the audit event, which is written unless ``record`` is False.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        error: str,
        what_to_do: str,
        *,
        tenant: str = "",
        extract: str = "",
        retry_after: int = 0,
        more: Mapping[str, str] | None = None,
        attributes: Mapping[str, str] | None = None,
        record: bool = True,
    ) -> None:
        super().__init__(error)
        self.status, self.reason, self.error, self.what_to_do = status, reason, error, what_to_do
        self.tenant, self.extract, self.retry_after, self.more = tenant, extract, retry_after, more or {}
        self.attributes, self.record = attributes or {}, record


class UnavailableError(Exception):
    """A request that cannot be served now: 503."""

    def __init__(self, error: str, what_to_do: str) -> None:
        super().__init__(error)
        self.error, self.what_to_do = error, what_to_do


def not_found(tenant: str = "", extract: str = "") -> RefusedError:
    """The same text whether it does not exist or is none of the caller's business."""
    error, hint = (
        "There is no such extract, file or definition.",
        "Check the id and the name; they are shown to principals of their tenant.",
    )
    return RefusedError(404, "not_found", error, hint, tenant=tenant, extract=extract)


def invalid(error: str, what_to_do: str, tenant: str = "") -> RefusedError:
    """A request that can never be served as it is."""
    return RefusedError(422, "invalid", error, what_to_do, tenant=tenant)


def advice(kind: str, otherwise: str) -> str:
    """What to do about a value that pydantic found wrong in this way (the ``type`` of its error)."""
    times = ("timezone_aware", "datetime_parsing", "datetime_from_date_parsing", "datetime_type")
    return "Give a time with its zone, such as 2026-11-01T00:00:00Z." if kind in times else otherwise
