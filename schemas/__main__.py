"""`python -m schemas generate | check | release`."""

from __future__ import annotations

import sys

from schemas.tool import main

if __name__ == "__main__":
    sys.exit(main())
