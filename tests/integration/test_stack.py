"""The local stack keeps what it promises: data, users, isolation."""

from __future__ import annotations

from pipeline import settings
from tests.space import Space


def test_every_part_has_settings(namespace: Space) -> None:
    for model in settings.ALL.values():
        assert namespace.settings(model).namespace == namespace.name
