"""`auditwired migrate`: topics, ACLs, schemas, tables and buckets as the contract says. Safe to repeat, deletes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing

import schemas
from connectors import buckets, postgres
from connectors.clickhouse import migrations
from connectors.clickhouse.client import ClickHouseError, Client
from connectors.kafka import cluster_of
from connectors.kafka_admin import KafkaAdmin, ProvisionError, catalogue
from connectors.registry import RegistryError, SchemaRegistry
from pipeline import settings

REFUSALS = (
    ProvisionError,
    RegistryError,
    ClickHouseError,
    migrations.MigrationError,
    buckets.BucketError,
    postgres.PostgresError,
)
Step = Callable[[settings.Migrate], list[str]]


def kafka(values: settings.Migrate) -> list[str]:
    """Topics with their settings, then ACLs; returns when the brokers obey them."""
    admin = KafkaAdmin(cluster_of(dict(values)))
    admin.wait()
    found = catalogue(values.namespace)
    return admin.topics(found, values.replication_factor, values.min_insync_replicas) + admin.acls(found)


def registry(values: settings.Migrate) -> list[str]:
    """The subject of each topic (TopicNameStrategy), FULL_TRANSITIVE, with the newest schema."""
    client = SchemaRegistry(values.schema_registry_url)
    done = []
    for topic, entry in catalogue(values.namespace)["topics"].items():
        subject, text = f"{topic}-value", schemas.schema_text(entry["schema"].removesuffix(".avsc"))
        client.set_compatibility(subject, "FULL_TRANSITIVE")
        done.append(f"subject {subject} has schema id {client.register(subject, text)}")
    client.close()
    return done


def tables(values: settings.Migrate) -> list[str]:
    """ClickHouse database, tables and views."""
    with closing(Client(values.clickhouse_url, values.clickhouse_user, values.clickhouse_password.get_secret_value())) as client:
        return migrations.apply(client, values.namespace)


def jobs(values: settings.Migrate) -> list[str]:
    """PostgreSQL tables of the export service."""
    return postgres.apply(values.postgres_dsn.get_secret_value())


def archive(values: settings.Migrate) -> list[str]:
    """Archive and extract buckets."""
    s3 = buckets.admin_client(
        values.s3_endpoint, values.s3_region, values.s3_access_key_id, values.s3_secret_access_key.get_secret_value()
    )
    with buckets.explained(values.s3_endpoint, values.s3_access_key_id):
        done = buckets.archive_bucket(s3, values.s3_bucket, values.object_lock_mode, values.object_lock_days)
        return done + buckets.extract_bucket(s3, values.s3_extract_bucket, values.extract_days)


STEPS: tuple[Step, ...] = (kafka, registry, tables, jobs, archive)


def provision(values: settings.Migrate, report: Callable[[str, list[str]], None] = lambda name, done: None) -> None:
    """Run each step and report its name and what it did. Raises the step's own error, whose text says what to do."""
    for step in STEPS:
        report(step.__name__, step(values))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: everything is in the settings."""
    parser.epilog = "Order of a roll-out: migrate, sinks, processors, SDKs. Settings: AUDITWIRE_ADMIN_* (docs/configuration.md)."


def run(args: argparse.Namespace) -> int:
    """Exit code 0: everything is as the contract says; 1: a server refused, with the reason on standard error."""
    del args
    values = settings.load(settings.Migrate)
    try:
        provision(values, lambda name, done: print(f"{name}: {'; '.join(done) or 'nothing to do'}", flush=True))
    except (
        ProvisionError,
        RegistryError,
        ClickHouseError,
        migrations.MigrationError,
        buckets.BucketError,
        postgres.PostgresError,
    ) as exc:
        sys.stderr.write(f"auditwired migrate: {exc}\n")
        return 1
    return 0
