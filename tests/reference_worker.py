"""A publisher of a series that kills itself at a named point: ``python -m tests.reference_worker SERIES POINT NTH [SAFETY…]``."""

from __future__ import annotations

import signal
import sys

from connectors.series import SERIES
from pipeline import settings
from pipeline.reference.publisher import Publisher, Safety
from tests.points import strike


def main(name: str, point: str, nth: int, off: list[str]) -> None:
    """Run until the ``nth`` time that ``point`` is reached (kill -9), or SIGTERM. ``off``: safeties to switch off."""
    left = nth

    def points(reached: str) -> None:
        nonlocal left
        left -= reached == point
        if left == 0:
            strike(signal.SIGKILL)

    safety = Safety(transactional="transactional" not in off, look_first="look_first" not in off)
    (series,) = (series for series in SERIES if series.name == name)
    publisher = Publisher(settings.load(settings.ReferencePublisher), series, safety, points)
    signal.signal(signal.SIGTERM, lambda *_: publisher.stop())
    publisher.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
