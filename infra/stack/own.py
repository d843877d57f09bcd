"""Where the servers are: started here, or the user's own, named by settings."""

from __future__ import annotations

from collections.abc import Mapping

from infra.stack.server import StackError
from pipeline import settings

OWN = (
    "AUDITWIRE_KAFKA_BOOTSTRAP",
    "AUDITWIRE_SCHEMA_REGISTRY_URL",
    "AUDITWIRE_CLICKHOUSE_URL",
    "AUDITWIRE_S3_ENDPOINT",
    "AUDITWIRE_EXPORT_POSTGRES_DSN",
    "AUDITWIRE_ADMIN_POSTGRES_DSN",
)
_ADDRESSES = ("AUDITWIRE_INGEST_LISTEN", "AUDITWIRE_EXPORT_LISTEN")
_HERE = ("AUDITWIRE_STATE_DIR", "AUDITWIRE_CACHE_DIR", "AUDITWIRE_ADMIN_LISTEN")


def uses_own_servers(environ: Mapping[str, str]) -> bool:
    """True: every server is named by the user, so nothing is started here; False: none is.

    Raises StackError when only some are, or when a name that nobody reads is set: guessing would mix two worlds.
    """
    if unknown := settings.unknown_names(environ):
        said = " ".join(f"{name}: no part reads this.{hint}" for name, hint in unknown.items())
        raise StackError(f"{said} Unset it or correct its name (docs/configuration.md).")
    given = [n for n in OWN if environ.get(n)]
    if given and len(given) < len(OWN):
        missing = ", ".join(n for n in OWN if n not in given)
        raise StackError(
            f"{', '.join(given)} set, but not {missing}. For servers of your own set all of them; for the local stack unset all "
            "(a shell that has read .auditwire/env has some of them: use another one)."
        )
    return bool(given)


def settings_for(environ: Mapping[str, str], local: Mapping[str, str], own_servers: bool) -> dict[str, str]:
    """Every setting: with servers of the user's own what the user set, completed by our listen addresses and files;

    with local servers the stack's own, completed by the user's tuning. Addresses to listen on are always the user's, if set.
    """
    mine = {n: v for n, v in environ.items() if n.startswith(settings.PREFIX) and n not in _HERE and v}
    if own_servers:
        ours = [n for n in local if n.endswith(("_LISTEN", "_FILE", "_DIR"))]
        return {**{n: local[n] for n in ours}, **mine}
    return {**mine, **local, **{n: mine[n] for n in _ADDRESSES if n in mine}}
