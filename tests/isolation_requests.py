"""The requests with which tenant ``demo`` tries to reach ``acme`` through the export service; always the same ones."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from tests.isolation import OTHER, OWN, Ask, World, as_json, query
from tests.reading import DAY


@dataclass(frozen=True)
class Target:
    """What the other tenant has, and what the attacker knows of it; ``own_extract`` is the attacker's, done."""

    world: World
    extract: str
    definition: str
    event_cursor: str
    list_cursor: str
    own_extract: str
    own_cursor: str


SPELLINGS = [
    *(
        "acme",
        "ACME",
        "Acme",
        "aCmE",
        "аcme",
        "acmе",
        "ａｃｍｅ",
        "ⅽcme",
        "acmé",
        "ac\u200bme",
        "acme\u0301",
        "\u202eemca",
        "acme\ufeff",
    ),
    *(
        " acme",
        "acme ",
        "acme\t",
        "acme\n",
        "demo\nacme",
        "demo acme",
        "demo,acme",
        "acme,demo",
        "demo;acme",
        "demo|acme",
        "demo&acme",
    ),
    *("acme\x00", "demo\x00acme", "%61cme", "acme%00", "acme#", "acme?", "../acme", "demo/../acme", "acme/", "./acme"),
    *(
        "acme'",
        "' OR tenant_id='acme",
        "demo') OR (tenant_id = 'acme",
        "demo' UNION ALL SELECT * FROM events --",
        '"acme"',
        "\\x61cme",
    ),
    *(
        "*",
        "%",
        "_",
        ".*",
        "ac%",
        "a?me",
        "[a]cme",
        '["demo","acme"]',
        '{"$ne":"demo"}',
        "null",
        "",
        "{tenant:String}",
        "tenant=acme",
    ),
]
READS = ("/v1/events", "/v1/counts", "/v1/event-types")


def encoded(value: str) -> str:
    return quote(value.encode("utf-8", "replace"), safe="")


def spelled() -> Iterator[Ask]:
    """The other tenant by every spelling, wherever a tenant can be named."""
    day = "&".join(f"{k}={v}" for k, v in DAY.items() if k != "tenant")
    for name in SPELLINGS:
        for path in READS:
            yield Ask("tenant parameter", f"{path}?tenant={encoded(name)}&{day}")
        yield Ask("tenant parameter", f"/v1/extracts?tenant={encoded(name)}")
        yield Ask("tenant parameter", f"/v1/completeness?tenant={encoded(name)}")
        for path, more in (("/v1/extracts", {**DAY}), ("/v1/definitions", {"name": f"mine {name}"})):
            yield Ask("tenant in a body", path, "POST", body=as_json({**more, "tenant": name}))


def repeated() -> Iterator[Ask]:
    """More than one tenant, or one under another name."""
    forms = ["tenant=demo&tenant=acme", "tenant=acme&tenant=demo", "tenant=demo&Tenant=acme", "tenant=demo&TENANT=acme"]
    forms += [
        "tenant=demo&tenant[]=acme",
        "tenant[]=acme",
        "tenant[0]=demo&tenant[1]=acme",
        "tenant=demo;tenant=acme",
        "tenant_id=acme",
    ]
    forms += [
        "tenant=demo%26tenant%3Dacme",
        "tenant=demo&%74enant=acme",
        "tenant=demo&tenant%00=acme",
        "tenant=demo&tenant_id=acme",
    ]
    forms += [
        "tenant=demo&tenants=acme",
        "tenant=demo&principal=anton@example.com",
        "tenant=demo&isolated=false",
        "tenant=demo&all=1",
    ]
    rest = "&".join(f"{k}={v}" for k, v in DAY.items() if k != "tenant")
    for form, path in itertools.product(forms, READS):
        yield Ask("repeated parameter", f"{path}?{form}&{rest}")
    for form in forms:
        yield Ask("repeated parameter", f"/v1/completeness?{form}")


