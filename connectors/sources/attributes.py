"""What has no column of its own: leftover keys of a payload as pairs of path and text."""

from __future__ import annotations

from connectors.sources.fields import Json, as_text

PAIRS = 250  # of the 256 that an event may have
KEY_BYTES = 256
NESTING = 3
MORE = "more"


def attributes_of(rest: dict[str, Json]) -> dict[str, str]:
    """Dotted path → text or JSON text, sorted by path; nulls are left out.

    Objects are opened ``NESTING`` levels deep. What is over ``PAIRS``, has too long a path or the path of another goes to the
    pair ``more``, a JSON array of [path, text].
    """
    found: list[tuple[str, str]] = []
    _open(rest, "", NESTING, found)
    found.sort()
    pairs: dict[str, str] = {}
    more: list[tuple[str, str]] = []
    for key, text in found:
        if key in pairs or key == MORE or len(pairs) == PAIRS - 1 or len(key) > KEY_BYTES or len(key.encode()) > KEY_BYTES:
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
