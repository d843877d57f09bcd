"""The three promises that an event can be recorded under, and which event gets which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from auditwire._errors import ConfigurationError

Mode = Literal["blocking", "spooled", "best_effort"]
MODES: tuple[str, ...] = get_args(Mode)
DEFAULT: Mode = "best_effort"


def chooser(given: Mode | Mapping[str, Mode]) -> Callable[[str], str]:
    """The mode of an event type. ``given``: a mode for everything, or modes by event type or by prefix with a trailing ``*``.

    The exact name wins, then the longest prefix; what nothing names is best_effort. Raises ConfigurationError.
    """
    if isinstance(given, str):
        only = checked(given)
        return lambda _: only
    exact = {name: checked(mode) for name, mode in given.items() if not name.endswith("*")}
    prefixes = sorted(((n[:-1], checked(m)) for n, m in given.items() if n.endswith("*")), key=lambda p: -len(p[0]))

    def choose(event_type: str) -> str:
        found = exact.get(event_type)
        return found or next((mode for prefix, mode in prefixes if event_type.startswith(prefix)), DEFAULT)

    return choose


def named(given: Mode | Mapping[str, Mode]) -> set[str]:
    """The modes that events may get by it."""
    return {given} if isinstance(given, str) else {DEFAULT, *given.values()}


def parse(text: str) -> Mode | dict[str, Mode]:
    """``spooled``, or ``tool.*=spooled,approval.approved=blocking``. Raises ConfigurationError."""
    if "=" not in text:
        return checked(text.strip())
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip(): checked(mode.strip()) for name, _, mode in pairs}


def checked(mode: object) -> Mode:
    """The mode itself. Raises ConfigurationError where it is none."""
    for known in get_args(Mode):
        if mode == known:
            return known  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"an audit mode must be {', '.join(MODES[:-1])} or {MODES[-1]} "
        "(AUDITWIRE_MODE, mode=…; by event type: tool.*=spooled,approval.approved=blocking): correct it"
    )
