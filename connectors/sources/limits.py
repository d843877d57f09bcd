"""Limits of one event's size: long texts are cut and marked, never dropped unseen; what has no column becomes attributes."""

from __future__ import annotations

from connectors.sources.fields import CONTENT, Fields, Json, as_text

FIELD_BYTES = 64 * 1024
EVENT_BYTES = 448 * 1024
LIST_ITEMS = 1024
ATTRIBUTES = 256
KEY_BYTES = 256
NESTING = 3
MORE = "more"


def attributes_of(rest: dict[str, Json]) -> dict[str, str]:
    """Leftover keys of an object: dotted path → text or JSON text, sorted by path; nulls are left out.

    Objects are opened ``NESTING`` levels deep. What is over ``ATTRIBUTES`` pairs, has too long a path or the path of another
    goes to the pair ``more``, a JSON array of [path, text].
    """
    found: list[tuple[str, str]] = []
    _open(rest, "", NESTING, found)
    found.sort()
    pairs: dict[str, str] = {}
    more: list[tuple[str, str]] = []
    for key, text in found:
        if key in pairs or key == MORE or len(pairs) == ATTRIBUTES - 1 or byte_length(key) > KEY_BYTES:
            more.append((key, text))
        else:
            pairs[key] = text
    if more:
        pairs[MORE] = as_text(more)
    return pairs


def _open(value: dict[str, Json], prefix: str, levels: int, found: list[tuple[str, str]]) -> None:
    for key, item in value.items():
        if isinstance(item, dict) and item and levels > 1:
            _open(item, f"{prefix}{key}.", levels - 1, found)
        elif item is not None:
            found.append((prefix + key, as_text(item)))


def bounded(fields: Fields, sent_length: int = 0) -> Fields:
    """The same event within the limits; ``content_length`` and ``truncated_fields`` tell what it was before.

    ``sent_length`` is the length that the source itself names, where it may have cut the content before us.
    """
    lengths = [byte_length(fields[name]) for name in CONTENT if fields.get(name)]
    longest = max([sent_length, *lengths])
    if longest > 0:
        fields["content_length"] = longest
    if _size(fields) <= FIELD_BYTES:
        return fields
    limit = FIELD_BYTES
    cut = _cut(fields, limit)
    while _size(cut) > EVENT_BYTES and limit > 256:
        limit //= 4
        cut = _cut(fields, limit)
    return cut


def byte_length(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def cut_text(text: str, limit: int) -> str:
    """The longest beginning of at most ``limit`` bytes of UTF-8 that ends between two code points."""
    return text if byte_length(text) <= limit else text.encode()[:limit].decode("utf-8", "ignore")


def _size(fields: Fields) -> int:
    total = 0
    for value in fields.values():
        if type(value) is str:
            total += byte_length(value)
        elif type(value) is list:
            total += sum(map(_item_size, value))
        elif type(value) is dict:
            total += sum(_item_size(key) + _item_size(text) for key, text in value.items())
    return total


def _item_size(item: str) -> int:
    return byte_length(item) + 4


def _cut(full: Fields, limit: int) -> Fields:
    """A copy in which no text is longer than ``limit`` bytes and no list larger than it."""
    fields = dict(full)
    marks: list[str] = []
    for name, value in full.items():
        if type(value) is str and byte_length(value) > limit:
            fields[name] = cut_text(value, limit)
            marks.append(f"{name}={byte_length(value)}")
        elif name == "attributes":
            fields[name] = {key: cut_text(text, limit) for key, text in value.items()}
            marks += [f"attributes.{key}={byte_length(text)}" for key, text in value.items() if byte_length(text) > limit]
        elif type(value) is list and (len(value) > LIST_ITEMS or sum(map(_item_size, value)) > limit):
            fields[name] = _first(value, limit)
            marks.append(f"{name}={byte_length(as_text(value))}")
    if marks:
        fields["truncated_fields"] = marks
    return fields


def _first(items: list[str], limit: int) -> list[str]:
    kept: list[str] = []
    for item in items[:LIST_ITEMS]:
        limit -= _item_size(item)
        if limit < 0:
            break
        kept.append(item)
    return kept
