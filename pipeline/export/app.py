"""The export service as a process: what it is connected to, its HTTP server and its worker."""

from __future__ import annotations

import hmac
import signal
import socket
import uuid
from functools import partial
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from connectors import kafka_marks
from connectors.clickhouse.client import ClickHouseError, Client
from connectors.extracts import ExtractBucket
from connectors.kafka import cluster_of
from connectors.kafka_marks import MarksError
from connectors.postgres import PostgresError
from connectors.postgres.definitions import Definitions
from connectors.postgres.jobs import Jobs
from connectors.postgres.producers import Statements
from connectors.postgres.reference import Revisions
from connectors.s3 import S3Error
from connectors.series import RULES
from pipeline import admin, settings
from pipeline.completeness import Safety
from pipeline.export import (
    access,
    answers,
    api_docs,
    audit,
    complete_routes,
    definitions,
    explain_routes,
    page,
    read_routes,
    routes,
)
from pipeline.export.auth import Principals
from pipeline.export.counted import Counted
from pipeline.export.errors import RefusedError, UnavailableError
from pipeline.export.janitor import Janitor
from pipeline.export.jobs import Stores, Worker
from pipeline.export.producers import Producers
from pipeline.export.schedules import Scheduler
from pipeline.export.watermark import Watermark
from pipeline.retention.rulebook import Rulebook
from pipeline.rules.model import ModelError


def stores(values: settings.Export, *, audited: bool = True, safety: Safety | None = None) -> Stores:
    """Connections to every server, none of them used yet. ``audited=False`` records nothing, ``safety`` looks at less: for
    negative tests only.
    """
    cluster, topic = cluster_of(dict(values)), f"{values.namespace}.events"
    bucket = ExtractBucket(
        values.s3_endpoint,
        values.s3_region,
        values.s3_extract_bucket,
        values.s3_access_key_id,
        values.s3_secret_access_key.get_secret_value(),
    )
    worker = f"{socket.gethostname()}/{uuid.uuid4().hex[:8]}"
    dsn = values.postgres_dsn.get_secret_value()

    def client() -> Client:
        return Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value(), 300)

    clickhouse = client()
    watermark = Watermark(values.namespace, lambda: kafka_marks.Positions(cluster), clickhouse, values.settle_seconds)
    statements = Statements(dsn, values.namespace)
    counted = Counted(values.namespace, clickhouse) if safety is None or safety.counted else None
    return Stores(
        namespace=values.namespace,
        jobs=Jobs(dsn, values.namespace, worker, values.lease_seconds),
        definitions=Definitions(dsn, values.namespace),
        clickhouse=clickhouse,
        reader=client,
        bucket=bucket,
        trail=audit.Trail(partial(audit.connect, values), enabled=audited),
        marks=lambda: kafka_marks.committed(cluster, f"{values.namespace}-clickhouse-sink", topic),
        complete_until=watermark.complete_until,
        complete=watermark.now,
        producers=Producers(values.namespace, clickhouse, watermark, statements.of, safety, counted).of,
        rules=Rulebook(Revisions(dsn, values.namespace, RULES)),
        keep_days=values.extract_days,
    )


def cursor_key(values: settings.Export) -> bytes:
    """What seals cursors: the same for all instances, for they share the S3 secret; it does not give that away."""
    return hmac.digest(values.s3_secret_access_key.get_secret_value().encode(), b"auditwire export cursors", "sha256")


def create_app(values: settings.Export, connected: Stores, worker: Worker) -> FastAPI:
    """The HTTP side. Whoever made the worker starts and stops it."""
    app = FastAPI(
        docs_url=None,  # the framework's page loads scripts from elsewhere: `api_docs` has one of our own
        redoc_url=None,
        title="Auditwire export service",
        version=version("auditwire-service"),
        summary="Compliance extracts of audit events.",
        description="Ask for an extract, watch it until it is done, fetch its files and the manifest that vouches for them. "
        "Every request, download and refusal is itself an audit event.",
        generate_unique_id_function=lambda route: "_".join(
            [*map(str, route.tags), route.name]
        ),  # names of functions in generated clients
    )
    app.state.service = access.Service(Principals(values.principals_file), connected, worker, cursor_key(values))
    app.include_router(access.router)
    app.include_router(read_routes.router)
    app.include_router(explain_routes.router)
    app.include_router(complete_routes.router)
    app.include_router(routes.router)
    app.include_router(definitions.router)
    app.include_router(page.router())
    app.include_router(api_docs.router)
    app.add_middleware(answers.Counted)
    app.add_exception_handler(RefusedError, answers.refused)
    for kind in (UnavailableError, PostgresError, S3Error, MarksError, ClickHouseError, ModelError):
        app.add_exception_handler(kind, answers.unavailable)
    app.add_exception_handler(RequestValidationError, answers.malformed)
    app.add_exception_handler(HTTPException, answers.no_route)
    app.add_exception_handler(Exception, answers.broken)
    return app


def run(values: settings.Export) -> int:
    """Serve until SIGTERM or SIGINT, then give the running job back to the queue; returns 0."""
    connected = stores(values)
    worker = Worker(connected)
    admin_server = admin.serve("export", values.admin_listen, worker.healthy)
    host, _, port = values.listen.rpartition(":")
    app = create_app(values, connected, worker)
    config = uvicorn.Config(
        app, host=host or "127.0.0.1", port=int(port), log_config=None, access_log=False, timeout_graceful_shutdown=10
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises it a second time, after its own end
    scheduler = Scheduler(connected, Principals(values.principals_file), worker.wake)
    helpers = (worker, scheduler.ticker, Janitor(connected).ticker)
    connected.trail.start()
    for helper in helpers:
        helper.start()
    try:
        uvicorn.Server(config).run()
    finally:
        for helper in helpers:
            helper.stop()
        connected.trail.close()
        connected.clickhouse.close()
        if admin_server is not None:
            admin_server.shutdown()
    return 0
