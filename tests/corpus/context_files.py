"""Secrets that only their place gives away, in files: keys with values, connection strings, netrc, pgpass, SQL."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from xml.sax.saxutils import escape

from tests.corpus.context_shell import context, opaque, password
from tests.corpus.draw import VOCABULARY, Draw
from tests.corpus.marks import Line, Value

_NAMES: list[str] = VOCABULARY["secret_names"]
_TOKENISH = ("token", "key", "secret", "KEY")


def value(d: Draw, form: str) -> Value:
    """For the lines that any kind of document has: a name and its value."""
    name = d.pick(_NAMES)
    tokenish = any(t in name for t in _TOKENISH)
    symbols = {
        "json": '!#*+"\\/&<>@',
        "xml": "!&<>#*+",
        "yaml": "!*+._-@%",
        "env": "!*+._-@%=",
        "toml": "!#*+&@",
        "code": "!*+&@%",
    }
    text = opaque(d) if tokenish and d.chance(0.75) else password(d, symbols.get(form, "!*+._-"), accents=d.chance(0.1))
    return Value(context(text, f"{form}_value"), (name,), name.replace("_", " "), bare=False)


def k8s_secret(d: Draw) -> Line:
    plain = password(d, "!*+._-@%")
    name = d.pick(["password", "db-password", "token", "api-key", "redis-password"])
    return [f"  {name}: ", context(base64.b64encode(plain.encode()).decode(), "k8s_secret", plain)]


def connection(d: Draw) -> Line:
    form = d.number(0, 6)
    value = context(password(d, "!*+._-%"), "connection_string")
    host, user = d.host(), d.user()
    if form == 0:
        return [
            f"Server=tcp:{host},1433;Database=orders;User ID={user};{d.pick(['Password', 'Pwd', 'PWD'])}=",
            value,
            ";Encrypt=True;",
        ]
    if form == 1:
        return [f"jdbc:postgresql://{host}:5432/orders?user={user}&password=", value, d.pick(["", "&ssl=true"])]
    if form == 2:
        return [f"redis{d.pick(['', 's'])}://:", value, f"@{host}:6379/0"]
    if form == 3:
        return [f"mongodb{d.pick(['', '+srv'])}://{user}:", value, f"@{host}/admin?retryWrites=true"]
    if form == 4:
        return [f"amqp{d.pick(['', 's'])}://{user}:", value, f"@{host}:5671/%2Fprod"]
    if form == 5:
        return [f"jdbc:oracle:thin:{user}/", value, f"@{host}:1521/ORCL"]
    return [f"host={host} port=5432 dbname=orders user={user} password=", value, " sslmode=require"]


def named_connection(d: Draw) -> Line:
    name = d.pick(
        [
            "DATABASE_URL=",
            "connection_string = ",
            "dsn: ",
            "spring.datasource.url=",
            "BROKER_URL=",
            "Using ",
            "could not connect with ",
        ]
    )
    line = connection(d)
    return [name, *line]


def netrc(d: Draw) -> list[Line]:
    value = context(password(d), "netrc")
    if d.chance(0.5):
        return [[f"machine {d.host()} login {d.user()} password ", value]]
    return [[f"machine {d.host()}"], [f"  login {d.user()}"], ["  password ", value]]


def pgpass(d: Draw) -> list[Line]:
    value = context(password(d, "!*+._-@%"), "pgpass")
    return [[f"{d.pick([d.host(), '*', 'localhost'])}:5432:{d.pick(['*', 'orders'])}:{d.user()}:", value]]


def sql(d: Draw) -> Line:
    value = context(password(d, "!*+._-@#%"), "sql_password")
    user = d.user().replace("-", "_")
    before, after = d.pick(
        [
            (f"CREATE USER '{user}'@'%' IDENTIFIED BY '", "';"),
            (f"ALTER USER {user} WITH PASSWORD '", "';"),
            (f"CREATE ROLE {user} LOGIN ENCRYPTED PASSWORD '", "' VALID UNTIL '2027-01-01';"),
            (f"CREATE LOGIN {user} WITH PASSWORD = N'", "', CHECK_POLICY = OFF;"),
            (f"SET PASSWORD FOR '{user}'@'localhost' = PASSWORD('", "');"),
            (f"GRANT ALL ON orders.* TO '{user}'@'10.%' IDENTIFIED BY '", "' WITH GRANT OPTION;"),
            (f'ALTER USER {user} IDENTIFIED BY "', '";'),
            ("UPDATE users SET password = '", f"' WHERE login = '{user}';"),
            ("CREATE USER MAPPING FOR app SERVER remote OPTIONS (user 'app', password '", "');"),
        ]
    )
    return [before, value, after]


def near_keyword(d: Draw) -> Line:
    """A token without a known format in a log or a table, with a telling word beside it."""
    value = context(opaque(d), "opaque_near_keyword")
    before, after = d.pick(
        [
            ("generated new API key ", " for service billing"),
            ("auth failed: invalid token ", ""),
            ("using access token ", f" (expires in {d.number(1, 59)} min)"),
            ("secret rotated, new value: ", ""),
            ("refresh_token -> ", ""),
            ("Your API token: ", ""),
            ("client secret is ", " keep it safe"),
            ("token=", " status=200"),
            ("| deploy token | ", " |"),
            ("session key ", " accepted"),
            ("Registration token ... ", ""),
        ]
    )
    return [before, value, after]


def escaped_value(found: Value, form: str) -> Value:
    """The value as its document writes it: quotes of JSON and TOML, entities of XML."""
    mark = found.mark
    if form == "xml":
        mark = replace(mark, text=escape(mark.text))
    elif form in ("json", "toml", "code"):
        mark = replace(mark, text=mark.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
    return replace(found, mark=mark)


LINES: dict[str, tuple[str, Callable[[Draw], Line]]] = {
    "k8s_secret": ("yaml", k8s_secret),
    "connection_string": ("log", named_connection),
    "sql_password": ("sql", sql),
    "opaque_near_keyword": ("log", near_keyword),
}
FILES: dict[str, Callable[[Draw], list[Line]]] = {"netrc": netrc, "pgpass": pgpass}
