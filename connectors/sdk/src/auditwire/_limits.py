"""The limits of an event: nothing larger leaves the producer, and every cut is named with the true length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from auditwire._errors import EventTooLargeError
from auditwire._event import CONTENT, KINDS, AuditEvent, encode_parts

FIELD_BYTES = 64 * 1024
EVENT_BYTES = 512 * 1024
_RESERVED = 1024  # for what the client puts in: header, producer id, numbers
ITEMS = 256
_LISTS = ("delegation_chain", "tools_offered", "attributes", "truncated_fields")
_NEVER_CUT = ("event_id", "tenant_id")  # half an identity is another identity
_NOTE = 64  # bytes that naming one more cut may add
_MASK = 32  # bytes that masking the end of a text may add

Cell = tuple[str, int | None]  # a field, or one item of a list field


def fitting_parts(
    event: AuditEvent, observed_at: int | None, audit_mode: str = "", masked: Callable[[AuditEvent], AuditEvent] | None = None
) -> tuple[bytes, bytes]:
    """`encode_parts` of the event, cut to the limits where it must be, then ``masked``.

    What masks make too long is cut and masked again, so that the processor neither cuts nor finds anything. Raises
    InvalidEventError, EventTooLargeError.
    """
    parts = encode_parts(event, observed_at, audit_mode)
    if not _fits(event, parts):
        event = within_limits(event)
        parts = encode_parts(event, observed_at, audit_mode)
    after = event if masked is None else masked(event)
    if masked is None or after is event:
        return parts
    parts = encode_parts(after, observed_at, audit_mode)
    return parts if _fits(after, parts) else encode_parts(masked(_cut(after, _MASK)), observed_at, audit_mode)


def _fits(event: AuditEvent, parts: tuple[bytes, bytes]) -> bool:
    """Whether it surely keeps the limits: an event no larger than a field may be does, but for long lists."""
    return sum(map(len, parts)) <= FIELD_BYTES and not any(len(getattr(event, name)) > ITEMS for name in _LISTS)


def within_limits(event: AuditEvent) -> AuditEvent:
    """The event itself where it keeps the limits, else a copy that does.

    At most 64 KiB of UTF-8 a text (cut at a code point), 256 items a list, 512 KiB an event (content is cut further, the
    largest first). `truncated_fields` gets ``name=bytes``, ``name[i]=bytes`` for an item (``name[i].key`` for a key of
    attributes) and ``name[]=items`` for a list, each with the length before the cut; `content_length` is set where nobody did.
    Raises InvalidEventError for wrong values, EventTooLargeError where cutting content is not enough.
    """
    return event if _fits(event, encode_parts(event, 0)) else _cut(event)


def _cut(event: AuditEvent, room: int = 0) -> AuditEvent:
    """A copy within the limits. ``room``: bytes that a text that is cut may grow afterwards; what was cut is not named again."""
    cut = _Cut(event, room)
    cut.lists()
    cut.cells()
    cut.total()
    return cut.event


class _Cut:
    """An event being cut, with the true lengths of what was cut so far."""

    def __init__(self, event: AuditEvent, room: int) -> None:
        self.event = event.copy()
        self.room = room
        self.given = list(event.truncated_fields)
        self.named = {mark.partition("=")[0] for mark in self.given} if room else set()
        self.true: dict[str, int] = {}
        longest = max(_bytes(text) for (name, _), text in _cells(event) if name in CONTENT)
        self.longest = longest

    def lists(self) -> None:
        for name in _LISTS[:3]:
            value = getattr(self.event, name)
            if len(value) > ITEMS:
                self.true[f"{name}[]"] = len(value)
                kept = list(value.items())[:ITEMS] if name == "attributes" else value[:ITEMS]
                setattr(self.event, name, dict(kept) if name == "attributes" else kept)

    def cells(self) -> None:
        """Every text at most FIELD_BYTES; keys of attributes as well."""
        limit = FIELD_BYTES
        for cell, text in list(_cells(self.event)):
            if len(text) * 4 > limit and _bytes(text) > limit:
                self.one(cell, text, limit - self.room)
        if any(len(key) * 4 > limit and _bytes(key) > limit for key in self.event.attributes):
            self.keys(limit - self.room)
        self.note()

    def keys(self, limit: int) -> None:
        """Keys that cutting makes equal are told apart, so that no pair is lost."""
        kept: dict[str, str] = {}
        for index, (key, value) in enumerate(self.event.attributes.items()):
            short = key
            if _bytes(key) > limit:
                self.true[f"attributes[{index}].key"] = _bytes(key)
                short = f"{_cut_text(key, limit - 8)}#{index}"
                while short in self.event.attributes or short in kept:
                    short = short[1:]
            kept[short] = value
        self.event.attributes = kept

    def one(self, cell: Cell, text: str, limit: int) -> None:
        name, index = cell
        if name in _NEVER_CUT:
            raise EventTooLargeError(f"{name} has {_bytes(text)} bytes, more than {limit}: it cannot be cut; give the real one")
        self.true.setdefault(name if index is None else f"{name}[{index}]", _bytes(text))
        short = _cut_text(text, limit)
        if index is None:
            setattr(self.event, name, short)
        elif name == "attributes":
            key = list(self.event.attributes)[index]
            self.event.attributes = {**self.event.attributes, key: short}
        else:
            items = list(getattr(self.event, name))
            items[index] = short
            setattr(self.event, name, items)

    def total(self) -> None:
        """Level the largest content down until the event fits."""
        content = [(c, t) for c, t in _cells(self.event) if c[0] in CONTENT]
        sizes = sorted((_bytes(t) for _, t in content), reverse=True)
        excess = self.size() - EVENT_BYTES + _RESERVED
        if excess > 0:
            level = _level(sizes, excess + _NOTE + ITEMS * self.room)
            for cell, text in content:
                if _bytes(text) > level:
                    self.one(cell, text, level)
            self.note()
        if self.size() > EVENT_BYTES - _RESERVED:
            raise EventTooLargeError(
                f"the event is larger than {EVENT_BYTES} bytes even without its content: shorten its lists and facts"
            )

    def size(self) -> int:
        return sum(map(len, encode_parts(self.event, 0)))

    def note(self) -> None:
        notes = [*self.given, *(f"{where}={length}" for where, length in self.true.items() if where not in self.named)]
        self.event.truncated_fields = notes if len(notes) <= ITEMS else [*notes[: ITEMS - 1], f"truncated_fields[]={len(notes)}"]
        if self.event.content_length is None and self.true:
            self.event.content_length = self.longest


def _cells(event: AuditEvent) -> Iterator[tuple[Cell, str]]:
    for name, kind in KINDS.items():
        value = getattr(event, name)
        if kind == "string":
            yield (name, None), value
        elif kind == "strings" and name != "truncated_fields":
            yield from (((name, i), text) for i, text in enumerate(value))
        elif kind == "pairs":
            yield from (((name, i), text) for i, text in enumerate(value.values()))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _cut_text(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, ending at a code point."""
    return text.encode()[: max(0, limit)].decode(errors="ignore")


def _level(sizes: list[int], excess: int) -> int:
    """The greatest level such that cutting every size above it removes ``excess`` and a note for each cut; sizes fall."""
    removed_above = 0
    for count, size in enumerate(sizes, 1):
        removed_above += size
        following = sizes[count] if count < len(sizes) else 0
        need = excess + count * _NOTE
        if removed_above - count * following >= need:
            return max(0, (removed_above - need) // count)
    return 0
