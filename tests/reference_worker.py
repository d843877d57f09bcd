"""A publisher of reference data that kills itself at a named point: ``python -m tests.reference_worker POINT NTH [SAFETY…]``."""

from __future__ import annotations

import signal
import sys

from pipeline import settings
from pipeline.reference.publisher import Publisher, Safety
from tests.points import strike


def main(point: str, nth: int, off: list[str]) -> None:
    """Run until the ``nth`` time that ``point`` is reached (kill -9), or SIGTERM. ``off``: safeties to switch off."""
    left = nth

    def points(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            strike(signal.SIGKILL)

    safety = Safety(transactional="transactional" not in off, look_first="look_first" not in off)
    publisher = Publisher(settings.load(settings.ReferencePublisher), safety, points)
    signal.signal(signal.SIGTERM, lambda *_: publisher.stop())
    publisher.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
