"""aiokafka's reader of record batches, which otherwise fails for ever on a header whose name is not UTF-8.

Any producer can write such a name; the broker does not look. The name is then read with escapes (``\\xff``). Records are handed
on as they were read: a `ConsumerRecord` made of each costs a microsecond more and says nothing that the processor asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record import default_records, memory_records


class _Readable(bytearray):
    """Bytes whose slices always decode."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Readable(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class _Batch:
    """A batch of aiokafka's compiled reader, read by its Python one where that fails."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._compiled = data, default_records.DefaultRecordBatch(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)

    def __next__(self) -> Any:
        return next(self._compiled)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._compiled))
        except UnicodeDecodeError:
            tolerant: Any = default_records._DefaultRecordBatchPy(self._data)
            tolerant._maybe_uncompress()
            tolerant._buffer = _Readable(tolerant._buffer)
            return iter(tolerant)


class _Batches(memory_records._MemoryRecordsPy):  # type: ignore[misc]
    """The batches of one answer of the broker."""

    def next_batch(self, *args: Any) -> Any:
        data = self._next_slice
        batch = super().next_batch(*args)
        return _Batch(data) if isinstance(batch, default_records.DefaultRecordBatch) and data is not None else batch


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one partition in one answer of the broker."""

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        return record


def install_reader() -> None:
    """Let every aiokafka consumer of this process read such records, and as they are (`RawRecord`); safe to repeat."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = _Batches, _Records
