"""The part ``ingest``: the receiver under uvicorn, with its Kafka producer, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
import uvloop

import schemas
from connectors import kafka
from connectors.avro import RecordCodec
from connectors.outbox import KafkaOutbox
from connectors.registry import RegistryError, SchemaRegistry
from pipeline import admin
from pipeline.ingest.auth import Tokens, TokensError
from pipeline.ingest.bounded import OBJECTS_PER_BYTE, Limits
from pipeline.ingest.receiver import Receiver
from pipeline.ingest.records import Envelope
from pipeline.sealing import Sealer, SealingError
from pipeline.settings import Ingest, SettingsError

log = logging.getLogger(__name__)
REGISTRY_WAIT_SECONDS = 1.0
GRACE_SECONDS = 15


def run(settings: Ingest) -> int:
    """Serve until SIGTERM or SIGINT: 0; 1 where Kafka's producer broke (start again). Raises SettingsError."""
    if settings.max_in_flight_bytes < settings.max_body_bytes * OBJECTS_PER_BYTE:
        raise SettingsError(
            f"AUDITWIRE_INGEST_MAX_IN_FLIGHT_BYTES must be at least {OBJECTS_PER_BYTE} times AUDITWIRE_INGEST_MAX_BODY_BYTES, "
            "else the largest body is never taken."
        )
    try:
        tokens, sealer = Tokens(settings.tokens_file), Sealer(settings.sealing_key.get_secret_value())
    except (TokensError, SealingError) as exc:
        raise SettingsError(str(exc)) from None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, tokens, sealer))


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
        self.outbox: KafkaOutbox | None = None

    def problem(self) -> str | None:
        return self.waiting or (self.outbox.problem() if self.outbox else None)

    def serving(self) -> None:
        self.waiting = None


async def _serve(settings: Ingest, tokens: Tokens, sealer: Sealer) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    state = _State()
    admin.serve("ingest", settings.admin_listen, state.problem)
    ids = await _schema_ids(settings, state, stopping)
    if ids is None:
        return 0
    state.outbox = KafkaOutbox(kafka.producer_config(kafka.cluster_of(settings.model_dump())))
    envelope = Envelope(settings.namespace, ids[0], RecordCodec("quarantined_event", ids[1]), sealer)
    limits = Limits(settings.max_body_bytes, settings.max_in_flight_bytes)
    try:
        server = _server(settings.listen, Receiver(tokens, state.outbox, envelope, limits), state.serving)
        await _until(server, stopping, state.outbox.broken)
    finally:
        left = state.outbox.close()
        if left:
            log.warning("%d records were not confirmed at the end; they were not acknowledged either", left)
    return 0 if stopping.is_set() else 1


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
            state.waiting = "starting: the port is not open yet"
            return first, second
        return None
    finally:
        registry.close()
