"""All detectors, in the order of their names' precedence."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from auditwire.redaction.detector import Detector
from auditwire.redaction.encoded import BASE64
from auditwire.redaction.keys import KEYS
from auditwire.redaction.named import NAMED
from auditwire.redaction.numbers import NUMBERS
from auditwire.redaction.personal import PERSONAL
from auditwire.redaction.prose import PROSE
from auditwire.redaction.tokens import TOKENS, Token
from auditwire.redaction.web import WEB

_LITERAL = re.compile(r"(?:[A-Za-z0-9_:/+~-]|\\[.+])+")


_EXAMPLE = re.compile("xxxxxxx|XXXXXXX|[*]{7}|[.]{7}|0000000000|EXAMPLE|Example|example|Your-|Your_|your-|your_|YOUR|PLACEHOLDER")


def _real(match: re.Match[str]) -> bool:
    """Not one that documentation shows."""
    return _EXAMPLE.search(match[0]) is None


def _of(token: Token) -> Detector:
    literal = all(_LITERAL.fullmatch(hint) for hint in token.hints)
    hints = tuple(hint.replace("\\", "").lower() for hint in token.hints) if literal else ()
    return Detector(token.name, hints, token.pattern, check=_real, rough="|".join(token.hints), exact=True)


DETECTORS: tuple[Detector, ...] = (*KEYS, *map(_of, TOKENS), *WEB, *NAMED, *PROSE, *PERSONAL, *NUMBERS)
Encoded: TypeAlias = Literal["percent", "base64"]


def detectors_for(encoded: Encoded) -> tuple[Detector, ...]:
    """Those that look behind these encodings: percent escapes alone, or base64 too."""
    return (*DETECTORS, BASE64) if encoded == "base64" else DETECTORS


@lru_cache(8)
def revision_of(detectors: tuple[Detector, ...]) -> str:
    """12 hex digits that change with any change of the detectors, of what they look for and of how."""
    digest = hashlib.sha256(repr([(d.name, d.hints, d.pattern, d.rough, d.personal) for d in detectors]).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
