"""Answers of the service that are not the asked-for one. Each says what is wrong and what to do, and quotes no event value."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is not served, by the caller's doing: 4xx. ``reason`` is a short code for the audit event."""

    def __init__(self, status: int, reason: str, error: str, what_to_do: str, *, tenant: str = "", extract: str = "") -> None:
        super().__init__(error)
        self.status, self.reason, self.error, self.what_to_do = status, reason, error, what_to_do
        self.tenant, self.extract = tenant, extract


class UnavailableError(Exception):
    """A request that cannot be served now: 503."""

    def __init__(self, error: str, what_to_do: str) -> None:
        super().__init__(error)
        self.error, self.what_to_do = error, what_to_do


def not_found(tenant: str = "", extract: str = "") -> RefusedError:
    """The same text whether the extract does not exist or is none of the caller's business."""
    error, hint = (
        "There is no such extract or file.",
        "Check the id and the name; an extract is shown to principals of its tenant.",
    )
    return RefusedError(404, "not_found", error, hint, tenant=tenant, extract=extract)


def invalid(error: str, what_to_do: str, tenant: str = "") -> RefusedError:
    """A request that can never be served as it is."""
    return RefusedError(422, "invalid", error, what_to_do, tenant=tenant)
