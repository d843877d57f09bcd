"""The archive bucket of a test's namespace, as the identities that use it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from connectors import buckets, parquet
from connectors.archive import Archive
from connectors.s3 import Bucket
from connectors.spill import SpillFolder
from pipeline import settings
from tests.space import Space


def create(space: Space) -> None:
    """What `auditwired migrate` does about the bucket alone."""
    values = space.settings(settings.Migrate)
    client = buckets.admin_client(
        values.s3_endpoint, values.s3_region, values.s3_access_key_id, values.s3_secret_access_key.get_secret_value()
    )
    buckets.archive_bucket(client, values.s3_bucket, "GOVERNANCE", 1)
    client.close()


def bucket(
    space: Space, role: str = "archive", *, create_only: bool = True, endpoint: str = "", name: str = "", secret: str = ""
) -> Bucket:
    """The bucket as ``archive``, ``operator``, ``reader`` or ``admin``."""
    known = space.stack.state.secrets[f"s3_{role}"]
    return Bucket(
        endpoint or space.env["AUDITWIRE_S3_ENDPOINT"],
        "us-east-1",
        name or space.env["AUDITWIRE_S3_BUCKET"],
        role,
        secret or known,
        create_only=create_only,
        timeout=20,
    )


def archive(space: Space, spill: SpillFolder, *, create_only: bool = True) -> Archive:
    """The archive store of the namespace."""
    return Archive(bucket(space, create_only=create_only), spill)


def doubles(of: Bucket) -> list[str]:
    """Keys of events, manifests and plans that have more than one version or are hidden: there must never be one."""
    seen: set[str] = set()
    found = []
    for prefix in ("events/", "ranges/", "plans/"):
        for version in of.versions(prefix):
            if version.key in seen or version.deleted:
                found.append(version.key)
            seen.add(version.key)
    return found


def stored(of: Bucket, space: Space) -> pa.Table:
    """Every archived event with its position, by partition and offset."""
    path = space.folder / "copy.parquet"
    tables = [parquet.schema().empty_table()]
    for key in of.keys("events/"):
        of.download(key, path)
        tables.append(pa.Table.from_batches(list(parquet.read(path))))
    return pa.concat_tables(tables).sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])


def offsets(table: pa.Table) -> Iterator[tuple[int, int]]:
    """(partition, offset) of each row."""
    return zip(np.asarray(table["kafka_partition"]).tolist(), np.asarray(table["kafka_offset"]).tolist(), strict=True)


def hide(space: Space, key: str) -> None:
    """What a plain DELETE of an administrator does: a delete marker on top."""
    values = space.settings(settings.Migrate)
    client = buckets.admin_client(
        values.s3_endpoint, values.s3_region, values.s3_access_key_id, values.s3_secret_access_key.get_secret_value()
    )
    client.delete_object(Bucket=values.s3_bucket, Key=key)
    client.close()
