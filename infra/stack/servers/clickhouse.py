"""ClickHouse out of the chdb wheel. Its users live in a file: this build has no SQL users, and a change needs a restart."""

from __future__ import annotations

import sys
import urllib.request

from infra.stack import state
from infra.stack.server import HOST, Server, fill
from infra.stack.servers import analysts, clickhouse_child, clickhouse_users


class ClickHouse(Server):
    """HTTP and native listeners on the loopback interface."""

    name = "clickhouse"

    def prepare(self) -> None:
        home = self.data / "home"
        of_tenants = analysts.load(self.place.directory, self.secrets)
        values = {
            "tcp": self.ports["clickhouse_tcp"],
            "http": self.ports["clickhouse_http"],
            "users": self.data / "users.xml",
            "log": self.place.directory / "log",
        }
        state.private(home / ".clickhouse-local/config.xml", fill("clickhouse.xml", values))
        users = clickhouse_users.text(self.secrets, self.place.namespaces, self.place.analysed, of_tenants)
        state.private(self.data / "users.xml", users)

    def command(self) -> list[str]:
        return [sys.executable, clickhouse_child.__file__, str(self.data / "data"), str(self.ports["clickhouse_http"])]

    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.data / "home"), clickhouse_child.PASSWORD: self.secrets["clickhouse_ops"]}

    def query(self, text: str, user: str = "ops") -> str:
        """Answer of one query over HTTP; raises urllib.error.HTTPError when the server refuses it."""
        headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": self.secrets[f"clickhouse_{user}"]}
        with urllib.request.urlopen(urllib.request.Request(self.endpoint, text.encode(), headers), timeout=30) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        return self.query("SELECT 1") == "1\n"

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.ports['clickhouse_http']}"
