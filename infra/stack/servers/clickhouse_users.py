"""ClickHouse's users.xml: who may do what. Grants name every namespace the stack serves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

HEAD = """<clickhouse>
  <profiles>
    <default><async_insert>0</async_insert></default>
    <analyst>
      <readonly>1</readonly><async_insert>0</async_insert><max_execution_time>30</max_execution_time>
      <max_result_rows>100000</max_result_rows><max_memory_usage>1000000000</max_memory_usage>
    </analyst>
  </profiles>
  <quotas>
    <default><interval><duration>3600</duration></interval></default>
    <analyst><interval><duration>60</duration><queries>600</queries></interval></analyst>
  </quotas>
  <users>
    <!-- The launcher's own session is this user. It cannot have a password, so it has no right to any data. -->
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.numbers</query></grants>
    </default>
"""
TENANTS = {"analyst_demo": "demo", "analyst_acme": "acme"}


def text(secrets: Mapping[str, str], namespaces: Sequence[str]) -> str:
    """The whole file. `ops` is the stack's own user without limits; the others have what their part needs."""
    system = "GRANT SELECT ON system.{}"
    grants = {
        "admin": [
            "GRANT ALL ON audit*.*",
            "GRANT TABLE ENGINE ON *",
            "GRANT SET DEFINER ON *",
            "GRANT READ ON FILE",
            "GRANT KILL QUERY ON *.*",
            system.format("*"),
        ],
        "sink": [
            "GRANT SELECT, INSERT ON audit*.*",
            "GRANT READ ON FILE",  # input(); user_files is empty
            *(system.format(t) for t in ("processes", "parts", "tables", "columns")),
        ],
        "export": [f"GRANT SELECT ON `{n}`.events_of" for n in namespaces],
        "operator": ["GRANT SELECT ON audit*.*", *(system.format(t) for t in ("parts", "tables", "columns"))],
        "analyst": ["GRANT SELECT ON audit*.*"],
        **{user: [f"GRANT SELECT ON `{n}`.events" for n in namespaces] for user in TENANTS},
    }
    users = [_user("ops", secrets, [], "default")]
    for name, queries in grants.items():
        filters = _filters(TENANTS[name], namespaces) if name in TENANTS else ""
        users.append(_user(name, secrets, queries, "analyst" if name.startswith("analyst") else "default", filters))
    return HEAD + "".join(users) + "  </users>\n</clickhouse>\n"


def _filters(tenant: str, namespaces: Sequence[str]) -> str:
    rule = f"<events><filter>tenant_id = '{tenant}'</filter></events>"
    return "      <databases>" + "".join(f"<{n}>{rule}</{n}>" for n in namespaces) + "</databases>\n"


def _user(name: str, secrets: Mapping[str, str], queries: Sequence[str], profile: str, filters: str = "") -> str:
    digest = hashlib.sha256(secrets[f"clickhouse_{name}"].encode()).hexdigest()
    granted = "".join(f"        <query>{escape(q)}</query>\n" for q in queries)
    return (
        f"    <{name}>\n      <password_sha256_hex>{digest}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>\n"
        f"      <profile>{profile}</profile><quota>{profile}</quota>\n"
        + (f"      <grants>\n{granted}      </grants>\n" if queries else "")
        + f"{filters}    </{name}>\n"
    )