def filtered(target: Target) -> Iterator[Ask]:
    """Filters and columns that would widen the question."""
    known = target.world.known
    filters = [
        "tenant_id:acme",
        "tenant_id:*",
        "tenant_id:demo' OR 1=1 --",
        "event_id:" + known["event_id"],
        "1=1) OR (tenant_id:acme",
    ]
    filters += [
        f"{name}:{known[name]}"
        for name in ("event_type", "actor_id", "session_id", "tool_name", "agent_id", "human_principal_id")
    ]
    filters += [
        "event_type:x') OR tenant_id = 'acme' --",
        "event_type:\\' OR 1 --",
        "actor_id:canary-%",
        "actor_id:{tenant:String}",
    ]
    filters += ["tenant:acme", "Tenant_Id:acme", "prompt:canary", "kafka_offset:0", f"input_tokens:{known['input_tokens']}"]
    for text, path in itertools.product(filters, READS[:2]):
        yield Ask("filter", f"{path}?{query()}&filter={encoded(text)}")
        yield Ask("filter", f"{path}?{query()}&filter=tenant_id:acme&filter={encoded(text)}")
    columns = [
        "*",
        "tenant_id,*",
        "events.*",
        "(SELECT groupArray(message) FROM events)",
        "event_id) FROM events --",
        "`message`",
    ]
    columns += [
        "any(message)",
        "event_id,message FROM events",
        "tenant_id AS event_id",
        "kafka_topic_id",
        "_part",
        "message'",
        "MESSAGE",
    ]
    for text in columns:
        yield Ask("columns", f"/v1/events?{query(columns=text)}")


def ids(target: Target) -> Iterator[Ask]:
    """Things of the other tenant by their id, in the forms an id can have."""
    for event in target.world.other[:8]:
        number = event["event_id"]
        for form, tenant in itertools.product((number, number.upper(), encoded("{" + number + "}")), (OWN, OTHER, "", "Acme")):
            yield Ask("event id", f"/v1/events/{form}?tenant={tenant}")
            yield Ask("event id", f"/v1/events/{form}/explain?tenant={tenant}")
        yield Ask("event id", f"/v1/events/{number}")
    for name, kind in (("extracts", target.extract), ("definitions", target.definition)):
        bare = kind.replace("-", "")
        forms = [
            kind,
            kind.upper(),
            bare,
            "{" + kind + "}",
            f"urn:uuid:{kind}",
            f"{kind} ",
            f"{kind}\n",
            f"{kind}\x00",
            f"{kind};x",
            f"{kind}%",
        ]
        for form, method in itertools.product(forms, ("GET", "DELETE", "HEAD", "PUT", "PATCH")):
            yield Ask(f"{name} id", f"/v1/{name}/{encoded(form)}", method)
    rest = {k: v for k, v in DAY.items() if k != "tenant"}
    yield Ask("definitions id", f"/v1/definitions/{target.definition}/extracts", "POST", body=as_json(rest))
    yield Ask("definitions id", f"/v1/definitions/{target.definition}/extracts", "POST", body=as_json({**rest, "tenant": OWN}))
    for state in ("", "&state=done", "&state=queued", "&tenant=demo"):
        yield Ask("list", f"/v1/extracts?definition={target.definition}{state}")
    chance = random.Random(5)
    for _ in range(10):
        near = uuid.UUID(int=uuid.UUID(target.extract).int ^ (1 << chance.randrange(128)))
        yield Ask("extracts id", f"/v1/extracts/{near}")


def cursors(target: Target) -> Iterator[Ask]:
    """Cursors of the other tenant's pages, whole, cut, changed, and with the own ones mixed in."""
    given = target.event_cursor
    chance = random.Random(7)
    forms = [
        given,
        given[:-4],
        given + "A",
        given.swapcase(),
        given[::-1],
        target.own_cursor[:20] + given[20:],
        "A" * 64,
        target.list_cursor,
    ]
    for _ in range(12):
        at = chance.randrange(len(given))
        forms.append(given[:at] + chance.choice("ABCxyz019-_") + given[at + 1 :])
    for form, tenant in itertools.product(forms, (OWN, OTHER)):
        yield Ask("cursor of events", f"/v1/events?{query(tenant=tenant)}&cursor={encoded(form)}")
    moment, _, number = target.list_cursor.partition(".")
    lists = [
        target.list_cursor,
        f"9999999999999999.{number}",
        f"{moment}.{'f' * 8}-ffff-ffff-ffff-{'f' * 12}",
        f"0.{number}",
        given[:90],
    ]
    for form, path in itertools.product(lists, ("/v1/extracts", "/v1/definitions")):
        yield Ask("cursor of lists", f"{path}?limit=100&cursor={encoded(form)}")
