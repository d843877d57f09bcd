"""Sends tasks, each in the context of its session and person; see tasks.py."""

from __future__ import annotations

from examples.celery_app.tasks import client, pack


def main() -> None:
    with client() as audit:
        for order, person in enumerate(("ada@example.com", "bob@example.com", "cleo@example.com", "dan@example.com")):
            with audit.context(session_id=f"order-{order}", human_principal_id=person):
                pack.delay(order)
        with audit.context(session_id="order-none", human_principal_id="eve@example.com"):
            pack.delay(-1)


if __name__ == "__main__":
    main()
