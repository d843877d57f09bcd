"""Every part of the pipeline as a process of the stack, with its own settings and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from infra.stack import servers
from infra.stack.server import HOST, Place, Server, StackError, http_status
from pipeline import settings

PARTS = tuple(settings.PARTS)


class Part(Server):
    """One part: ``python -m pipeline NAME``. It is ready when its /healthz says so."""

    def __init__(self, place: Place, name: str, environment: Mapping[str, str], argv: list[str] | None = None) -> None:
        self.name = name
        super().__init__(place)
        self.needs = tuple(servers.ALL)
        self._environment = dict(environment)
        self._argv = argv or [sys.executable, "-m", "pipeline", name]

    def prepare(self) -> None:
        pass

    def command(self) -> list[str]:
        return self._argv

    def environment(self) -> dict[str, str]:
        return self._environment

    @property
    def admin(self) -> str:
        """URL of the part's /healthz and /metrics."""
        return f"http://{self._environment['AUDITWIRE_ADMIN_LISTEN']}"

    def ready(self) -> bool:
        return http_status(f"{self.admin}/healthz") == 200

    @property
    def endpoint(self) -> str:
        listen = self._environment.get(f"AUDITWIRE_{self.name.upper()}_LISTEN")
        return f"http://{listen}" if listen else f"{self.admin}/metrics"


def environment_of(part: str, env: Mapping[str, str], place: Place) -> dict[str, str]:
    """The settings of one part out of ``env``, with an address of its own for /healthz and /metrics.

    Raises StackError: a setting is missing or impossible.
    """
    model = settings.PARTS[part]
    admin = {"AUDITWIRE_ADMIN_LISTEN": f"{HOST}:{place.state.ports[part + '_admin']}"}
    return only(model, {**env, **admin})


def only(model: type[settings.Common], env: Mapping[str, str]) -> dict[str, str]:
    """Of ``env`` what ``model`` reads. Raises StackError: what it reads is missing or impossible."""
    mine = {k: v for k, v in env.items() if k in settings.names_of(model) and v != ""}
    try:
        settings.load(model, mine)
    except settings.SettingsError as exc:
        raise StackError(str(exc)) from None
    return mine
