"""The part ``ingest``: the receiver under uvicorn, with its Kafka producer or its spool, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
import uvloop

import schemas
from auditwire._spool import Spool
from connectors import kafka
from connectors.avro import RecordCodec
from connectors.outbox import KafkaOutbox, Outbox
from connectors.registry import RegistryError, SchemaRegistry
from connectors.spool_outbox import SpoolOutbox
from connectors.spool_refused import Refused
from pipeline import admin
from pipeline.ingest import spooling
from pipeline.ingest.auth import Tokens, TokensError
from pipeline.ingest.bounded import OBJECTS_PER_BYTE, Limits
from pipeline.ingest.receiver import Receiver
from pipeline.ingest.records import Envelope
from pipeline.sealing import Sealer, SealingError
from pipeline.settings import Ingest, SettingsError

log = logging.getLogger(__name__)
REGISTRY_WAIT_SECONDS = 1.0
GRACE_SECONDS = 15
UNBOUNDED_SECONDS = 86_400.0  # from the spool the producer tries on by itself: so it stores nothing twice


def run(settings: Ingest) -> int:
    """Serve until SIGTERM or SIGINT: 0; 1 where the producer or the spool's sender ended (start again). Raises SettingsError."""
    if settings.max_in_flight_bytes < settings.max_body_bytes * OBJECTS_PER_BYTE:
        raise SettingsError(
            f"AUDITWIRE_INGEST_MAX_IN_FLIGHT_BYTES must be at least {OBJECTS_PER_BYTE} times AUDITWIRE_INGEST_MAX_BODY_BYTES, "
            "else the largest body is never taken."
        )
    try:
        tokens, sealer = Tokens(settings.tokens_file), Sealer(settings.sealing_key.get_secret_value())
    except (TokensError, SealingError) as exc:
        raise SettingsError(str(exc)) from None
    spool = spooling.opened(settings, sealer)
    if spool is None:
        serve = _serve(settings, tokens, sealer)
    else:
        serve = _serve_spooled(settings, tokens, sealer, spool, spooling.refused(settings, sealer))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve)


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to us: it would raise them again at its end, and the part could not exit with 0."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _State:
    """What the health check says: why nothing is served yet, then what the outbox says."""

    def __init__(self) -> None:
        self.waiting: str | None = "starting: waiting for the schema registry"
        self.closed: str | None = "starting: the port is not open yet"
        self.outbox: Outbox | None = None
        self.note: Callable[[], str] = lambda: ""

    def problem(self) -> str | None:
        return self.waiting or self.closed or (self.outbox.problem() if self.outbox else None)

    def said(self) -> str:
        return self.note()

    def serving(self) -> None:
        self.closed = None


def _begin(settings: Ingest) -> tuple[asyncio.Event, _State]:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    state = _State()
    admin.serve("ingest", settings.admin_listen, state.problem, state.said)
    return stopping, state


async def _serve(settings: Ingest, tokens: Tokens, sealer: Sealer) -> int:
    stopping, state = _begin(settings)
    ids = await _schema_ids(settings, state, stopping)
    if ids is None:
        return 0
    state.outbox = outbox = KafkaOutbox(kafka.producer_config(kafka.cluster_of(settings.model_dump())))
    limits = Limits(settings.max_body_bytes, settings.max_in_flight_bytes)
    try:
        app = Receiver(tokens, outbox, _envelope(settings, ids, sealer), limits)
        await _until(_server(settings.listen, app, state.serving), stopping, outbox.broken)
    finally:
        left = outbox.close()
        if left:
            log.warning("%d records were not confirmed at the end; they were not acknowledged either", left)
    return 0 if stopping.is_set() else 1


async def _serve_spooled(settings: Ingest, tokens: Tokens, sealer: Sealer, spool: Spool, aside: Refused) -> int:
    """Serves from the first moment: what it acknowledges is on its own disk, whoever else is away."""
    stopping, state = _begin(settings)
    config = kafka.producer_config(kafka.cluster_of(settings.model_dump()))

    def onward() -> KafkaOutbox:
        return KafkaOutbox(config, bound_seconds=UNBOUNDED_SECONDS)

    state.outbox = outbox = SpoolOutbox(spool, onward, refused=aside, namespace=settings.namespace)
    state.note = outbox.note
    app = Receiver(tokens, outbox, None, Limits(settings.max_body_bytes, settings.max_in_flight_bytes), outbox.note)
    knowing = _know_ids(settings, app, state, stopping, lambda ids: _envelope(settings, ids, sealer))
    tasks = [asyncio.create_task(knowing), asyncio.create_task(spooling.measure(spool, outbox, aside))]
    try:
        await _until(_server(settings.listen, app, state.serving), stopping, outbox.ended)
    finally:
        for task in tasks:
            task.cancel()
        left = await outbox.close()
        if left:
            log.info("%d records stay in the spool %s; the next start sends them", left, spool.path)
    return 0 if stopping.is_set() else 1


async def _know_ids(
    settings: Ingest, app: Receiver, state: _State, stopping: asyncio.Event, envelope: Callable[[tuple[int, int]], Envelope]
) -> None:
    """The ids that are remembered, and the registry's when it answers: it may have been set up anew."""
    ids = spooling.SchemaIds(Path(settings.spool_dir), settings)
    if known := ids.recall():
        app.envelope, state.waiting = envelope(known), None
    found = await _schema_ids(settings, _State() if known else state, stopping)
    if found is not None:
        ids.remember(found)
        app.envelope = envelope(found)


def _envelope(settings: Ingest, ids: tuple[int, int], sealer: Sealer) -> Envelope:
    return Envelope(settings.namespace, ids[0], RecordCodec("quarantined_event", ids[1]), sealer)


def _server(listen: str, app: Receiver, started: Callable[[], None]) -> _Server:
    host, _, port = listen.rpartition(":")
    config = uvicorn.Config(
        app,
        host=host or "127.0.0.1",
        port=int(port),
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return _Server(config, started)


async def _until(server: _Server, *events: asyncio.Event) -> None:
    """Serve until one of the events; then no new connection, and requests in work get their answer within GRACE_SECONDS."""
    serving = asyncio.create_task(server.serve())
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait({serving, *waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    server.should_exit = True
    await serving


async def _schema_ids(settings: Ingest, state: _State, stopping: asyncio.Event) -> tuple[int, int] | None:
    """Ids of the event's and the reject's schema; waits for the registry, None where the part is told to stop meanwhile."""
    registry = SchemaRegistry(settings.schema_registry_url)
    wanted = ((f"{settings.namespace}.raw-value", "audit_event"), (f"{settings.namespace}.quarantine-value", "quarantined_event"))
    try:
        while not stopping.is_set():
            try:
                first, second = [await asyncio.to_thread(registry.id_of, s, schemas.schema_text(n)) for s, n in wanted]
            except RegistryError as exc:
                if state.waiting != str(exc):
                    log.warning("waiting: %s", exc)
                state.waiting = str(exc)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), REGISTRY_WAIT_SECONDS)
                continue
            state.waiting = None
            return first, second
        return None
    finally:
        registry.close()
