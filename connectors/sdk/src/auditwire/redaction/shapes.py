"""What a value looks like: a secret somebody drew, or a word, a placeholder, a reference, a path, a version."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import unquote

_PLACEHOLDER = re.compile(
    r"""(?ix)
    \[REDACTED.*
    | <[^>]*>? | \{.* | \$\{.* | \$\(.* | \$[A-Z_][A-Z0-9_]*\$? | %[({]?[A-Za-z_]+[)}]?[s%]? | @[A-Za-z_.]+@? | __\w+__ | :[a-z_]+ | \#\{.*
    | [*x.•\-_=?]{2,} | x{3,}[a-z0-9]{0,6} | [A-Za-z0-9]{0,12}[*•…]{3,}.* | [A-Za-z0-9_-]{0,14}x{5,}[A-Za-z0-9_-]* | .*\.\.\. | .*…
    | (?:your|my|the|some|any|insert|put|enter|add|replace|change|set|fill)[-_ ]?[\w -]*
    | change[-_]?(?:me|it|this)\d* | replace[-_]?(?:me|this|with).* | to[-_]?do | fix[-_]?me | tbd | redacted | masked | hidden | removed | omitted | filtered
    | (?:sk|pk|gh[a-z]|glpat|xox[a-z]|AKIA)?[-_]?(?:example|sample|dummy|fake|placeholder|test|demo)(?:[-_]?(?:token|key|secret|password|value|only|\d))*
    | .*(?:EXAMPLE|PLACEHOLDER|placeholder|CHANGEME|changeme|your[-_]|YOUR[-_]).*
    | null | none | nil | true | false | yes | no | on | off | undefined | empty | unset | n/a | required | optional | string | str | int | integer | bytes | boolean | any
    | 0+ | 1234?5?6?7?8? | \(.*\)
    """
)
_REFERENCE = re.compile(
    r"""(?x)
    .*(?:[Pp]assword|[Pp]wd)=(?:\*|<|\$|\{).* | (?:vault|op|aws|gcp|azure|ssm|sm|secret|secrets|env|file|ref|keyring|keychain|sops|kms|doppler|infisical|awssm|gcpsm|akv|consul|arn|projects|system|config|param|resolve):.*
    | (?:arn|projects|/|\./|\../|~/|[A-Za-z]:\\|https?://|s3://|gs://).*
    | .*(?:\benv\b|ENV\[|environ|getenv|process\.env|secrets\.|os\.|vault|Vault|var\.|local\.|data\.|module\.|self\.|this\.|config\.|settings\.|params\.|request\.|req\.|ctx\.|args\.|options\.|opts\.|creds\.|keyring|getpass|input\(|prompt|valueFrom|secretKeyRef|SecretManager|secretsmanager|keyvault).*
    | [A-Za-z_][\w.]*\(.* | [A-Za-z_]\w*\[.* | [a-z_]+(?:\.[A-Za-z_]+)+
    | .*\.(?:pem|key|crt|cer|p12|pfx|jks|json|ya?ml|toml|txt|env|gpg|enc|py|js|ts|rb|go|java|html?|md|sh|conf|cfg|ini|log|xml|csv|sql)
    """
)
_WORDS = re.compile(r"(?:[A-Za-z]?[a-z]*|[A-Z]+)(?:[-_. /:+#][A-Za-z]?[a-z]*|[-_. /:+#][A-Z]+|[A-Z][a-z]+){0,8}[-_.:]?")
_VERSION = re.compile(
    r"[v^~=<>]{0,2}[0-9]+(?:\.[0-9x*]+)+(?:[-+][0-9A-Za-z.-]+)?|[0-9]+(?:ms|s|m|h|d|w|min|days?|hours?|MB|KB|GB|%)?"
)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.Z+-]*)?|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}"
)
NO_SECRET_OF = frozenset(  # a token or key of these is drawn, but opens nothing
    ("page", "next", "continuation", "cancel", "sync", "idempotency", "cache", "public", "pagination", "resume", "skip", "delta")
)
UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+|(?:[a-z0-9-]+\.)+[a-z]{2,}(?::[0-9]+)?(?:/.*)?")
_NAME_NUMBER = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z]+)*[-_]?[0-9]{1,3}|[A-Za-z]+-?[0-9]+(?:-[A-Za-z]+)*|[A-Z]{2,10}-[0-9]+")
HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
DIGESTS = (32, 40, 56, 64, 96, 128)


_BEGIN = re.compile("your|my|the|some|any|insert|put|enter|add|replace|change|set|fill|arn|projects")
_WITHIN = re.compile(
    "xxx|example|sample|dummy|fake|placeholder|test|demo|changeme|env|vault|keyring|getpass|prompt|valuefrom|secretkeyref|secretmanager"
    "|secretsmanager"
)


def _plainly_drawn(value: str) -> bool:
    """Letters and digits, some of each, that none of the patterns for something else can match; most tokens are such."""
    if not (value.isascii() and value.isalnum()) or value.isalpha() or value.isdigit() or len(value) < 8:
        return False
    lower = value.lower()
    return not (_BEGIN.match(lower) or _WITHIN.search(lower))


def placeholder(value: str) -> bool:
    """Stands for a secret without being one."""
    if _plainly_drawn(value):
        return False
    if "\ufffc" in value or _PLACEHOLDER.fullmatch(value):
        return True
    return "%" in value and _PLACEHOLDER.fullmatch(unquote(value)) is not None


def reference(value: str) -> bool:
    """Says where the secret is kept, or is code that fetches it."""
    return _REFERENCE.fullmatch(value) is not None and not _slashed(value)


_SLASHED = re.compile(
    r"/(?=[A-Za-z+/]*[0-9])(?=[a-z0-9+/]*[A-Z])(?=[A-Z0-9+/]*[a-z])(?:[A-Za-z0-9+/]{18,}={1,2}|[A-Za-z0-9+/]{31,})(?![A-Za-z0-9+/=._~%@:-])"
)
_STEP = re.compile(r"/[A-Za-z]?[a-z]{2,}[0-9]{0,3}(?![^/])")  # of a path


def _slashed(value: str) -> bool:
    """Begins with base64 that begins with a slash: it ends in padding, or no step of it is a word."""
    found = _SLASHED.match(value) if value[:1] == "/" else None
    return found is not None and (found[0][-1] == "=" or not _STEP.search(found[0]))


def digest(value: str) -> bool:
    """Hexadecimal of the length of a digest, or a UUID."""
    return (len(value) in DIGESTS and HEX.fullmatch(value) is not None) or UUID.fullmatch(value) is not None


def words(value: str) -> bool:
    """One word or several, in any of the ways code joins them."""
    return _WORDS.fullmatch(value) is not None and not _jumbled(value)


def _jumbled(value: str) -> bool:
    """Letters that change their case more often than words do."""
    changes = sum(a.islower() and b.isupper() for a, b in pairwise(value) if a.isalpha() and b.isalpha())
    return changes >= 3 and changes * 5 > len(value)


_CODE = re.compile(
    r"(?:^|[+;,(){}])[A-Za-z_$][\w$]*\.[a-z]\w*[;,)=+]|![01][,}\]]|null\}|=>|\}[;,]|\|\||&&|[;}][a-z]+[.=({]|[)]\.[a-z]+\(|;[A-Za-z]\w*="
)
_ASSIGNMENT = re.compile(r"[A-Za-z]?[a-z_]{2,}=[\w.-]*")


def _no_value(value: str) -> bool:
    """A placeholder, words, a part of a program, another assignment."""
    return placeholder(value) or words(value) or _CODE.search(value) is not None or _ASSIGNMENT.fullmatch(value) is not None


def password(value: str) -> bool:
    """May be a password, given that its name says so."""
    if _plainly_drawn(value):
        return len(value) <= 400
    if not 4 <= len(value) <= 400 or value != value.strip() or _no_value(value):
        return False
    return not (reference(value) or _DATE.fullmatch(value) or (_VERSION.fullmatch(value) and len(value) < 6))


def random(value: str, least: int = 16) -> bool:
    """A token somebody drew: long, without spaces, of letters and digits."""
    if len(value) < least:
        return False
    if _plainly_drawn(value):
        return True
    if value != value.strip() or reference(value) or _no_value(value):
        return False
    digits = any(c.isdigit() for c in value)
    return (digits or _jumbled(value)) and any(c.isalpha() for c in value) and not _DATE.fullmatch(value)


_OPAQUE = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_PAIR = re.compile(r"[A-Za-z_][\w.-]*=|.*(?:\}\}|;\w+=)|(?:[A-Z]+[a-z]+[0-9]{0,3}){2,}")


def spoken(value: str) -> bool:
    """Looks like a password inside a sentence: letters with digits or signs, and nothing that sentences also hold."""
    if not 6 <= len(value) <= 200 or _no_value(value) or UUID.fullmatch(value):
        return False
    value = value.strip("?!*&#")
    if words(value):
        return False
    letters, digits = any(c.isalpha() for c in value), any(c.isdigit() for c in value)
    if _OPAQUE.fullmatch(value) and letters and digits and value.count("/") < 4 and not value.endswith("/"):
        return True
    if reference(value) or _VERSION.fullmatch(value) or _DATE.match(value) or _ADDRESS.fullmatch(value) or _PAIR.match(value):
        return False
    return letters and (digits or any(c in "!@#$%^&*+=?~" for c in value))


def named_thing(value: str) -> bool:
    """A machine, a ticket, an algorithm: words with a number."""
    return _NAME_NUMBER.fullmatch(value) is not None
