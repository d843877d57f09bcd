"""One S3 bucket: create-only PUT, HEAD with metadata, listings with versions; boto3 stays in here.

S3Error
 ├─ Exists       the object is there already: compare it with what was to be written
 ├─ Unavailable  no answer, or "try later": the outcome is unknown; look at the store, then try again
 └─ Refused      wrong key, missing right or missing bucket: trying again does not help, correct the settings
Every text names the server and says what to do; none quotes a secret or an object's content.
"""

from __future__ import annotations

import base64
import hashlib
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef

PART_BYTES = 64 << 20
PROBE_KEY = "probe/create-only"
WRONG_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidToken"}
CONFLICT_ATTEMPTS = 6


class S3Error(Exception):
    """Something with the store; see the tree at the top of the module."""


class Exists(S3Error):  # noqa: N818
    """An object of that key is there already; nothing was written."""


class Unavailable(S3Error):  # noqa: N818
    """No answer or "try later". A write may or may not have been applied."""


class Refused(S3Error):  # noqa: N818
    """The store understood and said no; correct the settings or the rights."""


class Missing(Refused):
    """There is no such object, or a delete marker hides it."""


@dataclass(frozen=True)
class Stored:
    """What the store says about the latest version of an object; ``metadata`` has lower-case names."""

    key: str
    size: int
    etag: str
    version: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Version:
    """One version of an object, or a delete marker (``deleted``) that hides the versions before it."""

    key: str
    version: str
    latest: bool
    size: int
    deleted: bool


@dataclass(frozen=True)
class Locked:
    """Until when (UTC) a version cannot be deleted, None: not at all; in which mode; ``held``: a legal hold is on it besides."""

    until: datetime | None
    mode: str
    held: bool


