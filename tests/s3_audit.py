"""A gateway to the stack's S3 whose access log is on: SeaweedFS tells a Fluentd forwarder of every answer, here a list."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.stack import install, ports
from infra.stack.server import HOST, base_environment
from infra.stack.servers.s3 import S3
from tests.space import Space
from tests.waiting import until


@dataclass
class AccessLog:
    """What the gateway has sent so far. A record has requester, operation, bucket, key, status and error_code."""

    listener: socket.socket
    _heard: list[bytes] = field(default_factory=list)

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                while piece := connection.recv(65536):
                    self._heard.append(piece)

    def records(self) -> list[dict[str, Any]]:
        """Every whole record."""
        text, found, at = b"".join(self._heard).decode(), [], 0
        decoder = json.JSONDecoder()
        while at < len(text):
            try:
                (_, _, record, _), at = decoder.raw_decode(text, at)
            except ValueError:
                break
            found.append(record)
        return found


@dataclass(frozen=True)
class Gateway:
    """Where to send requests, and what is written down of them."""

    endpoint: str
    log: AccessLog


@contextmanager
def gateway(space: Space, folder: Path, *, logged: bool = True) -> Iterator[Gateway]:
    """A second gateway to the stack's buckets, with the same identities and policies; ``logged``: its access log is on."""
    server = S3(space.stack.place)
    port, grpc = ports.pick(2, space.stack.state.ports.values())
    with ExitStack() as stack:
        log = AccessLog(stack.enter_context(socket.create_server((HOST, 0))))
        thread = threading.Thread(target=log.serve, daemon=True)
        thread.start()
        config = folder / "access-log.json"
        forwarder = {"fluent_host": HOST, "fluent_port": log.listener.getsockname()[1], "marshal_as_json": True}
        config.write_text(json.dumps(forwarder), encoding="utf-8")
        filer = f"{HOST}:{server.ports['filer']}.{server.ports['filer_grpc']}"
        argv = [
            str(install.weed()),
            "-logtostderr",
            "-v=-1",
            "s3",
            f"-filer={filer}",
            f"-ip.bind={HOST}",
            "-port.iceberg=0",
            "-port.lance=0",
        ]
        argv += [f"-port={port}", f"-port.grpc={grpc}", f"-config={server.place.directory}/s3.json"]
        argv += [f"-auditLogConfig={config}"] if logged else []
        out = stack.enter_context((folder / "gateway.log").open("wb"))
        process = subprocess.Popen(argv, env={**base_environment(), **server.environment()}, stdout=out, stderr=out)
        try:
            until(lambda: not ports.is_free(port), 30, (folder / "gateway.log").read_text)
            yield Gateway(f"http://{HOST}:{port}", log)
        finally:
            process.kill()
            process.wait()
            for left in Path("/tmp").glob(f"seaweedfs-s3-{port}.sock"):
                left.unlink()
            log.listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
