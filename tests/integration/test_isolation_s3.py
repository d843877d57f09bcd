"""Each S3 identity, and none, against buckets and objects it has no business with, in over 100 requests.

They go to a gateway whose access log is on, and each that was refused is looked for in it.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.isolation import Watch, World
from tests.s3_audit import Gateway, gateway
from tests.space import Space
from tests.waiting import until

IDENTITIES = ("archive", "export", "reader", "operator")
KEY = "events/tenant_id=acme/part.parquet"


def client(space: Space, identity: str | None, secret: str | None = None, endpoint: str = "") -> Any:
    """boto3 as the identity; nobody where it is None. ``endpoint``: another gateway than the stack's."""
    config: dict[str, Any] = {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 1}}
    keys: dict[str, Any] = {}
    if identity is None:
        config["signature_version"] = UNSIGNED
    else:
        config["signature_version"] = "s3v4"
        keys = {"aws_access_key_id": identity, "aws_secret_access_key": secret or space.stack.state.secrets[f"s3_{identity}"]}
    where = endpoint or space.env["AUDITWIRE_S3_ENDPOINT"]
    return boto3.client("s3", endpoint_url=where, region_name="us-east-1", config=Config(**config), **keys)


@dataclass(frozen=True)
class Place:
    """An object of the other tenant in a bucket, and a bucket that the identity may write or read."""

    bucket: str
    key: str
    version: str
    own_bucket: str


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def space(new_space: Callable[[], Space], world: World) -> Iterator[Space]:
    made = new_space()
    made.provision()
    admin = client(made, "admin")
    body = "\n".join(e["message"] for e in world.other).encode()
    for bucket in buckets(made).values():
        admin.put_object(Bucket=bucket, Key=KEY, Body=body, Metadata={"note": world.other[0]["reason"]})
    yield made
    admin.close()


