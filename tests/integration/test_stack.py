"""The servers of the local stack refuse what they should: each user may do what its part needs and nothing else."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from infra.stack import Stack, env
from infra.stack.servers.clickhouse import ClickHouse
from infra.stack.servers.kafka import Kafka
from pipeline import settings
from tests.space import Space, clickhouse_error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3(stack: Stack, identity: str, secret: str | None = None) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=stack.env["AUDITWIRE_S3_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id=identity,
        aws_secret_access_key=secret or stack.state.secrets[f"s3_{identity}"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


@pytest.fixture
def clickhouse(stack: Stack) -> ClickHouse:
    return cast(ClickHouse, stack.servers["clickhouse"])


@pytest.fixture
def events(new_analysed_space: Callable[[], Space], clickhouse: ClickHouse) -> str:
    """A database with ten events, half of them of tenant `demo`."""
    db = new_analysed_space().name
    clickhouse.query(f"CREATE DATABASE {db}", "admin")
    clickhouse.query(f"CREATE TABLE {db}.events (tenant_id String, n UInt64) ENGINE = MergeTree ORDER BY n", "admin")
    clickhouse.query(
        f"CREATE VIEW {db}.events_of DEFINER = admin SQL SECURITY DEFINER AS"
        f" SELECT n FROM {db}.events WHERE tenant_id = {{tenant:String}}",
        "admin",
    )
    clickhouse.query(f"INSERT INTO {db}.events SELECT if(number % 2, 'demo', 'acme'), number FROM numbers(10)", "sink")
    return db


def refused(clickhouse: ClickHouse, query: str, user: str) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        clickhouse.query(query, user)
    return clickhouse_error(caught.value)


def test_every_part_has_settings(namespace: Space) -> None:
    for model in settings.ALL.values():
        assert dict(namespace.settings(model)).get("namespace", namespace.name) == namespace.name
    for part in settings.PARTS:
        others = {"AUDITWIRE_ADMIN_KAFKA_PASSWORD", "AUDITWIRE_OPERATOR_CLICKHOUSE_PASSWORD"}
        assert not others & set(namespace.part_env(part))


@pytest.mark.parametrize(("user", "sees"), [("analyst_demo", "demo"), ("analyst_acme", "acme")])
def test_a_tenants_analyst_sees_the_tenants_rows_only(clickhouse: ClickHouse, events: str, user: str, sees: str) -> None:
    assert clickhouse.query(f"SELECT DISTINCT tenant_id FROM {events}.events", user) == f"{sees}\n"
    assert clickhouse.query(f"SELECT count() FROM {events}.events", user) == "5\n"
    assert clickhouse.query(f"SELECT count() FROM {events}.events", "analyst") == "10\n"
    assert "ACCESS_DENIED" in refused(clickhouse, f"INSERT INTO {events}.events VALUES ('{sees}', 1)", user)
    assert "SETTING_CONSTRAINT_VIOLATION" in refused(clickhouse, "SELECT 1 SETTINGS max_result_rows = 0", user)


def test_the_export_user_reads_through_the_view_only(clickhouse: ClickHouse, events: str) -> None:
    assert clickhouse.query(f"SELECT count() FROM {events}.events_of(tenant = 'demo')", "export") == "5\n"
    assert "ACCESS_DENIED" in refused(clickhouse, f"SELECT count() FROM {events}.events", "export")


@pytest.mark.parametrize("verb", ["DROP TABLE {}", "TRUNCATE TABLE {}", "ALTER TABLE {} DELETE WHERE 1"])
def test_the_sink_adds_rows_and_removes_none(clickhouse: ClickHouse, events: str, verb: str) -> None:
    rows = "SELECT * FROM input('tenant_id String, n UInt64') FORMAT TSV\ndemo\t11\n"
    clickhouse.query(f"INSERT INTO {events}.events {rows}", "sink")
    assert clickhouse.query(f"SELECT count() FROM {events}.events", "sink") == "11\n"
    assert "ACCESS_DENIED" in refused(clickhouse, verb.format(f"{events}.events"), "sink")


def test_the_user_without_a_password_reads_nothing(clickhouse: ClickHouse, events: str) -> None:
    for query in (f"SELECT * FROM {events}.events", f"DROP DATABASE {events}"):
        with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(clickhouse.endpoint, query.encode()):
            pass
        assert "ACCESS_DENIED" in clickhouse_error(caught.value)


def test_wrong_passwords_are_refused(stack: Stack, clickhouse: ClickHouse) -> None:
    wrong = urllib.request.Request(clickhouse.endpoint, b"SELECT 1", {"X-ClickHouse-User": "sink", "X-ClickHouse-Key": "wrong"})
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(wrong):
        pass
    assert "AUTHENTICATION_FAILED" in clickhouse_error(caught.value)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3(stack, "archive", "wrong").list_buckets()
    dsn = env.postgres_dsn(stack.state, "auditwire", "auditwire")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn.replace(stack.state.secrets["postgres_auditwire"], "wrong"))
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(env.postgres_dsn(stack.state, "export", "registry"))
    said: list[KafkaError] = []
    client = cast(Kafka, stack.servers["kafka"]).client("sdk")
    kafka = AdminClient({**client, "sasl.password": "wrong", "error_cb": said.append, "log_level": 0})
    with pytest.raises(KafkaException):
        kafka.list_topics(timeout=2)
    kafka.poll(0)
    assert KafkaError._AUTHENTICATION in {e.code() for e in said}


def test_a_kafka_user_may_do_nothing_before_it_is_granted(stack: Stack, namespace: Space) -> None:
    kafka = cast(Kafka, stack.servers["kafka"])
    processor = AdminClient(kafka.client("processor"))
    done = processor.create_topics([NewTopic(f"{namespace.name}.own", 1, 1)])
    with pytest.raises(KafkaException) as caught:
        done[f"{namespace.name}.own"].result(20)
    assert caught.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_the_archive_identity_adds_objects_and_removes_none(stack: Stack, namespace: Space) -> None:
    bucket = namespace.env["AUDITWIRE_S3_BUCKET"]
    admin, archive, reader = s3(stack, "admin"), s3(stack, "archive"), s3(stack, "reader")
    admin.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    version = archive.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")["VersionId"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        archive.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*")
    assert archive.head_object(Bucket=bucket, Key="a")["ContentLength"] == 1
    assert archive.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
    assert reader.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"
    for who in (archive, reader):
        with pytest.raises(ClientError, match="AccessDenied"):
            who.delete_object(Bucket=bucket, Key="a")
        with pytest.raises(ClientError, match="AccessDenied"):
            who.delete_object(Bucket=bucket, Key="a", VersionId=version, BypassGovernanceRetention=True)
        with pytest.raises(ClientError, match="AccessDenied"):
            who.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.put_object(Bucket=bucket, Key="b", Body=b"1")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3(stack, "export").list_objects_v2(Bucket=bucket)


def test_the_filer_answers_nobody_without_its_key(stack: Stack, namespace: Space) -> None:
    """It knows nothing of object lock: with an open port, anybody on this machine could destroy locked objects."""
    bucket = namespace.env["AUDITWIRE_S3_BUCKET"]
    s3(stack, "admin").create_bucket(Bucket=bucket)
    s3(stack, "admin").put_object(Bucket=bucket, Key="a", Body=b"1")
    url = f"http://127.0.0.1:{stack.state.ports['filer']}/buckets/{bucket}/a"
    for method in ("GET", "DELETE"):
        request = urllib.request.Request(url, method=method)
        with pytest.raises(urllib.error.HTTPError, match="401"), urllib.request.urlopen(request):
            pass
    assert (
        s3(stack, "reader" if bucket.endswith("-archive") else "admin").get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"
    )


def test_no_secret_shows_in_arguments(stack: Stack) -> None:
    """Everybody on a machine can read the arguments of every process."""
    shown = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert str(stack.directory) in shown
    assert not [name for name, secret in stack.state.secrets.items() if secret in shown]


def test_state_is_private(stack: Stack) -> None:
    assert stack.directory.stat().st_mode & 0o077 == 0
    for name in ("state.json", "s3.json", "kafka.properties", "ingest-tokens.yaml", "clickhouse/users.xml"):
        assert (stack.directory / name).stat().st_mode & 0o077 == 0, name
