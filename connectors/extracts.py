"""The bucket of extract files: objects are written once (create-only), read in pieces, and may be deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from connectors.s3 import Bucket

PIECE = 256 << 10
UPLOAD_BYTES = 8 << 20


@dataclass(frozen=True)
class Body:
    """An open object: its size in bytes and its pieces, to be read once to the end."""

    size: int
    pieces: Iterator[bytes]


class ExtractBucket(Bucket):
    """As `Bucket`, plus reading as a stream and deleting. Every method raises S3Error with what to do."""

    def stream(self, key: str) -> Body | None:
        """The object, opened now, its pieces fetched as they are asked for; None where there is none."""
        with self._errors("read", key):
            try:
                found = self._s3.get_object(Bucket=self.name, Key=key)
            except ClientError as exc:
                if exc.response.get("Error", {}).get("Code") == "NoSuchKey":
                    return None
                raise
        stream = found["Body"]

        def pieces() -> Iterator[bytes]:
            try:
                with self._errors("read", key):
                    yield from stream.iter_chunks(PIECE)
            finally:
                stream.close()

        return Body(found["ContentLength"], pieces())

    def put_checked(self, key: str, path: Path, metadata: Mapping[str, str], check: Callable[[], None]) -> None:
        """As `put`, in small parts; ``check`` is called before each, and what it raises ends the upload without an object."""
        if (size := path.stat().st_size) <= UPLOAD_BYTES:
            self.put(key, path, metadata)
            return
        with path.open("rb") as body, self._errors("write", key):
            made = self._s3.create_multipart_upload(
                Bucket=self.name, Key=key, ChecksumAlgorithm="SHA256", Metadata=dict(metadata)
            )
            upload, parts = made["UploadId"], list[dict[str, Any]]()
            try:
                for number in range(1, -(-size // UPLOAD_BYTES) + 1):
                    check()
                    parts.append(self._part(key, upload, number, body.read(UPLOAD_BYTES)))
                check()
                self._finish(key, upload, parts, self._condition)
            except BaseException:
                self._abort(key, upload)
                raise

    def older(self, prefix: str, moment: datetime) -> list[str]:
        """Keys below the prefix that were written before ``moment`` (UTC)."""
        found = []
        with self._errors("list", prefix):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                found += [entry["Key"] for entry in page.get("Contents", []) if entry["LastModified"] < moment]
        return found

    def delete(self, prefix: str, keep: str = "") -> int:
        """Delete every object below ``prefix`` but those below ``keep``; returns how many."""
        return self.delete_keys(key for key in self.keys(prefix) if not (keep and key.startswith(keep)))

    def delete_keys(self, keys: Iterable[str]) -> int:
        """Delete these; one that is gone already does no harm. Returns how many were asked for."""
        gone = 0
        for key in list(keys):
            with self._errors("delete", key):
                self._s3.delete_object(Bucket=self.name, Key=key)
            gone += 1
        return gone