@pytest.fixture(scope="module")
def audited(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(space, tmp_path_factory.mktemp("gateway")) as running:
        yield running


def buckets(space: Space) -> dict[str, str]:
    return {"archive": space.env["AUDITWIRE_S3_BUCKET"], "extracts": space.env["AUDITWIRE_S3_EXTRACT_BUCKET"]}


def place(space: Space, forbidden: str) -> Place:
    """Where the identity has no business."""
    names = buckets(space)
    admin = client(space, "admin")
    version = admin.head_object(Bucket=names[forbidden], Key=KEY).get("VersionId", "null")
    admin.close()
    return Place(names[forbidden], KEY, version, names["extracts" if forbidden == "archive" else "archive"])


def reading(p: Place) -> list[tuple[str, dict[str, Any]]]:
    """Ways to see an object, or that there is one."""
    one = {"Bucket": p.bucket, "Key": p.key}
    return [
        ("get_object", one),
        ("get_object", {**one, "VersionId": p.version}),
        ("get_object", {**one, "Range": "bytes=0-40"}),
        ("head_object", one),
        ("list_objects", {"Bucket": p.bucket}),
        ("list_objects_v2", {"Bucket": p.bucket, "Prefix": "events/"}),
        ("list_objects_v2", {"Bucket": p.bucket, "Delimiter": "/"}),
        ("list_object_versions", {"Bucket": p.bucket}),
        ("list_multipart_uploads", {"Bucket": p.bucket}),
        ("get_object_tagging", one),
        ("get_object_acl", one),
        ("get_object_attributes", {**one, "ObjectAttributes": ["ETag", "ObjectSize"]}),
        ("get_bucket_acl", {"Bucket": p.bucket}),
        ("get_bucket_policy", {"Bucket": p.bucket}),
        ("copy_object", {"Bucket": p.own_bucket, "Key": "mine", "CopySource": {"Bucket": p.bucket, "Key": p.key}}),
        ("get_object", {"Bucket": p.own_bucket, "Key": f"../{p.bucket}/{p.key}"}),
        ("get_object", {"Bucket": p.own_bucket, "Key": f"x/../../{p.bucket}/{p.key}"}),
        ("get_object", {"Bucket": p.own_bucket, "Key": f"/{p.bucket}/{p.key}"}),
    ]


def writing(bucket: str) -> list[tuple[str, dict[str, Any]]]:
    """Ways to change or hide an object."""
    one = {"Bucket": bucket, "Key": KEY}
    return [
        ("put_object", {**one, "Body": b"x"}),
        ("put_object", {"Bucket": bucket, "Key": "new", "Body": b"x"}),
        ("delete_object", one),
        ("delete_objects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": KEY}]}}),
        ("create_multipart_upload", one),
        ("put_object_acl", {**one, "ACL": "public-read"}),
        ("put_bucket_acl", {"Bucket": bucket, "ACL": "public-read"}),
        ("put_bucket_policy", {"Bucket": bucket, "Policy": "{}"}),
        ("delete_bucket", {"Bucket": bucket}),
        ("put_object_tagging", {**one, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
        ("copy_object", {"Bucket": bucket, "Key": "copy", "CopySource": one}),
    ]


def answer(s3: Any, operation: str, fields: dict[str, Any]) -> tuple[bool, str]:
    """Whether it was served, and everything that was said."""
    try:
        said = getattr(s3, operation)(**fields)
    except ClientError as exc:
        return False, str(exc.response) + str(exc)
    body = said["Body"].read().decode("utf-8", "replace") if "Body" in said else ""
    return not said.get("Errors"), str(said) + body


def presigned(s3: Any, p: Place) -> Iterator[str]:
    """Addresses that the identity signs itself, and signed ones that are bent to another object."""
    one = {"Bucket": p.bucket, "Key": p.key}
    yield s3.generate_presigned_url("get_object", one)
    yield s3.generate_presigned_url("get_object", {**one, "VersionId": p.version})
    yield s3.generate_presigned_url("head_object", one, HttpMethod="GET")
    yield s3.generate_presigned_url("list_objects_v2", {"Bucket": p.bucket})
    own = s3.generate_presigned_url("get_object", {"Bucket": p.own_bucket, "Key": p.key})
    yield own.replace(f"/{p.own_bucket}/", f"/{p.bucket}/")
    yield own.replace(f"/{p.own_bucket}/", f"/{p.own_bucket}/../{p.bucket}/")
    yield own.replace(f"/{p.own_bucket}/", f"/{p.own_bucket}%2f..%2f{p.bucket}/")
    yield own.replace("X-Amz-Credential=", "X-Amz-Credential=admin&X-Amz-Was=").replace(p.own_bucket, p.bucket)


def fetched(url: str) -> tuple[bool, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as said:  # the stack's own address
            return True, said.read().decode("utf-8", "replace") + str(said.headers)
    except urllib.error.HTTPError as exc:
        with exc:
            return False, exc.read().decode("utf-8", "replace") + str(exc.headers)


def try_reading(space: Space, watch: Watch, kind: str, s3: Any, forbidden: str) -> list[str]:
    """All ways to read there; returns those that were served."""
    p, served = place(space, forbidden), []
    calls = [(name, answer(s3, name, fields)) for name, fields in reading(p)]
    if s3.meta.config.signature_version is not UNSIGNED:
        calls += [("presigned", fetched(url)) for url in presigned(s3, p)]
    for name, (ok, text) in calls:
        watch.look(kind, "served" if ok else "refused", "", text)
        served += [name] * ok
    s3.close()
    return served


def written_down(audited: Gateway, before: int, requests: int, seconds: float = 30) -> list[dict[str, Any]]:
    """Records of the requests since; fails where they are not as many. The log comes a moment after the answer."""
    until(
        lambda: len(audited.log.records()) - before >= requests,
        seconds,
        lambda: f"{len(audited.log.records()) - before} of {requests}",
    )
    found = audited.log.records()[before:]
    assert len(found) == requests
    return found


def test_no_identity_gets_an_object_that_is_none_of_its_business(space: Space, world: World, audited: Gateway) -> None:
    before = len(audited.log.records())
    watch, served = Watch(world.secrets()), dict[str, list[str]]()
    for identity in IDENTITIES:
        forbidden = "archive" if identity == "export" else "extracts"
        kind = f"S3 {identity} reads {forbidden}"
        served[kind] = try_reading(space, watch, kind, client(space, identity, endpoint=audited.endpoint), forbidden)
    for bucket in ("archive", "extracts"):
        nobody = client(space, None, endpoint=audited.endpoint)
        served[f"nobody, {bucket}"] = try_reading(space, watch, f"S3 nobody reads {bucket}", nobody, bucket)
        for identity in ("reader", "admin"):
            wrong, kind = client(space, identity, "wrong" * 8, audited.endpoint), f"S3 {identity}, wrong secret, reads {bucket}"
            served[kind] = try_reading(space, watch, kind, wrong, bucket)
    print("\n" + watch.table())
    assert {r["status"] for r in written_down(audited, before, watch.total)} <= {400, 403, 404}
    assert watch.leaks == []
    assert {kind: names for kind, names in served.items() if names} == {}
    assert watch.total > 150


def test_no_identity_changes_what_it_may_only_read(space: Space, world: World, audited: Gateway) -> None:
    before = len(audited.log.records())
    watch, served = Watch(world.secrets()), list[tuple[str, str, str]]()
    names = buckets(space)
    cases = [("export", "archive"), ("archive", "extracts"), *((i, b) for i in ("reader", "operator", None) for b in names)]
    for identity, bucket in cases:
        s3 = client(space, identity, endpoint=audited.endpoint)
        for operation, fields in writing(names[bucket]):
            ok, text = answer(s3, operation, fields)
            watch.look(f"S3 {identity or 'nobody'} writes {bucket}", "served" if ok else "refused", "", text)
            served += [(str(identity), bucket, operation)] * ok
        s3.close()
    print("\n" + watch.table())
    # DeleteObjects answers 200 and refuses key by key.
    served_status = [r for r in written_down(audited, before, watch.total) if r["status"] < 400]
    assert {(r["operation"], r["key"]) for r in served_status} == {("REST.POST.OBJECT", "")}
    assert len(served_status) == len([identity for identity, _ in cases if identity])
    assert watch.leaks == []
    assert served == []
    admin = client(space, "admin")
    for bucket in names.values():
        assert world.other[0]["message"] in admin.get_object(Bucket=bucket, Key=KEY)["Body"].read().decode()
    admin.close()


def test_without_the_access_log_nothing_is_written_down(space: Space, tmp_path: Path) -> None:
    with gateway(space, tmp_path, logged=False) as silent:
        assert not answer(
            client(space, "reader", endpoint=silent.endpoint), "list_objects", {"Bucket": buckets(space)["extracts"]}
        )[0]
        with pytest.raises(AssertionError, match="0 of 1"):
            written_down(silent, 0, 1, seconds=1)


def test_an_identity_with_every_right_gets_it(space: Space, world: World) -> None:
    """Negative control: the same requests as `admin`."""
    watch = Watch(world.secrets())
    served = try_reading(space, watch, "S3 admin", client(space, "admin"), "archive")
    assert {"get_object", "copy_object", "presigned", "list_objects_v2"} <= set(served)
    assert len(watch.leaks) >= 3
