"""The ledger sink with a fault at a named point: ``python -m tests.ledger_worker kill@POINT:N [ledger_first]``, see
`tests.sink_worker`. ``ledger_first`` switches a mechanism off (negative control).
"""

from __future__ import annotations

import sys

from pipeline import ledger_sink, log, settings
from pipeline.ledger_sink import Safety
from tests.points import Points

if __name__ == "__main__":
    values = settings.load(settings.LedgerSink)
    log.setup("console")
    sys.exit(ledger_sink.run(values, Safety(sequences_first="ledger_first" not in sys.argv), Points(sys.argv[1:])))
