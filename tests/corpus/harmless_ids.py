"""Tokens that look like secrets or personal data and are not: digests, ids, versions, numbers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from tests.corpus.checksums import ean13, isbn10, luhn, luhn_holds
from tests.corpus.draw import DIGITS, UPPER, Draw
from tests.corpus.marks import Value, harmless

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _digest(d: Draw, name: str) -> str:
    return hashlib.new(name, d.raw(16), usedforsecurity=False).hexdigest()


def digest_base64(d: Draw) -> str:
    name = d.pick(["sha256", "sha384", "sha512"])
    value = base64.b64encode(hashlib.new(name, d.raw(16)).digest()).decode()
    return d.pick([f"{name}-", f"{name.upper()}:", f"{name}="]) + value


def version(d: Draw) -> str:
    return (
        d.pick(["v", ""])
        + f"{d.number(0, 30)}.{d.number(0, 40)}.{d.number(0, 30)}"
        + d.pick(["", "", "-rc.1", "+build.5", ".dev3", "-alpha.2"])
    )


def version_like_ip(d: Draw) -> str:
    return d.pick(
        [
            f"v{d.number(1, 9)}.{d.number(0, 30)}.{d.number(0, 9)}.{d.number(0, 9)}",
            f"Chrome/{d.number(90, 130)}.0.{d.number(4000, 6500)}.{d.number(10, 220)}",
            f"Version={d.number(1, 9)}.{d.number(0, 9)}.0.0",
            f"{d.number(1, 9)}.{d.number(0, 9)}.{d.number(300, 9000)}.{d.number(0, 99)}",
        ]
    )


def package_spec(d: Draw) -> str:
    number = f"{d.number(0, 20)}.{d.number(0, 30)}.{d.number(0, 9)}"
    return d.pick(
        [
            f"@{d.word()}/{d.words(2)}@{number}",
            f"{d.words(2)}@^{number}",
            f"{d.word()}@npm:{d.words(2)}@{number}",
            f"{d.words(2)}=={number}",
            f"{d.word()}[extra]>={number}",
            f"github.com/{d.word()}/{d.word()}@v{number}",
            f"actions/{d.word()}@v{d.number(1, 6)}",
        ]
    )


def semver_range(d: Draw) -> str:
    a, b, c = d.number(0, 9), d.number(0, 30), d.number(0, 9)
    return d.pick(
        [f"^{a}.{b}.{c}", f"~{a}.{b}", f">={a}.{b}.{c} <{a + 1}.0.0", f">={a}.{b},<{a + 2}", f"{a}.x || >={a + 1}.{b}.{c}"]
    )


def scp_remote(d: Draw) -> str:
    return f"git@{d.pick(['git.example.org', 'git.example.com', 'scm.example.net'])}:{d.word()}/{d.words(2)}.git"


def tracking_number(d: Draw) -> str:
    return d.pick(
        [f"1Z{d.text(DIGITS + UPPER, 6)}{d.digits(10)}", f"RR{d.digits(9)}DE", f"JJD0{d.digits(17)}", f"LX{d.digits(9)}NL"]
    )


def order_number(d: Draw) -> str:
    """Passing the Luhn check where no card begins so, failing it where one does; or too short for either."""
    if d.chance(0.4):
        return d.pick(
            [
                f"{d.number(100, 199)}-{d.digits(7)}-{d.digits(7)}",
                f"SO-{d.digits(8)}",
                f"ORD{d.digits(10)}",
                f"INV-202{d.digits(1)}-{d.digits(6)}",
            ]
        )
    if d.chance(0.5):
        body = d.pick("1789") + d.digits(14)
        return body + luhn(body)
    while True:
        number = d.pick("45") + d.digits(15)
        if not luhn_holds(number):
            return number


def ean(d: Draw) -> str:
    body = d.pick(["400", "301", "501", "871", "590"]) + d.digits(9)
    return body + ean13(body)


def isbn(d: Draw) -> str:
    if d.chance(0.5):
        body = d.digits(9)
        return f"{body[0]}-{body[1:5]}-{body[5:]}-{isbn10(body)}"
    body = "978" + d.digits(9)
    return f"978-{body[3]}-{body[4:8]}-{body[8:]}-{ean13(body)}"


def timestamp(d: Draw) -> str:
    return d.pick(
        [
            d.stamp(),
            f"{d.date()} {d.clock()},{d.number(0, 999):03d}",
            str(d.number(1_700_000_000, 1_790_000_000)),
            str(d.number(1_700_000_000_000, 1_790_000_000_000)),
            f"{d.date()}T{d.clock()}+02:00",
            d.date().replace("-", "") + d.clock().replace(":", ""),
        ]
    )


def fingerprint(d: Draw) -> str:
    if d.chance(0.5):
        return "MD5:" + ":".join(d.hexa(2) for _ in range(16))
    return "SHA256:" + d.base64(32).rstrip("=")


def ssh_public_key(d: Draw) -> str:
    if d.chance(0.6):
        return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{d.base64(32)[:43]} {d.user()}@{d.words(2)}"
    return f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC{d.base64(258)} {d.user()}@{d.words(2)}"


def price(d: Draw) -> str:
    a, b, c = d.number(1, 999), d.number(0, 999), d.number(0, 99)
    return d.pick(
        [
            f"€ {a}.{b:03d},{c:02d}",
            f"${a},{b:03d}.{c:02d}",
            f"{a} {b:03d},{c:02d} €",
            f"CHF {a}'{b:03d}.{c:02d}",
            f"{a}.{c:02d} PLN",
        ]
    )


def numbers(d: Draw) -> str:
    """What somebody in a hurry takes for a phone number."""
    low = d.number(1024, 40000)
    return d.pick(
        [
            f"{low}-{low + d.number(1, 99)}",
            f"{d.number(2015, 2020)}-{d.number(2021, 2026)}",
            f"{d.number(640, 3840)}x{d.number(480, 2160)}",
            f"{d.number(1, 9)}/{d.number(10, 99)} ({d.number(10, 99)}.{d.number(0, 9)}%)",
            f"{d.number(100, 999)},{d.digits(3)},{d.digits(3)}",
            f"{d.number(1, 9)}{d.digits(3)}:{d.number(1, 9)}{d.digits(3)}",
            f"{d.number(1, 28):02d}.{d.number(1, 12):02d}.202{d.number(0, 6)}",
            f"{d.number(100, 999)} {d.number(100, 999)} {d.number(100, 999)} bytes",
        ]
    )


def cpp_scope(d: Draw) -> str:
    return d.pick(
        [
            "std::vector",
            f"{d.word()}::{d.word()}::new",
            f"ActiveRecord::{d.word().title()}Error",
            f"arn:aws:iam::{d.pick(['111122223333', '123456789012'])}:role/{d.word()}",
        ]
    )


def base64_image(d: Draw) -> str:
    return "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA" + d.base64(d.number(30, 150))


def base64_text(d: Draw) -> str:
    return base64.b64encode(f"{d.words(d.number(4, 9), ' ')}.".encode()).decode()


_MAKERS: dict[str, tuple[Callable[[Draw], str], str]] = {
    "md5": (lambda d: _digest(d, "md5"), "md5 checksum content_md5"),
    "sha1": (lambda d: _digest(d, "sha1"), "sha1 shasum blob_sha"),
    "sha256": (lambda d: d.pick(["", "", "sha256:"]) + _digest(d, "sha256"), "sha256 digest image_digest file_hash"),
    "sha512": (lambda d: _digest(d, "sha512"), "sha512 integrity_hex content_hash"),
    "digest_base64": (digest_base64, "integrity digest content_digest"),
    "uuid": (lambda d: d.uuid(), "id request_id correlation_id job_id resource_uuid"),
    "git_commit": (lambda d: d.hexa(40), "commit sha git_sha head parent"),
    "git_short": (lambda d: d.hexa(d.number(7, 10)), "short_sha rev build"),
    "version": (version, "version app_version release"),
    "version_like_ip": (version_like_ip, "file_version product_version assembly version"),
    "semver_range": (semver_range, "requires engines python_requires"),
    "package_spec": (package_spec, "package uses dependency resolved"),
    "scp_remote": (scp_remote, "remote origin repository repo_url"),
    "systemd_unit": (
        lambda d: f"{d.word()}@{d.pick(['tty1', '1', d.word()])}.{d.pick(['service', 'timer', 'socket'])}",
        "unit after service",
    ),
    "retina_image": (lambda d: f"{d.words(2)}@{d.pick('23')}x.{d.pick(['png', 'webp', 'jpg'])}", "icon image asset"),
    "trace_id": (lambda d: d.hexa(32), "trace_id traceId otel_trace_id"),
    "span_id": (lambda d: d.hexa(16), "span_id parent_span_id"),
    "traceparent": (lambda d: f"00-{d.hexa(32)}-{d.hexa(16)}-01", "traceparent"),
    "ulid": (lambda d: "01" + d.text(CROCKFORD, 24), "ulid event_ulid id message_id"),
    "snowflake": (lambda d: str(d.number(10**17, 10**18 + 4 * 10**17)), "snowflake tweet_id channel_id guild_id"),
    "object_id": (lambda d: d.hexa(24), "_id object_id document_id"),
    "base64_image": (base64_image, "logo avatar thumbnail"),
    "base64_text": (base64_text, "body_base64 payload content"),
    "isbn": (isbn, "isbn"),
    "ean": (ean, "ean gtin barcode"),
    "tracking_number": (tracking_number, "tracking_number shipment parcel"),
    "order_number": (order_number, "order_number order_id invoice reference"),
    "timestamp": (timestamp, "created_at updated_at ts expires"),
    "coordinates": (
        lambda d: f"{d.number(-80, 80)}.{d.digits(6)}, {d.number(-170, 170)}.{d.digits(6)}",
        "location latlng center",
    ),
    "cache_key": (lambda d: f"{d.word()}-{d.hexa(d.pick([32, 40, 64]))}", "cache_key restore_key cacheKey"),
    "idempotency_key": (lambda d: d.pick([d.uuid(), d.hexa(32), d.alnum(24)]), "idempotency_key Idempotency-Key idempotencyKey"),
    "revision_id": (
        lambda d: d.pick([d.hexa(12), f"{d.number(1, 40)}-{d.hexa(32)}", d.hexa(40)]),
        "revision revision_id down_revision _rev",
    ),
    "etag": (lambda d: d.pick([f"W/{d.hexa(16)}", d.hexa(32), f"{d.hexa(32)}-{d.number(2, 9)}"]), "etag ETag if_none_match"),
    "nonce": (lambda d: d.pick([d.base64(16), d.hexa(24), d.base64url(18)]), "nonce csp_nonce script_nonce"),
    "public_key": (ssh_public_key, "public_key ssh_public_key authorized_key"),
    "fingerprint": (fingerprint, "fingerprint host_key_fingerprint"),
    "css_colour": (lambda d: "#" + d.hexa(d.pick([3, 6, 8])), "color background border"),
    "memory_address": (lambda d: "0x" + d.hexa(d.pick([8, 12, 16])), "address ptr object at"),
    "price": (price, "total price amount"),
    "number_range": (numbers, "range size ports progress"),
    "scope_name": (cpp_scope, "type class role_arn"),
    "pod_name": (lambda d: f"{d.service()}-{d.hexa(9)}-{d.text('bcdfghjklmnpqrstvwxz2456789', 5)}", "pod instance hostname"),
    "ssh_target": (lambda d: f"{d.user()}@{d.words(2)}", "target host jump"),
    "loopback": (lambda d: d.pick(["127.0.0.1", "0.0.0.0", "::1", "255.255.255.0", "localhost:8080"]), "bind listen netmask"),
}

KINDS = tuple(_MAKERS)


def made(d: Draw, kind: str) -> Value:
    make, names = _MAKERS[kind]
    text = make(d)
    return Value(harmless(text, kind), tuple(names.split()), names.split()[0].replace("_", " "))
