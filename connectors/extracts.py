"""The bucket of extract files: objects are written once (create-only), read in pieces, and may be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connectors.s3 import Bucket

PIECE = 256 << 10


@dataclass(frozen=True)
class Body:
    """An open object: its size in bytes and its pieces, to be read once to the end."""

    size: int
    pieces: Iterator[bytes]


class ExtractBucket(Bucket):
    """As `Bucket`, plus reading as a stream and deleting. Every method raises S3Error with what to do."""

    def read(self, key: str) -> Body:
        """The object, opened now (so that a missing one raises here), its pieces fetched as they are asked for."""
        with self._errors("read", key):
            found = self._s3.get_object(Bucket=self.name, Key=key)
        stream = found["Body"]

        def pieces() -> Iterator[bytes]:
            try:
                with self._errors("read", key):
                    yield from stream.iter_chunks(PIECE)
            finally:
                stream.close()

        return Body(found["ContentLength"], pieces())

    def delete(self, prefix: str, keep: str) -> int:
        """Delete every object below ``prefix`` but those below ``keep``; returns how many."""
        keys = [key for key in self.keys(prefix) if not key.startswith(keep)]
        for key in keys:
            with self._errors("delete", key):
                self._s3.delete_object(Bucket=self.name, Key=key)
        return len(keys)
