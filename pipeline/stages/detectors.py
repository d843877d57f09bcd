"""What counts as a secret or as personal data in text, as patterns for RE2 (linear time, no look-around).

Written from the providers' public descriptions of their formats; docs/redaction.md says what each one finds and what it does not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Detector:
    """One kind of text that is replaced by ``[REDACTED:<name>]``.

    ``before`` and ``after`` are context that stays. ``hint`` is a shorter pattern without anchors that matches in every text with
    a finding, whatever stands around it; empty = ``secret``. ``keep`` are look-alikes: an ``@`` between its two groups is none.
    """

    name: str
    secret: str
    before: str = ""
    after: str = ""
    hint: str = ""
    keep: tuple[str, ...] = ()
    personal: bool = False

    @property
    def pattern(self) -> str:
        return f"({self.before})(?:{self.secret})({self.after})"

    @property
    def replacement(self) -> str:
        return rf"\1[REDACTED:{self.name}]\2"

    @property
    def filter(self) -> str:
        return f"(?:{self.hint or self.secret})"


def _either(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


_SLASH = r"(?:\\*/)"  # JSON may escape it
_QUOTE = r"[\"'\\]*"
_IS = _QUOTE + r"\s*(?:=>|[:=])\s*" + _QUOTE
_WORD = r"[A-Za-z0-9_-]"  # the alphabet of base64url

_KEY_LINE = r"-{4,5} ?%s (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)? ?-{4,5}"
_KEY_BEGIN, _KEY_END = _KEY_LINE % "BEGIN", _KEY_LINE % "END"

_AWS_NAME = r"(?i:secret_?(?:access_?)?key|(?:session|security)_?token)" + _IS
_AZURE_NAME = _either(r"(?i:account_?key|shared_?access_?key|shared_?secret_?key)" + _IS, r"\b(?i:sig)(?:=|%3[Dd])")
_AZURE_VALUE = r"[A-Za-z0-9%/+_-]{27,}={0,2}"
_GITLAB_PREFIX = r"(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)"
_HEADER = _either(
    r"(?i:authorization" + _IS + r"(?:bearer|basic|token|digest|negotiate)\s+)",
    r"(?i:(?:private|job|deploy|x-gitlab|x-vault)-token|x-api-key)" + _IS,
    r"\b[Bb]earer\s+",
)
_HEADER_VALUE = r"[A-Za-z0-9._~+/-]{16,}=*"
_USER = _either(":" + _SLASH + "{2}", "(?i:%3A%2F%2F)") + r"[^\s/?#:@\"'<>]*?(?:@[^\s/?#:@\"'<>]*)?(?i::|%3A)"
_AFTER_USER = r"(?:[0-9]*[^\s/?#0-9\"'<>,;|`][^\s/\"'<>`]*|[0-9]+)"
_AT = r"(?:@|%40)"
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"

_NO_ADDRESS = (
    r"(\b(?:git|hg|svn|gitlab))@([A-Za-z0-9])",  # service users of code hosts
    r"([A-Za-z0-9._-])@([A-Za-z0-9.-]+:(?:[/~]|[A-Za-z0-9._-]+/))",  # scp and rsync remotes
    r"(:" + _SLASH + r"{2}[^\s/@:\"'<>]*)@([A-Za-z0-9])",  # user of a URL
    r"([A-Za-z0-9])@([v^~=]?[0-9]+\.[0-9])",  # versions of packages
    r"([A-Za-z0-9])@([1-9]x\.[a-z])",  # images for dense screens
    r"([A-Za-z0-9])@([A-Za-z0-9_.-]+\.(?:service|socket|timer|target|mount|slice|scope)\b)",  # systemd units
)

DETECTORS: tuple[Detector, ...] = (
    Detector("private_key", rf"(?s:{_KEY_BEGIN}.*?(?:{_KEY_END}|\z))", hint=_KEY_BEGIN),
    Detector("jwt", rf"eyJ{_WORD}{{10,}}\.(?:eyJ{_WORD}{{5,}}|{_WORD}{{16,}}\.{_WORD}{{8,}})(?:\.{_WORD}*){{0,3}}"),
    Detector("aws_access_key", r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}", before=r"^|[^A-Z0-9]"),
    Detector("aws_secret_key", r"[A-Za-z0-9/+]{40,}={0,2}", before=_AWS_NAME, hint=_AWS_NAME + r"[A-Za-z0-9/+]{40}"),
    Detector("gcp_api_key", rf"AIza{_WORD}{{35}}", before=r"^|[^A-Za-z0-9+]"),
    Detector("azure_key", _AZURE_VALUE, before=_AZURE_NAME, hint=_AZURE_NAME.replace(r"\b", "") + r"[A-Za-z0-9%/+_-]{27}"),
    Detector("gitlab_token", rf"gl{_GITLAB_PREFIX}-{_WORD}{{10,}}(?:\.{_WORD}+)*"),
    Detector("gitlab_registration_token", rf"GR1348941{_WORD}{{10,}}"),
    Detector("github_token", r"gh[pousr]_[A-Za-z0-9_]{16,}"),
    Detector("github_fine_grained_token", r"github_pat_[A-Za-z0-9_]{20,}"),
    Detector("slack_token", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    Detector(
        "slack_webhook", rf"{_SLASH}[A-Za-z0-9/\\_+-]{{20,}}", before=r"hooks\.slack\.com", hint=rf"hooks\.slack\.com{_SLASH}"
    ),
    Detector("url_password", _AFTER_USER, before=_USER, after=_AT, hint=_USER + _AFTER_USER + _AT),
    Detector("authorization", _HEADER_VALUE, before=_HEADER, hint=_HEADER.replace(r"\b", "") + r"[A-Za-z0-9._~+/-]{16}"),
    Detector(
        "email",
        rf"[A-Za-z0-9][A-Za-z0-9._+'-]*{_AT}(?:{_DOMAIN}\.)+[A-Za-z]{{2,}}",
        hint=rf"[A-Za-z0-9._+'-]{_AT}{_DOMAIN}\.",
        keep=_NO_ADDRESS,
        personal=True,
    ),
)

# A text that was cut may end in half a secret: these forms take what the cut left of one.
CUT: tuple[Detector, ...] = (
    Detector("cut", r"\S+\z", before=_USER),
    Detector("cut", r"[^\s\"'`<>(){}\[\],;|]{8,}\z"),
)

# An ASCII character behind a JSON escape, at any depth of nesting.
ESCAPE = r"\\u00[2-7][0-9A-Fa-f]"


def filter_of(detectors: tuple[Detector, ...]) -> str:
    """One pattern that matches every text in which one of the detectors finds something or in which an escape may hide it."""
    return "|".join([*(d.filter for d in detectors), ESCAPE])


def revision_of(detectors: tuple[Detector, ...]) -> str:
    """12 hex digits that change with any change of the detectors."""
    return hashlib.sha256(repr((detectors, CUT, ESCAPE)).encode()).hexdigest()[:12]


RULES_REVISION = revision_of(DETECTORS)
