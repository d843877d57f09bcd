"""The five servers, one file each."""

from __future__ import annotations

from infra.stack.server import Server
from infra.stack.servers.clickhouse import ClickHouse
from infra.stack.servers.kafka import Kafka
from infra.stack.servers.postgres import Postgres
from infra.stack.servers.registry import Registry
from infra.stack.servers.s3 import S3

ALL: dict[str, type[Server]] = {s.name: s for s in (Postgres, S3, ClickHouse, Kafka, Registry)}
