"""The bucket of extract files: objects are written once (create-only), read in pieces, and may be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader

from connectors.s3 import Bucket

PIECE = 256 << 10


@dataclass(frozen=True)
class Body:
    """An open object: its size in bytes and its pieces, to be read once to the end."""

    size: int
    pieces: Iterator[bytes]


class ExtractBucket(Bucket):
    """As `Bucket`, plus reading as a stream and deleting. Every method raises S3Error with what to do."""

    def stream(self, key: str) -> Body:
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

    def _put_parts(self, key: str, body: BufferedReader, metadata: Mapping[str, str]) -> None:
        """In one piece, as files are far below S3's 5 GiB: it is sent from the file, parts would be held in memory."""
        self._put_whole(key, body, metadata)

    def delete(self, prefix: str, keep: str) -> int:
        """Delete every object below ``prefix`` but those below ``keep``; returns how many."""
        keys = [key for key in self.keys(prefix) if not key.startswith(keep)]
        for key in keys:
            with self._errors("delete", key):
                self._s3.delete_object(Bucket=self.name, Key=key)
        return len(keys)
