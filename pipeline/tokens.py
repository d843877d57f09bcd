"""`auditwired token new`: a new token for the receiver or the export service, and the entry that makes it known.

The token is shown once and stored nowhere; the file holds its SHA-256 only.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets
import sys

from pipeline.ingest.auth import SOURCE, TENANT

# GitLab takes secret tokens of 16 to 24 characters only: 18 random bytes are 24 characters (144 bits).
SOURCE_TOKEN_BYTES = 18
PRINCIPAL_TOKEN_BYTES = 32
RIGHTS = ("extract",)
PRINCIPAL = re.compile(r"[A-Za-z0-9_.@+-]{1,128}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`new` with either --tenant and --source, or --principal and --tenants."""
    new = parser.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "new", help="print a new token, and its entry for the tokens or principals file"
    )
    new.add_argument("--tenant", help="receiver: tenant that the token's events belong to")
    new.add_argument("--source", help="receiver: name of the system that sends them, such as gitlab")
    new.add_argument("--principal", help="export service: name of the person or service")
    new.add_argument("--tenants", help="export service: tenants it may read, comma separated")
    new.add_argument("--rights", default="extract", help="export service: rights, comma separated (default: extract)")


def run(args: argparse.Namespace) -> int:
    """0 after printing; 2 where the arguments do not fit together."""
    wrong = _wrong(args)
    if wrong:
        sys.stderr.write(f"auditwired token new: {wrong}\n")
        return 2
    if args.principal:
        token = secrets.token_urlsafe(PRINCIPAL_TOKEN_BYTES)
        entry = principal_entry(args.principal, _names(args.tenants), _names(args.rights), token)
        place = "AUDITWIRE_EXPORT_PRINCIPALS_FILE"
    else:
        token = secrets.token_urlsafe(SOURCE_TOKEN_BYTES)
        entry = source_entry(args.tenant, args.source, token)
        place = "AUDITWIRE_INGEST_TOKENS_FILE"
    sys.stderr.write("The token, shown this once:\n")
    sys.stdout.write(token + "\n")
    sys.stderr.write(f"Add this entry to the file in {place}; a running part reads it by itself:\n")
    sys.stdout.write(entry)
    return 0


def token_sha256(token: str) -> str:
    """What a file stores of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def source_entry(tenant: str, source: str, token: str) -> str:
    """YAML list item of the receiver's tokens file."""
    return f'- tenant: "{tenant}"\n  source: "{source}"\n  token_sha256: "{token_sha256(token)}"\n'


def principal_entry(name: str, tenants: list[str], rights: list[str], token: str) -> str:
    """YAML list item of the export service's principals file."""
    quoted = ", ".join(f'"{tenant}"' for tenant in tenants)
    return f'- name: "{name}"\n  tenants: [{quoted}]\n  rights: [{", ".join(rights)}]\n  token_sha256: "{token_sha256(token)}"\n'


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _wrong(args: argparse.Namespace) -> str | None:
    """What is wrong with the arguments, in one sentence."""
    if bool(args.principal) == bool(args.tenant or args.source):
        return "give --tenant T --source S for the receiver, or --principal NAME --tenants A,B for the export service"
    unknown = set(_names(args.rights)) - set(RIGHTS)
    if unknown:
        return f"--rights knows only {', '.join(RIGHTS)}"
    tenants = _names(args.tenants or "") if args.principal else [args.tenant or ""]
    if not tenants or not all(TENANT.fullmatch(tenant) for tenant in tenants):
        return "a tenant's id is 1 to 64 small letters, digits, dots, dashes or underscores (--tenant, --tenants)"
    if args.principal and not PRINCIPAL.fullmatch(args.principal):
        return "--principal must be 1 to 128 letters, digits or _ . @ + -"
    if not args.principal and not SOURCE.fullmatch(args.source or ""):
        return "--source must be 1 to 64 letters, digits, dots, dashes or underscores"
    return None
