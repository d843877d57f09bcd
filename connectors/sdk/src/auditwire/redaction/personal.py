"""Addresses of people and machines: e-mail, IPv4, IPv6, MAC."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from auditwire.redaction.detector import Detector

_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+'-"
_AT = re.compile("@|%40")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_SERVICE_USERS = frozenset(("git", "hg", "svn", "gitlab", "bzr"))
_REMOTE = re.compile(r":(?:[/~]|[A-Za-z0-9._-]+/)|'s password|[/~#$]|[ ][~/A-Za-z0-9._-]{1,60}\][#$]")
_TARGET = re.compile(
    r"\b(?:ssh|sftp|mosh|ssh-copy-id|autossh|sshfs|ssh-keyscan)(?:\s{1,4}-[^\s@]{1,60}(?:[ =][^\s@-][^\s@]{0,80})?){0,6}\s{1,4}[\"']?\Z"
)
_TARGETS = re.compile("ssh|sftp|mosh")
_NO_HOST = re.compile(
    r"(?i)[v^~=]?[0-9]+\.[0-9]|[1-9]x\.[a-z]|[a-z0-9_.-]+\.(?:service|socket|timer|target|mount|slice|scope|path|device|automount|swap|png|jpe?g|gif|webp|svg|avif)(?![a-z0-9.])"
)
_URL = re.compile(r"://[^\s/@\"'<>]{0,200}\Z")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for sign in _AT.finditer(text):
        host = _HOST.match(text, sign.end())
        if host is None:
            continue
        near = text[max(0, sign.start() - 80) : sign.start()]
        local = near[len(near.rstrip(_LOCAL)) :].lstrip("._+'-")
        if (
            local
            and text[sign.start() - len(local) - 1 : sign.start() - len(local)] != "%"
            and _is_person(text, local, host, sign.start() - len(local))
        ):
            yield sign.start() - len(local), host.end()


def _is_person(text: str, local: str, host: re.Match[str], start: int) -> bool:
    """Not a user of a repository, a target of ssh, a user of a URL, a version, an image or a unit of systemd."""
    if local.lower() in _SERVICE_USERS or _NO_HOST.match(host[0]) or _REMOTE.match(text, host.end()):
        return False
    near = text[max(0, start - 210) : start]
    if "://" in near and _URL.search(text, max(0, start - 200), start):
        return False
    return not (_TARGETS.search(near) and _TARGET.search(text, max(0, start - 160), start))


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"(?<![\w.])(?<![\w.][-+~^])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w]|\.[0-9]|[-+](?:rc|beta|alpha|[0-9]+[.-]))"
_VERSION_BEFORE = re.compile(
    r"(?i)(?:\bversions?|\bver|\bv|\brelease[ds]?|\bbuild|\brev|\brevision|\bfirmware|\bdriver|\bsection|\bchapter|\bupgrade[d]?(?: to| from)?|\bupdate[d]? to|\bfile_?version|product_?version|assembly_?version|\bfrom version|\bpatch|\bschema|[=~<>!]=|[~^@]|[A-Za-z]/|[A-Za-z]-|§)[\"']?\s{0,3}[=:]?\s{0,3}[\"'(]?\Z"
)
_ADDRESS_BEFORE = re.compile(
    r"(?i)(?:\bip|addr|address|host|client|remote|from|peer|server|dns|ping|src|dst|source|dest|gateway|x-real|forwarded|listen|node|login|://|@|inet)[^\n]{0,25}\Z"
)


def _ipv4(match: re.Match[str]) -> bool:
    value, text, start = match[0], match.string, match.start()
    first, second, third, last = map(int, value.split("."))
    if first in (0, 127, 255) or value.endswith(".0.0.0") or (first == 255) or value in ("255.255.255.255",) or first >= 224:
        return False
    if _VERSION_BEFORE.search(text, max(0, start - 28), start):
        return False
    if first < 10 or max(first, second, third, last) < 20:
        return _ADDRESS_BEFORE.search(text, max(0, start - 40), start) is not None or text[match.end() : match.end() + 1] == ":"
    return True


_IPV6 = r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}|::){1,8}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:])"


def _ipv6(match: re.Match[str]) -> bool:
    value = match[0]
    if value.count(":") < 2:
        return False
    try:
        address = ipaddress.IPv6Address(value.rstrip(":") if value.endswith(":") and not value.endswith("::") else value)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    head = int(address) >> 112
    return 0x2000 <= head <= 0x3FFF or 0xFC00 <= head <= 0xFDFF or head in (0xFE80, 0x64) or address.ipv4_mapped is not None


_MAC = (
    r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}(?P<m>[:-])(?:[0-9A-Fa-f]{2}(?P=m)){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z]|[:-][0-9A-Fa-f])"
    r"|(?<![0-9A-Za-z.-])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![0-9A-Za-z.-])"
)


def _mac(match: re.Match[str]) -> bool:
    digits = re.sub("[^0-9a-f]", "", match[0].lower())
    if len(set(digits)) < 3:
        return False
    return not digits.isdecimal() or match["m"] == ":"


PERSONAL: tuple[Detector, ...] = (
    Detector("email", ("@", "%40"), finder=_emails, personal=True),
    Detector("ip_address", (), _IPV4, check=_ipv4, rough=r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", personal=True),
    Detector("ip_address", (), _IPV6, check=_ipv6, rough=r"[0-9A-Fa-f]{1,4}:(?::|[0-9A-Fa-f]{1,4}:)", personal=True),
    Detector(
        "mac_address",
        (),
        _MAC,
        check=_mac,
        rough=r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.",
        personal=True,
    ),
)
