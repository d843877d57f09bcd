"""`auditwired rebuild` with faults at named points: ``python -m tests.rebuild_worker kill@POINT:N … -- ARGUMENTS``."""

from __future__ import annotations

import argparse
import sys

from pipeline import rebuild, settings
from pipeline.rebuild import command
from tests.points import Points

if __name__ == "__main__":
    at = sys.argv.index("--")
    faults = sys.argv[1:at]
    parser = argparse.ArgumentParser()
    rebuild.add_arguments(parser)
    arguments = parser.parse_args(sys.argv[at + 1 :])
    values, rights = settings.load(settings.Operator), settings.load(settings.Rebuild)
    sys.exit(command.run(arguments, values, rights, rebuild.tell, points=Points(faults)))
