"""Five real servers from package registries, without Docker: PostgreSQL, SeaweedFS S3, ClickHouse, Kafka, Apicurio Registry."""

from infra.stack.server import StackError
from infra.stack.stack import Stack

__all__ = ["Stack", "StackError"]
