"""Answers other than 2xx: a status, what is wrong, what to do. They never quote values of events."""

from __future__ import annotations

import orjson

RETRY_AFTER_SECONDS = 5


class Refusal(Exception):  # noqa: N818
    """Nothing of the request was taken. ``close`` ends the connection, for bodies that were not read to their end."""

    def __init__(self, status: int, error: str, what_to_do: str, *, close: bool = False) -> None:
        super().__init__(error)
        self.status, self.error, self.what_to_do, self.close = status, error, what_to_do, close

    def body(self) -> bytes:
        return orjson.dumps({"error": self.error, "what_to_do": self.what_to_do})

    def headers(self) -> list[tuple[bytes, bytes]]:
        extra: list[tuple[bytes, bytes]] = []
        if self.status == 503:
            extra.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
        if self.status == 401:
            extra.append((b"www-authenticate", b"Bearer"))
        if self.close:
            extra.append((b"connection", b"close"))
        return extra


def unauthorized() -> Refusal:
    return Refusal(
        401,
        "The token is missing or not known.",
        "Send the token of a tenant and source: Authorization: Bearer <token>, or X-Gitlab-Event-Streaming-Token from GitLab. "
        "Make one with `auditwired token new --tenant T --source S` and put its entry into AUDITWIRE_INGEST_TOKENS_FILE.",
        close=True,
    )


def too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        f"The body is larger than {limit} bytes.",
        "Send fewer events in one request, or cut long texts; nothing of this request was taken.",
        close=True,
    )


def too_large_for_topic(topic: str, size: int, limit: int) -> Refusal:
    return Refusal(
        413,
        f"An event of this request becomes a record of {size} bytes; the topic {topic} takes {limit}.",
        "Cut its long texts and send the request again; nothing of it was taken.",
    )


def overloaded() -> Refusal:
    return Refusal(
        503,
        "The receiver holds as many bytes as it may.",
        "Send the same request again after the time in Retry-After; if this lasts, start more receivers.",
        close=True,
    )


def not_confirmed() -> Refusal:
    return Refusal(
        503,
        "Kafka did not confirm the events, so they are not acknowledged.",
        "Send the same request again after the time in Retry-After: what Kafka has already is recognised and stored once.",
    )


def not_kept() -> Refusal:
    return Refusal(
        503,
        "The receiver cannot keep the events: its spool is full or its disk fails. They are not acknowledged.",
        "Send the same request again after the time in Retry-After; if this lasts, see GET /healthz of the receiver.",
    )


def not_ready() -> Refusal:
    return Refusal(
        503,
        "The receiver does not know the schema ids yet: the schema registry does not answer, and nothing is remembered.",
        "Send the same request again after the time in Retry-After.",
        close=True,
    )


def mend(error: str, what_to_do: str) -> Refusal:
    return Refusal(422, error, what_to_do)


def unsupported(what_to_do: str) -> Refusal:
    return Refusal(415, "The content type or encoding of the body is not taken here.", what_to_do, close=True)