class Bucket:
    """A bucket as one identity. Safe from several threads. ``create_only=False`` lets PUT overwrite: for negative tests only."""

    def __init__(
        self,
        endpoint: str,
        region: str,
        name: str,
        access_key_id: str,
        secret_access_key: str,
        *,
        create_only: bool = True,
        timeout: float = 20.0,
    ) -> None:
        self.endpoint, self.name, self._key_id = endpoint, name, access_key_id
        self._condition: dict[str, Any] = {"IfNoneMatch": "*"} if create_only else {}
        self._s3: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=5,
                read_timeout=timeout,
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
        )
        weakref.finalize(self, self._s3.close)  # the client is in cycles: its sockets would wait for the garbage collector

    def put(self, key: str, path: Path, metadata: Mapping[str, str]) -> None:
        """Create the object from a file, sent with SHA-256 checksums; return means durable. Above 64 MiB in parts.

        Raises Exists where the key is taken (nothing is written then), Unavailable (unknown outcome), Refused.
        """
        with path.open("rb") as body:
            self._put(key, body, metadata, in_parts=path.stat().st_size > PART_BYTES)

    def create(self, key: str, data: bytes) -> None:
        """The same of a small object in memory."""
        self._put(key, BytesIO(data), {}, in_parts=False)

    def _put(self, key: str, body: BufferedReader | BytesIO, metadata: Mapping[str, str], *, in_parts: bool) -> None:
        for attempt in range(CONFLICT_ATTEMPTS):
            body.seek(0)
            try:
                with self._errors("write", key):
                    (self._put_parts if in_parts else self._put_whole)(key, body, metadata)
                return
            except _BusyError:  # another writer of the same key is at work: its outcome decides
                time.sleep(0.1 * 2**attempt)
        raise Unavailable(f"S3 {self.endpoint}: other writers keep {self.name}/{key} busy; stop the second archive sink, if any")

    def head(self, key: str) -> Stored | None:
        """The latest version's size, ETag and metadata; None where there is none (or a delete marker hides it)."""
        with self._errors("read", key):
            try:
                found = self._s3.head_object(Bucket=self.name, Key=key)
            except ClientError as exc:
                if _status(exc) == 404:
                    return None
                raise
        return _stored(key, found)

    def download(self, key: str, path: Path, version: str | None = None) -> Stored:
        """The object's bytes (latest version unless named) into a file, streamed; what `head` says of it. Raises Missing."""
        extra: dict[str, Any] = {"VersionId": version} if version else {}
        with self._errors("read", key):
            found = self._s3.get_object(Bucket=self.name, Key=key, **extra)
            with path.open("wb") as out:
                for piece in found["Body"].iter_chunks(1 << 20):
                    out.write(piece)
        return _stored(key, found)

    def read(self, key: str, version: str | None = None) -> bytes:
        """The bytes of a small object."""
        extra: dict[str, Any] = {"VersionId": version} if version else {}
        with self._errors("read", key):
            return self._s3.get_object(Bucket=self.name, Key=key, **extra)["Body"].read()

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Keys below a prefix, rising, those after ``after`` only (delete markers hide objects from it)."""
        extra: dict[str, Any] = {"StartAfter": after} if after else {}
        with self._errors("list", prefix):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, **extra):
                yield from (entry["Key"] for entry in page.get("Contents", []))

    def versions(self, prefix: str) -> Iterator[Version]:
        """All versions and delete markers below a prefix: what a plain listing hides."""
        with self._errors("list", prefix):
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix):
                for v in page.get("Versions", []):
                    yield Version(v["Key"], v["VersionId"], v["IsLatest"], v["Size"], deleted=False)
                for m in page.get("DeleteMarkers", []):
                    yield Version(m["Key"], m["VersionId"], m["IsLatest"], 0, deleted=True)

    def delete_version(self, key: str, version: str) -> None:
        """Delete one version for ever. Raises Refused where object lock or missing rights forbid it, as they should here."""
        with self._errors("delete", key):
            self._s3.delete_object(Bucket=self.name, Key=key, VersionId=version)

    def inspect(self, key: str, version: str) -> tuple[Stored, Locked]:
        """What the store says about one version, and how it is locked. Raises Missing."""
        with self._errors("read", key):
            try:
                found = self._s3.head_object(Bucket=self.name, Key=key, VersionId=version)
            except ClientError as exc:
                if _status(exc) == 404:
                    raise Missing(f"S3 {self.endpoint}: {self.name}/{key} has no version {version}: list its versions") from exc
                raise
        held = found.get("ObjectLockLegalHoldStatus") == "ON"
        return _stored(key, found), Locked(found.get("ObjectLockRetainUntilDate"), found.get("ObjectLockMode", ""), held)

    def lock(self, key: str, version: str, until: datetime, mode: str) -> None:
        """Lock one version until then (UTC); the store refuses to shorten a lock. Raises Refused."""
        with self._errors("lock", key):
            kind = cast(Literal["COMPLIANCE", "GOVERNANCE"], mode)
            self._s3.put_object_retention(
                Bucket=self.name, Key=key, VersionId=version, Retention={"Mode": kind, "RetainUntilDate": until}
            )

    def check(self) -> None:
        """At start-up: the bucket answers, and a second create-only PUT of one key fails, whole and in parts.

        Raises Refused where the bucket is missing or the store ignores `If-None-Match`: exactly-once would not hold there.
        """
        with self._errors("read", ""):
            self._s3.list_objects_v2(Bucket=self.name, MaxKeys=1)  # unlike HEAD, it says which of key and secret is wrong
        with suppress(Exists):
            self._probe_whole()
        for write in (self._probe_whole, self._probe_parts):
            with suppress(Exists):
                write()
                raise Refused(
                    f"S3 {self.endpoint} overwrote {self.name}/{PROBE_KEY} in spite of If-None-Match: it cannot hold the archive;"
                    " use a store with conditional writes (AWS S3, SeaweedFS 4.48 or newer)"
                )

    def _probe_whole(self) -> None:
        with self._errors("write", PROBE_KEY):
            self._s3.put_object(Bucket=self.name, Key=PROBE_KEY, Body=b"", ChecksumSHA256=_sha256(b""), **self._condition)

    def _probe_parts(self) -> None:
        with self._errors("write", PROBE_KEY):
            upload = self._s3.create_multipart_upload(Bucket=self.name, Key=PROBE_KEY, ChecksumAlgorithm="SHA256")["UploadId"]
            try:
                self._finish(PROBE_KEY, upload, [self._part(PROBE_KEY, upload, 1, b"probe")], self._condition)
            finally:
                self._abort(PROBE_KEY, upload)

    def _put_whole(self, key: str, body: BufferedReader | BytesIO, metadata: Mapping[str, str]) -> None:
        checksum = base64.b64encode(hashlib.file_digest(body, "sha256").digest()).decode()
        body.seek(0)
        self._s3.put_object(
            Bucket=self.name, Key=key, Body=body, ChecksumSHA256=checksum, Metadata=dict(metadata), **self._condition
        )

    def _put_parts(self, key: str, body: BufferedReader | BytesIO, metadata: Mapping[str, str]) -> None:
        made = self._s3.create_multipart_upload(Bucket=self.name, Key=key, ChecksumAlgorithm="SHA256", Metadata=dict(metadata))
        upload, parts = made["UploadId"], list[dict[str, Any]]()
        try:
            while piece := body.read(PART_BYTES):
                parts.append(self._part(key, upload, len(parts) + 1, piece))
            self._finish(key, upload, parts, self._condition)
        except BaseException:
            self._abort(key, upload)
            raise

    def _part(self, key: str, upload: str, number: int, piece: bytes) -> dict[str, Any]:
        checksum = _sha256(piece)
        sent = self._s3.upload_part(
            Bucket=self.name, Key=key, UploadId=upload, PartNumber=number, Body=piece, ChecksumSHA256=checksum
        )
        return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

    def _finish(self, key: str, upload: str, parts: list[dict[str, Any]], condition: dict[str, Any]) -> None:
        self._s3.complete_multipart_upload(
            Bucket=self.name,
            Key=key,
            UploadId=upload,
            MultipartUpload=cast("CompletedMultipartUploadTypeDef", {"Parts": parts}),
            **condition,
        )

    def _abort(self, key: str, upload: str) -> None:
        with suppress(
            ClientError, BotoCoreError
        ):  # what is left over costs space only; docs/archive.md says how to have it ended
            self._s3.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)

    @contextmanager
    def _errors(self, doing: str, key: str) -> Iterator[None]:
        """Translate boto3's errors once, cause kept."""
        try:
            yield
        except ClientError as exc:
            raise self._translate(exc, f"cannot {doing} {self.name}/{key}") from exc
        except BotoCoreError as exc:
            raise Unavailable(
                f"S3 {self.endpoint} does not answer ({type(exc).__name__}): is it up, is AUDITWIRE_S3_ENDPOINT right?"
            ) from exc

    def _translate(self, exc: ClientError, what: str) -> S3Error:
        code, status = str(exc.response.get("Error", {}).get("Code", "")), _status(exc)
        server, advice = f"S3 {self.endpoint}: {what}", "see the store's log"
        kind: type[S3Error] = Refused
        if status == 412:
            kind, advice = Exists, "it exists already"
        elif status == 409:
            kind, advice = _BusyError, "a conflicting write is under way"
        elif code == "NoSuchKey":
            kind, advice = Missing, "there is no such object: look at its versions"
        elif status >= 500 or status in (408, 429) or code == "NoSuchUpload":
            kind, advice = Unavailable, "try again when it has recovered"
        elif code in WRONG_KEY:
            advice = f"access key {self._key_id} or its secret is wrong; correct the S3 key settings of this part"
        elif status in (401, 403):
            advice = f"access key {self._key_id} is not allowed to, or its secret is wrong; see docs/archive.md for the rights"
        elif status == 404 and (code == "NoSuchBucket" or what.endswith("/")):
            advice = "there is no such bucket; run `auditwired migrate` or correct AUDITWIRE_S3_BUCKET"
        return kind(f"{server} ({status} {code}): {advice}")


class _BusyError(S3Error):
    """409: two writers of one key at once."""


def _stored(key: str, found: Mapping[str, Any]) -> Stored:
    return Stored(key, found["ContentLength"], found["ETag"], found.get("VersionId", ""), found["Metadata"])


def _status(exc: ClientError) -> int:
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
