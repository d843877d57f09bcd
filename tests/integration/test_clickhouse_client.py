"""The ClickHouse client, migrations and table on a real server; every error says what to do."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from connectors.clickhouse import ddl, migrations
from connectors.clickhouse.client import AccessError, ClickHouseError, Client, UnreachableError
from connectors.clickhouse.store import ClickHouseStore, one_batch, read_events
from connectors.ranges import RejectedError, StoreError
from infra.stack import ports
from tests.archive_rows import plan_of, rows
from tests.sinks import clickhouse
from tests.space import Space


@pytest.fixture
def migrated(namespace: Space) -> Space:
    with clickhouse(namespace, "ADMIN") as admin:
        assert migrations.apply(admin, namespace.name) == [path.name for path in migrations.files().values()]
        assert migrations.apply(admin, namespace.name) == []
    return namespace


def test_wrong_password_and_no_server_are_told_apart(namespace: Space) -> None:
    url = namespace.env["AUDITWIRE_CLICKHOUSE_URL"]
    for where, error, said in (
        (url, AccessError, "refused the name or password of user sink"),
        (f"http://127.0.0.1:{ports.pick(1)[0]}", UnreachableError, "is it up, is AUDITWIRE_CLICKHOUSE_URL right"),
    ):
        with closing(Client(where, "sink", "wrong")) as client, pytest.raises(error, match=said):
            client.rows("SELECT 1")


def test_an_error_has_the_servers_code_and_quotes_no_data(namespace: Space) -> None:
    with clickhouse(namespace) as client, pytest.raises(ClickHouseError, match="FUNCTION_THROW_IF") as caught:
        client.rows("SELECT throwIf(1, 'canary')")
    assert caught.value.code == 395
    assert "canary" not in str(caught.value)


def test_an_error_in_the_middle_of_a_stream_is_seen(namespace: Space) -> None:
    with clickhouse(namespace) as client, pytest.raises(ClickHouseError):
        list(client.batches("SELECT throwIf(number = 3000000) FROM numbers(4000000)", max_block_size=1000))


def test_a_newer_database_is_not_touched(migrated: Space) -> None:
    with clickhouse(migrated, "ADMIN") as admin:
        admin.command("INSERT INTO migrations (number, name) VALUES (999, 'x')", database=migrated.name)
        with pytest.raises(migrations.MigrationError, match="migration 0999"):
            migrations.apply(admin, migrated.name)


def test_one_range_of_one_class_is_one_part_of_one_block(migrated: Space) -> None:
    of = rows(3000)
    plan = plan_of(of)
    with clickhouse(migrated, "CLICKHOUSE_SINK") as sink, clickhouse(migrated, "ADMIN") as admin:
        claim = ClickHouseStore(sink, migrated.name).take_over(plan.topic, plan.topic_id, plan.partition)
        opened = claim.open()
        opened.add(of)
        claim.write(plan, opened)
        parts = "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = {db:String} AND table = 'events'"
        assert admin.rows(parts, {"db": migrated.name}) == [[1, 3000]]


def test_a_range_of_which_one_class_was_stored_is_completed_not_doubled(migrated: Space) -> None:
    """A range of several classes is several parts, and a server that is killed may keep some of them."""
    of = rows(300, classes=("standard", "extended"))
    plan = plan_of(of)
    whole = one_batch([of], plan.topic_id, plan.partition)
    with clickhouse(migrated, "CLICKHOUSE_SINK") as sink:
        store = ClickHouseStore(sink, migrated.name)
        claim = store.take_over(plan.topic, plan.topic_id, plan.partition)
        claim._insert(plan, whole.filter(pc.equal(whole.column("processed_retention_class").cast(pa.string()), "standard")))
        claim = store.take_over(plan.topic, plan.topic_id, plan.partition)
        assert 0 < claim.prove(plan).count < plan.count
        opened = claim.open()
        opened.add(of)
        claim.write(plan.again(), opened)
        assert claim.prove(plan.again()).equals(plan)


def test_the_table_is_missing_says_so_and_is_waited_for(namespace: Space) -> None:
    with clickhouse(namespace, "CLICKHOUSE_SINK") as sink, pytest.raises(StoreError, match="UNKNOWN_"):
        ClickHouseStore(sink, namespace.name).take_over("t", "id", 0)


def test_data_of_a_wrong_type_is_refused_for_good(migrated: Space) -> None:
    of = rows(3)
    plan = plan_of(of)
    broken = one_batch([of], plan.topic_id, plan.partition)
    columns = [pa.array(["x"] * 3) if n == "occurred_at" else c for n, c in zip(broken.schema.names, broken.columns, strict=True)]
    with clickhouse(migrated, "CLICKHOUSE_SINK") as sink:
        claim = ClickHouseStore(sink, migrated.name).take_over(plan.topic, plan.topic_id, plan.partition)
        with pytest.raises(RejectedError, match="ClickHouse .* answered"):
            claim._insert(plan, pa.RecordBatch.from_arrays(columns, names=broken.schema.names))


def test_the_export_user_sees_one_tenant_only(migrated: Space) -> None:
    of = rows(200)
    plan = plan_of(of)
    with clickhouse(migrated, "CLICKHOUSE_SINK") as sink:
        claim = ClickHouseStore(sink, migrated.name).take_over(plan.topic, plan.topic_id, plan.partition)
        opened = claim.open()
        opened.add(of)
        claim.write(plan, opened)
    with clickhouse(migrated, "EXPORT") as export:
        found = export.rows("SELECT DISTINCT tenant_id FROM events_of(tenant = 'tenant-1')", database=migrated.name)
        assert found == [["tenant-1"]]
        with pytest.raises(ClickHouseError, match="ACCESS_DENIED"):
            export.rows("SELECT count() FROM events", database=migrated.name)
    with clickhouse(migrated) as operator:
        batches = list(read_events(operator, migrated.name, "tenant_id = {t:String}", {"t": "tenant-1"}))
        assert sum(len(b) for b in batches) == of.columns.column("tenant_id").to_pylist().count("tenant-1")
        assert batches[0].schema.names == list(ddl.columns())
