"""SeaweedFS's S3 gateway with its master, volume server and filer in one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.stack import install, state
from infra.stack.server import HOST, Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ROLES = ("master", "volume", "filer", "admin")
_PROBE = "stack-probe"
_READ_BUCKET = (
    "ListBucket",
    "ListBucketVersions",
    "GetBucketLocation",
    "GetBucketVersioning",
    "GetBucketObjectLockConfiguration",
)
_READ_OBJECT = ("GetObject", "GetObjectVersion", "GetObjectRetention")
_WRITE_OBJECT = ("PutObject", "AbortMultipartUpload", "ListMultipartUploadParts")


class S3(Server):
    """Identities with policies of their own; the filer's port, which knows no object lock, answers only who has our keys."""

    name = "s3"

    def prepare(self) -> None:
        self.data.mkdir(exist_ok=True, mode=0o700)
        self._remove_sockets()
        state.private(
            self.place.directory / "s3.json", json.dumps({"identities": self._identities(), "policies": _policies()}, indent=1)
        )

    def _identities(self) -> list[dict[str, object]]:
        """Only `admin` may do everything; the others may do what the policy of their name says."""
        return [
            {
                "name": name,
                "credentials": [{"accessKey": name, "secretKey": self.secrets[f"s3_{name}"]}],
                **({"actions": ["Admin"]} if name == "admin" else {"policyNames": [name]}),
            }
            for name in state.S3_IDENTITIES
        ]

    def command(self) -> list[str]:
        argv = [str(install.weed()), "-logtostderr", "-v=-1", "mini", f"-dir={self.data}", f"-ip={HOST}", f"-ip.bind={HOST}"]
        argv += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
        argv += [
            "-s3.autoCreateBucket=false",
            "-volume.max=2000",
            "-master.volumeSizeLimitMB=256",
            f"-s3.config={self.place.directory}/s3.json",
            f"-s3.port={self.ports['s3']}",
        ]
        argv += [f"-{role}.port={self.ports[role]}" for role in _ROLES]
        return argv + [f"-{role}.port.grpc={self.ports[role + '_grpc']}" for role in ("s3", *_ROLES)]

    def environment(self) -> dict[str, str]:
        return {
            "WEED_JWT_SIGNING_KEY": self.secrets["jwt_volume"],
            "WEED_JWT_SIGNING_READ_KEY": self.secrets["jwt_volume_read"],
            "WEED_JWT_FILER_SIGNING_KEY": self.secrets["jwt_filer"],
            "WEED_JWT_FILER_SIGNING_READ_KEY": self.secrets["jwt_filer_read"],
        }

    def ready(self) -> bool:
        """Reads an object: the gateway answers long before it finds the volumes again."""
        try:
            return self._client.get_object(Bucket=_PROBE, Key=_PROBE)["Body"].read() == b"ready"
        except ClientError as exc:
            if exc.response["Error"]["Code"] == "NoSuchBucket":
                self._client.create_bucket(Bucket=_PROBE)
            elif exc.response["Error"]["Code"] != "NoSuchKey":
                raise
            self._client.put_object(Bucket=_PROBE, Key=_PROBE, Body=b"ready")
            return False

    @cached_property
    def _client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="admin",
            aws_secret_access_key=self.secrets["s3_admin"],
            config=Config(s3={"addressing_style": "path"}, connect_timeout=1, read_timeout=2, retries={"max_attempts": 1}),
        )

    def ended(self) -> None:
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """It puts sockets named after its ports into /tmp, whatever TMPDIR says, and leaves them there."""
        for use in ("s3", "s3_grpc", *(r + kind for r in _ROLES for kind in ("", "_grpc"))):
            for socket in Path("/tmp").glob(f"seaweedfs-*-{self.ports[use]}.sock"):  # noqa: S108
                socket.unlink(missing_ok=True)

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.ports['s3']}"


def _policies() -> list[dict[str, str]]:
    """What each identity may do. In an archive bucket `retention` may delete events whose lock has ended and lengthen locks;
    nobody but `admin` may delete anything else there, or unlock anything.
    """
    read_archive = _policy("archive", _READ_BUCKET, _READ_OBJECT)
    add_to_archive = _policy("archive", (*_READ_BUCKET, "ListBucketMultipartUploads"), (*_READ_OBJECT, *_WRITE_OBJECT))
    policies = {
        "archive": add_to_archive,
        "rebuild": add_to_archive,
        "export": _policy("extracts", ("ListBucket", "GetBucketLocation"), ("GetObject", "DeleteObject", *_WRITE_OBJECT)),
        "reader": read_archive,
        "operator": read_archive,
        "retention": _statements(
            ("audit*-archive", _READ_BUCKET),
            ("audit*-archive/*", (*_READ_OBJECT, "GetObjectLegalHold")),
            ("audit*-archive/events/*", ("DeleteObjectVersion", "PutObjectRetention")),
            ("audit*-archive/deletions/*", ("PutObject",)),
        ),
    }
    return [{"name": name, "content": content} for name, content in policies.items()]


def _policy(suffix: str, on_bucket: Sequence[str], on_object: Sequence[str]) -> str:
    return _statements((f"audit*-{suffix}", on_bucket), (f"audit*-{suffix}/*", on_object))


def _statements(*pairs: tuple[str, Sequence[str]]) -> str:
    allow = [
        {"Effect": "Allow", "Action": [f"s3:{a}" for a in actions], "Resource": [f"arn:aws:s3:::{what}"]}
        for what, actions in pairs
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": allow})


def bucket(namespace: str, suffix: str) -> str:
    """Name of a namespace's bucket; buckets cannot have underscores."""
    return f"{namespace.replace('_', '-')}-{suffix}"
