"""Schema ids that junk names, and registries that answer oddly: a reject or a wait, never anything else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import schemas
from connectors.registry import RegistryError, SchemaRegistry, UnknownSchema
from connectors.writer_schemas import NewerSchema, NotAnEvent, WriterSchemas

EVENT: dict[str, Any] = json.loads(schemas.schema_text("audit_event"))
Answers = dict[int, tuple[int, bytes]]


@pytest.fixture
def answers() -> Answers:
    return {}


@pytest.fixture
def registry(answers: Answers) -> Iterator[SchemaRegistry]:
    """A registry that answers to an id what ``answers`` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[int(self.path.rsplit("/", 1)[1])]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = SchemaRegistry(f"http://127.0.0.1:{server.server_port}/")
        yield client
        client.close()
        server.shutdown()
        thread.join()


def said(schema: object) -> tuple[int, bytes]:
    return 200, json.dumps({"schema": schema if isinstance(schema, str) else json.dumps(schema)}).encode()


@pytest.mark.parametrize(
    "schema",
    [
        '"string"',
        "null",
        "3",
        "",
        'syntax = "proto3";',
        {"$schema": "http://json-schema.org/draft-07/schema#", "title": "a JSON Schema"},
        {"type": {"type": "record", "name": "Wrapped", "fields": []}},
        {"type": "record", "name": "AuditEvent", "namespace": "auditwire"},
        '{"type":"array","items":' * 2000 + '"string"' + "}" * 2000,
    ],
)
def test_what_is_no_event_schema_is_a_reject(registry: SchemaRegistry, answers: Answers, schema: object) -> None:
    answers[7] = said(schema)
    with pytest.raises(NotAnEvent):
        WriterSchemas(registry).text_of(7)


def test_a_newer_schema_is_known_by_its_full_name_too(registry: SchemaRegistry, answers: Answers) -> None:
    newer = {key: value for key, value in EVENT.items() if key != "namespace"} | {"name": "auditwire.AuditEvent"}
    newer["fields"] = [*EVENT["fields"], {"name": "from_the_future", "type": "string", "default": ""}]
    answers[7] = said(newer)
    with pytest.raises(NewerSchema, match="from_the_future"):
        WriterSchemas(registry).text_of(7)


def test_only_the_registrys_own_404_says_that_there_is_no_such_schema(registry: SchemaRegistry, answers: Answers) -> None:
    answers[1] = 404, b'{"error_code": 40403, "message": "Schema 1 not found."}'
    with pytest.raises(UnknownSchema):
        registry.schema_of(1)
    for number, answer in enumerate([(404, b""), (404, b"<html>default backend</html>"), (200, b"<html>"), (503, b"")], 2):
        answers[number] = answer
        with pytest.raises(RegistryError) as caught:
            registry.schema_of(number)
        assert not isinstance(caught.value, UnknownSchema), "nothing may be rejected on this word"
