"""The archive sink with faults at named points.

``python -m tests.archive_worker [kill@POINT:N | stop@POINT:N | overwriting | planless] …``
As `tests.sink_worker`; ``overwriting`` switches create-only PUT off, ``planless`` the plan in the bucket (negative controls).
"""

from __future__ import annotations

import sys

from pipeline import log, settings
from pipeline.sink import archive
from tests.points import Points

if __name__ == "__main__":
    arguments = sys.argv[1:]
    values = settings.load(settings.ArchiveSink)
    log.setup("console")
    sys.exit(
        archive.run(
            values, create_only="overwriting" not in arguments, plans="planless" not in arguments, points=Points(arguments)
        )
    )
