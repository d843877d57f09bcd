"""The detectors that the peers of the benchmarks mask with: seventeen patterns for RE2 and Go's regexp, and the same for `re`.

Fewer and simpler than the processor's, which undoes escapes, knows check digits and reads names in front of values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Detector:
    """One kind of text that is replaced by ``[REDACTED:<name>]``.

    ``secret`` goes, ``before`` and ``after`` are context that stays. ``hints`` are short patterns without anchors of which one
    matches in every text with a finding, whatever stands around it: all texts are searched for them, and for the rest where
    one was found. ``keep`` are look-alikes as pairs (before, after), at most four: an ``@`` between the two is no finding. They
    are taken from left to right, and what one covers is no part of the next.
    """

    name: str
    hints: tuple[str, ...]
    secret: str
    before: str = ""
    after: str = ""
    keep: tuple[tuple[str, str], ...] = ()
    personal: bool = False

    @property
    def pattern(self) -> str:
        """Context in groups of its own; without any, a literal beginning stays one, which RE2 finds many times faster."""
        before = f"({self.before})" if self.before else ""
        return before + f"(?:{self.secret})" + (f"({self.after})" if self.after else "")

    @property
    def replacement(self) -> str:
        before = r"\1" if self.before else ""
        after = (r"\2" if self.before else r"\1") if self.after else ""
        return f"{before}[REDACTED:{self.name}]{after}"


def _either(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


_SLASH = r"(?:\\*/)"  # JSON may escape it
_QUOTE = r"[\"'\\]*"
_IS = _QUOTE + r"\s*(?:=>|[:=])\s*" + _QUOTE
_WORD = r"[A-Za-z0-9_-]"  # the alphabet of base64url

_KEY_LINE = r"-{4,5} ?%s (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)? ?-{4,5}"
_KEY_BEGIN, _KEY_END = _KEY_LINE % "BEGIN", _KEY_LINE % "END"

_AWS_NAME = r"(?i:secret_?(?:access_?)?key|session_?token)" + _IS
_AZURE_NAME = _either(r"(?i:acc(?:ount|ess)_?key)" + _IS, "sig(?:=|%3[Dd])")
_GITLAB_PREFIX = r"(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)"
_SCHEME = r"(?i:authorization" + _IS + r"(?:bearer|basic|token|digest|negotiate)\s+)"
_HEADER = r"(?i:(?:private|job|deploy|gitlab|vault|auth|access|api|security)-token|api-key)" + _IS
_USER = _either(":" + _SLASH + "{2}", "(?i:%3A%2F%2F)") + r"[^\s/?#:@\"'<>]*?(?:@[^\s/?#:@\"'<>]*)?(?i::|%3A)"
_NO_ESCAPE = r"\\+[^\s\\bfnrt\"'/]"  # a backslash that is no line end, quote or slash in JSON
_AFTER_USER = rf"(?:[0-9]*(?:[^\s/?#0-9\"'<>,;|`\\]|{_NO_ESCAPE})(?:[^\s/\"'<>`\\]|{_NO_ESCAPE})*|[0-9]+)"
_AT = r"(?:@|%40)"
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"

_JSON_ESCAPE = r"\\(?:[bfnrt]|u[0-9A-Fa-f]{4})"
_NO_ADDRESS = (
    (
        _either(r"\b(?:git|hg|svn|gitlab)", _JSON_ESCAPE, ":" + _SLASH + r"{2}[^\s/@:\"'<>]*"),
        "[A-Za-z0-9]",
    ),  # service users, decorators, URLs
    (
        "[A-Za-z0-9._-]",
        _either(
            r"[A-Za-z0-9.-]+:(?:[/~]|[A-Za-z0-9._-]+/)",  # scp and rsync remotes
            r"[v^~=]?[0-9]+\.[0-9]",  # versions of packages
            r"[1-9]x\.[a-z]",  # images for dense screens
            r"[A-Za-z0-9_.-]+\.(?:service|socket|timer|target|mount|slice|scope)\b",  # systemd units
        ),
    ),
)

# RE2 finds a literal beginning many times faster, in any case of letters too as long as it holds neither k nor s (they have
# look-alikes beyond ASCII): hence the shape of the hints.
DETECTORS: tuple[Detector, ...] = (
    Detector("private_key", ("BEGIN [A-Z0-9 ]*PRIVATE KEY",), rf"(?s:{_KEY_BEGIN}.*?(?:{_KEY_END}|\z))"),
    Detector("aws_secret_key", ("(?i:ecret_?(?:acc|key))", "(?i:ion_?token)"), r"[A-Za-z0-9/+]{40,}={0,2}", _AWS_NAME),
    Detector("azure_key", ("(?i:acc(?:ount|ess)_?key)", "sig(?:=|%3[Dd])"), r"[A-Za-z0-9%/+_-]{27,}={0,2}", _AZURE_NAME),
    Detector("jwt", ("eyJ",), rf"eyJ{_WORD}{{10,}}\.(?:eyJ{_WORD}{{5,}}|{_WORD}{{16,}}\.{_WORD}{{8,}})(?:\.{_WORD}*){{0,3}}"),
    Detector("aws_access_key", ("A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{4}",), "A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}"),
    Detector("gitlab_token", ("gl[a-z]{2,5}-",), rf"gl{_GITLAB_PREFIX}-{_WORD}{{10,}}(?:\.{_WORD}+)*"),
    Detector("gitlab_registration_token", ("GR1348941",), rf"GR1348941{_WORD}{{10,}}"),
    Detector("github_token", ("gh[pousr]_",), r"gh[pousr]_[A-Za-z0-9_]{16,}"),
    Detector("github_fine_grained_token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{20,}"),
    Detector("slack_token", ("xox[a-z]|xapp-",), r"x(?:ox[a-z](?:\.xox[a-z])?|app-[0-9])-[A-Za-z0-9-]{10,}"),
    Detector("slack_webhook", (r"hooks\.slack\.com",), rf"hooks\.slack\.com(?:{_SLASH}[A-Za-z0-9_+-]+){{2,}}"),
    Detector("gcp_api_key", ("AIza",), rf"AIza{_WORD}{{35}}"),
    Detector(
        "url_password", (rf":{_SLASH}{{2}}[^\s/:]*(?::|%3[Aa])", "%3[Aa]%2[Ff]%2[Ff]"), _AFTER_USER, before=_USER, after=_AT
    ),
    Detector("authorization", ("(?i:authorization)",), r"[A-Za-z0-9._~+/-]{4,}=*", before=_SCHEME),
    Detector("bearer_token", (r"(?i:bearer)\s",), r"[A-Za-z0-9._~+/-]{24,}=*", before=r"(?i:bearer)\s+"),
    Detector("header_token", ("-(?i:token|key)",), r"[A-Za-z0-9._~+/-]{16,}=*", before=_HEADER),
    Detector(
        "email",
        hints=("@[A-Za-z0-9]", "%40[A-Za-z0-9]"),
        secret=rf"[A-Za-z0-9][A-Za-z0-9._+'-]*{_AT}(?:{_DOMAIN}\.)+[A-Za-z]{{2,}}",
        before=_JSON_ESCAPE + "|",  # the end of a JSON escape is no part of the address
        keep=_NO_ADDRESS,
        personal=True,
    ),
)

SPACE = r"\t\n\f\r "
FOLDED = {"k": "k\u212a", "s": "s\u017f"}  # letters beyond ASCII that RE2 takes for these where case does not matter
_TOKEN = re.compile(r"\\.|\(\?[a-z]*:|.", re.DOTALL)
_KEPT = "\0"  # no validated text holds one


def spelled(pattern: str) -> str:
    """A pattern of RE2 as `re` (with its flag ASCII) reads it: the end of the text, spaces, letters in any case."""
    out, groups, within = [], [False], False
    for token in _TOKEN.findall(pattern):
        new = {r"\z": r"\Z", r"\s": SPACE if within else f"[{SPACE}]", r"\S": f"[^{SPACE}]"}.get(token, token)
        if token == "[":
            within = True
        elif token == "]":
            within = False
        elif token.startswith("(") and not within:
            groups.append(groups[-1] or "i" in token)
        elif token == ")" and not within:
            groups.pop()
        elif groups[-1] and token.lower() in FOLDED:
            new = FOLDED[token.lower()] if within else f"[{FOLDED[token.lower()]}]"
        out.append(new)
    return "".join(out)


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(spelled(pattern), re.ASCII)


PATTERNS = [(detector, compiled(detector.pattern)) for detector in DETECTORS]
KEEP = {d.name: compiled("|".join(f"({before})@({after})" for before, after in d.keep)) for d in DETECTORS if d.keep}


def masked(text: str, personal: bool) -> str:
    """The text without what the detectors find; e-mail addresses too where ``personal``."""
    for detector, pattern in PATTERNS:
        if personal or not detector.personal:
            text = _replaced(text, detector, pattern)
    return text


def _replaced(text: str, detector: Detector, pattern: re.Pattern[str]) -> str:
    if detector.keep:
        text = KEEP[detector.name].sub(_hidden, text)
    return pattern.sub(detector.replacement, text).replace(_KEPT, "@")


def _hidden(look_alike: re.Match[str]) -> str:
    """A look-alike, its ``@`` put out of sight."""
    parts = [part for part in look_alike.groups() if part is not None]
    return _KEPT.join(parts)
