"""Celery: one client a worker process, and a context that travels with each task.

    celery -A examples.celery_app.tasks worker     (environment: . .auditwire/env, or AUDITWIRE_TRANSPORT=print)
    python -m examples.celery_app.send

The broker is a folder here (SHOP_BROKER_DIR), so that nothing else needs to run.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery, Task  # type: ignore[import-untyped]
from celery.signals import worker_process_init, worker_process_shutdown  # type: ignore[import-untyped]

from auditwire import AuditClient, AuditEvent

FOLDER = Path(os.environ.get("SHOP_BROKER_DIR") or Path(tempfile.gettempdir(), "auditwire-celery"))
FOLDER.mkdir(parents=True, exist_ok=True)
app = Celery("shop", broker="filesystem://", result_backend=f"file://{FOLDER}")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER),
    "data_folder_out": str(FOLDER),
    "control_folder": str(FOLDER / "control"),
}
app.conf.task_acks_late = True  # a task whose worker dies runs again: both tries are in the audit


@cache
def client() -> AuditClient:
    """This process's client. The parent of prefork workers needs none; an inherited one would be safe too."""
    return AuditClient.from_env(service="shop-worker", tenant="demo")


@worker_process_init.connect  # type: ignore[untyped-decorator]
def connect(**_: Any) -> None:
    """At the start of a worker process: a wrong setting shows here and not with the first task."""
    client()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def close(**_: Any) -> None:
    """At its end: wait until everything is stored."""
    client().close()


class AuditedTask(Task):  # type: ignore[misc]
    """Sends the sender's context along and works inside it; each run is two events."""

    def apply_async(self, *args: Any, headers: dict[str, Any] | None = None, **options: Any) -> Any:
        """As Celery's, with the context as a header."""
        return super().apply_async(*args, headers={**(headers or {}), "audit": dict(client().context_fields)}, **options)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the task in the context that came with it."""
        known = {"tool_name": self.name, "tool_call_id": self.request.id}
        with client().context(**(self.request.get("audit") or {}), agent_id="shop-worker"):
            client().record(AuditEvent(event_type="tool.invoked", **known))
            start = time.perf_counter()
            try:
                result = super().__call__(*args, **options)
            except Exception as error:
                client().record(AuditEvent(event_type="tool.failed", outcome="error", error_type=type(error).__name__, **known))
                raise
            took = (time.perf_counter() - start) * 1000
            client().record(AuditEvent(event_type="tool.responded", outcome="success", duration_ms=took, **known))
            return result


@app.task(base=AuditedTask, name="pack")  # type: ignore[untyped-decorator]
def pack(order: int) -> int:
    """A task; what it records itself has the sender's context too."""
    if order < 0:
        raise ValueError("there is no such order")
    client().record(AuditEvent(event_type="order.packed", target_type="Order", target_id=str(order)))
    return os.getpid()
