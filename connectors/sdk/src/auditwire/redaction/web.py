"""Secrets of the web: headers, cookies, userinfo and queries of URLs, shared access signatures, keys of clouds by name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from auditwire.redaction import shapes
from auditwire.redaction.detector import Detector

_IS = r"[\"']?\s{0,8}(?:=>|[:=,])\s{0,8}[\"']?"
_VALUE = r"[A-Za-z0-9._~+/%-]"


def _password_of_url(match: re.Match[str]) -> bool:
    value = match["s"].partition("@")[0]  # what follows may be hosts, and "example" in one says nothing of the password
    return not (shapes.placeholder(value) or value.lower() in ("password", "pass", "pwd", "passwd", "secret", "token"))


def _authorized(match: re.Match[str]) -> bool:
    value = match["s"]
    return not (shapes.placeholder(value) or shapes.words(value)) or (match["scheme"].lower() == "basic" and _basic_text(value))


def _basic_text(value: str) -> bool:
    try:
        read = base64.b64decode(value + "=" * (-len(value) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return ":" in read and read.isprintable()


def _basic(match: re.Match[str]) -> bool:
    return _basic_text(match["s"])


def _drawn(match: re.Match[str]) -> bool:
    return shapes.random(match["s"])


def _drawn_short(match: re.Match[str]) -> bool:
    return shapes.random(match["s"], 10)


_COOKIE = re.compile(
    r"(?i)(?:\b(?:set-)?cookies?\b[\"']?\s{0,4}(?:=>|[:=,])\s{0,4}[\"'`]?|\s(?:-b|--cookie)[ =][\"']?)([^\n\"'`]{3,4000})"
)
_PAIR = re.compile(r"([A-Za-z0-9_.$%-]{1,80})=([^;,\s\"'&]{6,})")
_ATTRIBUTES = frozenset(["path", "domain", "expires", "max-age", "samesite", "version", "secure", "httponly", "priority"])
_SESSION = re.compile(r"(?i)sess|sid|auth|token|jwt|remember|csrf|xsrf|login|user|identity|key|id$")


def _cookies(text: str) -> Iterator[tuple[int, int]]:
    for match in _COOKIE.finditer(text):
        for pair in _PAIR.finditer(text, match.start(1), match.end(1)):
            name, value = pair.groups()
            if name.lower() in _ATTRIBUTES or not (
                shapes.random(value, 12) or (_SESSION.search(name) and shapes.random(value, 8))
            ):
                continue
            if name.startswith(("_ga", "_gid")):
                continue
            yield pair.span(2)


_HEADER = (
    r"(?i)(?<![A-Za-z0-9_?&#-])(?:x-)?(?P<name>[a-z]{1,20}-){0,3}(?:token|api-?key|apikey|secret|(?:auth|access|functions|subscription|master|app|admin)-key)"
    + _IS
    + rf"(?P<s>{_VALUE}{{10,}}=*)"
)


def _header(match: re.Match[str]) -> bool:
    name = (match["name"] or "").lower()
    return name[:-1] not in shapes.NO_SECRET_OF and shapes.random(match["s"], 10)


_AWS = re.compile(r"(?<![A-Za-z0-9/+=_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])")
_AWS_NEAR = re.compile(r"A[KS]IA[A-Z0-9]{4}|(?i:aws|secret.{0,3}access|secret_?key)")


def _aws_secrets(text: str) -> Iterator[tuple[int, int]]:
    """40 characters of base64 near the id of a key, or near the word."""
    for match in _AWS.finditer(text):
        value = match[0]
        if (
            shapes.HEX.fullmatch(value)
            or value.count("/") > 6
            or not re.search("[A-Z].*[a-z]|[a-z].*[A-Z]", value)
            or not re.search("[0-9]", value)
        ):
            continue
        if _AWS_NEAR.search(text, max(0, match.start() - 300), match.end() + 150):
            yield match.span()


def _azure_near(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 150) : match.start()].lower()
    return (
        any(word in before for word in ("azure", "storage", "account", "cosmos", "eventhub", "servicebus", "key"))
        and "sha512" not in before[-12:]
    )


def _long_random(match: re.Match[str]) -> bool:
    return not shapes.placeholder(match["s"])


_KEYS = re.compile(
    r"(?:(?:api|access|secret|auth|private|app|client|sub|subscription|account|service|functions|host|master|shared|x)[_-]?)?key"
)


def _query(match: re.Match[str]) -> bool:
    value, name = match["s"], match["key"].lower()
    if re.split("[_-]", name)[0] in shapes.NO_SECRET_OF:
        return False
    if name.endswith("key") and not _KEYS.fullmatch(name):
        return False
    if name in ("key", "code", "hash", "auth", "t", "k") and (shapes.digest(value) and name not in ("key", "auth")):
        return False
    return shapes.random(value, 10 if name not in ("code", "key") else 16)


WEB: tuple[Detector, ...] = (
    Detector(
        "jwt",
        ("eyj",),
        r"(?:(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}|eyJ[A-Za-z0-9_-]{10,4000})\.(?:eyJ[A-Za-z0-9_-]{5,}|[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{8,})(?:\.[A-Za-z0-9_-]*){0,3}"
        r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{24,}\Z",
        exact=True,
    ),
    Detector(
        "aws_secret_key",
        ("secret", "session"),
        rf"(?i:secret_?(?:access_?)?key|session_?token)[\"'\]]{{0,3}}{_IS}(?P<s>[A-Za-z0-9/+]{{40,}}={{0,2}})",
    ),
    Detector("aws_secret_key", (), finder=_aws_secrets, rough=r"A[KS]IA[A-Z0-9]{4}|(?i:aws|secret.{0,3}access|secret_?key)"),
    Detector(
        "azure_key",
        (),
        rf"(?:(?i:acc(?:ount|ess)_?key){_IS}|\bsig(?:=|%3[Dd]))(?P<s>[A-Za-z0-9%/+_-]{{27,}}={{0,2}})",
        check=_long_random,
        rough=r"(?i:acc(?:ount|ess)_?key)|\bsig(?:=|%3[Dd])",
    ),
    Detector("azure_key", ("==",), r"(?<![A-Za-z0-9+/=-])[A-Za-z0-9+/]{86}==", check=_azure_near),
    Detector(
        "url_password",
        ("://", ":\\/\\/", "%3a%2f%2f"),
        r":/{2}[^\s/?#:@\"'<>]{0,200}(?:@[^\s/?#:@\"'<>]{0,200})?:(?P<s>[0-9]*[^\s/?#0-9\"'<>,;|`][^\s/\"'<>`]{0,300}|[0-9]+)@(?=[A-Za-z0-9\[_-])",
        check=_password_of_url,
    ),
    Detector(
        "url_password",
        ("%3a%2f%2f",),
        r"(?i:%3A%2F%2F)[^\s/?#:@\"'<>%]{0,100}(?::|%3[Aa])(?P<s>[^\s/\"'<>`@]{1,300}?)(?:%40|@)(?=(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+(?:%|/|[:?\s\"'&]|\Z))",
        check=_password_of_url,
    ),
    Detector(
        "slack_webhook",
        ("hooks.slack.com",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*)",
    ),
    Detector(
        "authorization",
        ("authorization",),
        rf"[Aa](?i:uthorization){_IS}(?P<scheme>(?i:bearer|basic|token|digest|negotiate|apikey|api-key|ssws|bot|key|splunk))\s{{1,4}}(?:token=)?[\"']?(?P<s>{_VALUE}{{4,}}=*)",
        check=_authorized,
    ),
    Detector("authorization", ("authorization",), rf"[Aa](?i:uthorization){_IS}(?P<s>{_VALUE}{{16,}}=*)", check=_drawn),
    Detector("authorization", ("basic",), r"[Bb](?<!\w[Bb])(?i:asic)\s{1,4}(?P<s>[A-Za-z0-9+/]{8,}={0,2})", check=_basic),
    Detector("bearer_token", ("bearer",), rf"[Bb](?<!\w[Bb])(?i:earer)[\"':=\s]{{1,4}}(?P<s>{_VALUE}{{16,}}=*)", check=_drawn),
    Detector("header_token", ("token", "key", "secret"), _HEADER, check=_header),
    Detector("cookie", (), finder=_cookies, rough=r"(?i:cookie)|(?:\s|\\[nrt])-b[ =]"),
    Detector(
        "url_token",
        ("x-amz-sig", "x-goog-sig", "x-oss-sig"),
        r"(?i:x-(?:amz|goog|oss)-signature)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?P<s>[0-9A-Fa-f]{64,})",
    ),
    Detector(
        "url_token",
        tuple(
            f"{name}="
            for name in [
                "token",
                "key",
                "auth",
                "sig",
                "signature",
                "secret",
                "password",
                "passwd",
                "pwd",
                "jwt",
                "session",
                "sessionid",
                "sid",
                "code",
                "credential",
                "sso",
                "otp",
                "ticket",
                "invite",
            ]
        ),
        r"(?i)[?&#](?:amp;)?(?P<key>(?:[a-z]{1,16}[_-])?(?:token|api_?key|key|auth|sig|signature|secret|password|passwd|pwd|jwt|session(?:id)?|sid|code|credential|sso|otp|ticket|invite))=(?P<s>[^&#\s\"'<>`\\)\]},;]{6,})",
        check=_query,
    ),
)
