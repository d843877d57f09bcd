"""ClickHouse's users.xml: who may do what. Grants name every namespace the stack serves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from infra.stack.servers import analysts
from infra.stack.servers.analysts import Analyst

EXPORT_VIEWS = ("events_of", "stored_positions", "stored_parts", "sequences_of", "ledger_ranges", "deletions")
RETENTION_READS = (
    "processed_retention_class, kafka_topic_id, kafka_partition, kafka_offset, kafka_timestamp, event_digest,"
    " processed_raw_offset"
)
REBUILT = ("events", "fence", "ledger", "ledger_sequences")
HEAD = f"""<clickhouse>
  <profiles>
    <!-- chdb's table function Python looks for objects of the process that runs it, and ends a server where there is none. -->
    <default>
      <async_insert>0</async_insert><allow_python_table_function>0</allow_python_table_function>
      <constraints><allow_python_table_function><readonly/></allow_python_table_function></constraints>
    </default>
{analysts.profile()}  </profiles>
  <quotas>
    <default><interval><duration>3600</duration></interval></default>
{analysts.quota()}  </quotas>
  <users>
    <!-- The launcher's own session is this user. It cannot have a password, so it has no right to any data. -->
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.numbers</query></grants>
    </default>
"""


def text(secrets: Mapping[str, str], namespaces: Sequence[str], analysed: Sequence[str], of_tenants: Sequence[Analyst]) -> str:
    """The whole file. `ops` is the stack's own user without limits; the others have what their part needs.

    ``analysed``: the namespaces that tenants' analysts may read. Each makes every refusal of theirs 0.6 ms dearer for the server.
    """
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
        "ledger_sink": [f"GRANT INSERT ON `{n}`.{table}" for n in namespaces for table in ("ledger", "ledger_sequences")],
        "rebuild": [
            *(f"GRANT SELECT, INSERT ON `{n}`.{table}" for n in namespaces for table in REBUILT),
            "GRANT READ ON FILE",
            system.format("processes"),
        ],
        "retention": [  # ALTER DELETE is the right to drop a partition: ClickHouse has no narrower one
            *(f"GRANT SELECT({RETENTION_READS}), ALTER DELETE ON `{n}`.events" for n in namespaces),
            *(f"GRANT SELECT, INSERT ON `{n}`.deletions" for n in namespaces),
            system.format("parts"),
        ],
        "export": [f"GRANT SELECT ON `{n}`.{view}" for n in namespaces for view in EXPORT_VIEWS],
        "rules": [f"GRANT SELECT ON `{n}`.events" for n in namespaces],
        "operator": ["GRANT SELECT ON audit*.*", *(system.format(t) for t in ("parts", "tables", "columns"))],
        "analyst": ["GRANT SELECT ON audit*.*"],
    }
    users = [_user("ops", _sha256(secrets["clickhouse_ops"]), [], "default")]
    for name, queries in grants.items():
        digest = _sha256(secrets[f"clickhouse_{name}"])
        users.append(_user(name, digest, queries, "analyst" if name == "analyst" else "default"))
    for one in of_tenants:
        queries = [query for n in analysed for query in analysts.grants(n)]
        users.append(_user(one.user, one.password_sha256, queries, "analyst", _filters(one.tenant, analysed)))
    return HEAD + "".join(users) + "  </users>\n</clickhouse>\n"


def _filters(tenant: str, namespaces: Sequence[str]) -> str:
    """The row policies; views read `events` with the rights of who asks (SQL SECURITY INVOKER), so it holds there too."""
    rule = "".join(f"<{table}><filter>tenant_id = '{tenant}'</filter></{table}>" for table in analysts.TABLES)
    return "      <databases>" + "".join(f"<{n}>{rule}</{n}>" for n in namespaces) + "</databases>\n"


def _user(name: str, digest: str, queries: Sequence[str], profile: str, filters: str = "") -> str:
    granted = "".join(f"        <query>{escape(q)}</query>\n" for q in queries)
    return (
        f"    <{name}>\n      <password_sha256_hex>{digest}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>\n"
        f"      <profile>{profile}</profile><quota>{profile}</quota>\n"
        + (f"      <grants>\n{granted}      </grants>\n" if queries else "")
        + f"{filters}    </{name}>\n"
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
