"""`auditwired quarantine`: list what could not be processed, show an original, replay originals once their cause is mended."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from connectors.avro import DecodeError, RecordCodec, decode, schema_id_of
from connectors.kafka import cluster_of
from connectors.kafka_produce import ProduceError, produce
from connectors.kafka_read import PartitionReader, ReadError
from connectors.registry import RegistryError, SchemaRegistry
from connectors.writer_schemas import NewerSchema, NotAnEvent, WriterSchemas
from pipeline import ledger, rejects, settings
from pipeline.partition import Topics
from pipeline.sealing import Sealer, SealingError

WARNING = "This is an UNREDACTED original. Do not paste it into tickets or logs.\n"


class Fault(Exception):  # noqa: N818
    """What the operator asked for cannot be done; the text says why and what to do."""


@dataclass(frozen=True)
class Position:
    """A place in the quarantine topic, written ``partition:offset``."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises ArgumentTypeError for anything but two whole numbers."""
        partition, colon, offset = text.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            raise argparse.ArgumentTypeError(f"{text!r} is not a position; write PARTITION:OFFSET as `quarantine list` does")
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True)
class Quarantined:
    """One record of the quarantine, decoded; ``replayed``: a replay of it was processed."""

    position: Position
    time_ms: int
    record: dict[str, Any]
    replayed: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """list | show PARTITION:OFFSET | replay PARTITION:OFFSET… | replay --all --reason REASON."""
    parser.epilog = (
        "A position is PARTITION:OFFSET as `list` prints it. Settings: AUDITWIRE_OPERATOR_* and AUDITWIRE_SEALING_KEY "
        "(docs/configuration.md)."
    )
    sub = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = sub.add_parser("list", help="a table of what is in quarantine, newest last")
    listing.add_argument("--reason", help="only records with this reason code")
    listing.add_argument("--tenant", help="only records of this tenant")
    listing.add_argument("--open", action="store_true", help="only records that were not replayed")
    listing.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    show = sub.add_parser("show", help="open one sealed original and print it (unredacted)")
    show.add_argument("position", type=Position.parse, metavar="PARTITION:OFFSET")
    again = sub.add_parser(
        "replay", help="send originals to the processor again; each is resolved once, however often it is sent"
    )
    again.add_argument("positions", type=Position.parse, nargs="*", metavar="PARTITION:OFFSET")
    again.add_argument("--all", action="store_true", help="every record that was not replayed; needs --reason")
    again.add_argument("--reason", help="with --all: only records with this reason code")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 done; 1 something could not be done, said on standard error."""
    values = settings.load(settings.Operator)
    try:
        with _Quarantine(values) as quarantine:
            return {"list": _list, "show": _show, "replay": _replay}[args.action](args, quarantine)
    except (Fault, ReadError, ProduceError, RegistryError, SealingError, DecodeError) as exc:
        sys.stderr.write(f"auditwired quarantine: {exc}\n")
        return 1


class _Quarantine:
    """The quarantine and ledger topics of a namespace, as the operator may read them."""

    def __init__(self, values: settings.Operator) -> None:
        self.values, self.topics = values, Topics.of(values.namespace)
        self.cluster = cluster_of(dict(values))
        self.sealer = Sealer(values.sealing_key.get_secret_value())
        self._reader = PartitionReader(self.cluster, f"{values.namespace}-processor")
        self._codec, self._ledger = RecordCodec("quarantined_event", 0), RecordCodec("ledger_record", 0)

    def __enter__(self) -> _Quarantine:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._reader.__exit__(None, None, None)

    def records(self) -> Iterator[Quarantined]:
        """All of them, partition by partition."""
        for partition in self._reader.partitions(self.topics.quarantine):
            resolved = self._resolved(partition)
            low, end = self._reader.watermarks(self.topics.quarantine, partition)
            for message in self._reader.read(self.topics.quarantine, partition, low, end):
                place = Position(partition, message.offset)
                yield Quarantined(place, message.timestamp, self._codec.decode(message.value or b""), message.offset in resolved)

    def _resolved(self, partition: int) -> set[int]:
        return ledger.Log(self._reader, self._ledger, self.topics.ledger, partition).resolved()

    def one(self, position: Position) -> Quarantined:
        """The record at a position. Raises Fault."""
        topic = self.topics.quarantine
        if (
            position.partition in self._reader.partitions(topic)
            and position.offset < self._reader.watermarks(topic, position.partition)[1]
        ):
            for message in self._reader.read(topic, position.partition, position.offset, position.offset + 1):
                resolved = position.offset in self._resolved(position.partition)
                return Quarantined(position, message.timestamp, self._codec.decode(message.value or b""), resolved)
        raise Fault(f"there is no record at {position} of {topic}; see `auditwired quarantine list`")


def _list(args: argparse.Namespace, quarantine: _Quarantine) -> int:
    wanted = [
        item
        for item in quarantine.records()
        if (args.reason in (None, item.record["reason"]))
        and (args.tenant in (None, item.record["tenant_id"]))
        and not (args.open and item.replayed)
    ]
    wanted.sort(key=lambda item: item.time_ms)
    if args.json:
        with suppress(BrokenPipeError):  # `| head` has seen enough
            for item in wanted:
                sys.stdout.write(json.dumps(_row(item)) + "\n")
            sys.stdout.flush()
        return 0
    if not wanted:
        sys.stderr.write("nothing in quarantine that was asked for\n")
    table = Table(*("position", "time (UTC)", "tenant", "stage", "reason", "detail", "replayed"), box=None)
    for item in wanted:
        table.add_row(*(str(value) for value in _row(item).values()))
    Console(width=None if sys.stdout.isatty() else 240).print(table)
    return 0


def _row(item: Quarantined) -> dict[str, str]:
    record = item.record
    time = dt.datetime.fromtimestamp(item.time_ms / 1000, dt.UTC)
    return {
        "position": str(item.position),
        "time": f"{time:%Y-%m-%d %H:%M:%S}",
        "tenant": record["tenant_id"],
        "stage": record["stage"],
        "reason": record["reason"],
        "detail": record["detail"],
        "replayed": "yes" if item.replayed else "no",
    }


def _show(args: argparse.Namespace, quarantine: _Quarantine) -> int:
    item = quarantine.one(args.position)
    original = rejects.original_of(item.record, quarantine.sealer)
    sys.stderr.write(WARNING)
    value = original.value or b""
    shown = {
        **_row(item),
        "raw": f"{item.record['raw_topic']}[{item.record['raw_partition']}] {item.record['raw_offset']}",
        "key": (original.key or b"").decode(errors="backslashreplace"),
        "headers": [[name, (content or b"").decode(errors="backslashreplace")] for name, content in original.headers],
        "length": item.record["original_length"],
        "complete": original.whole and len(value) == item.record["original_length"],
        "event": _event(value, quarantine.values),
    }
    if shown["event"] is None:
        shown["text" if _is_text(value) else "hex"] = value.decode() if _is_text(value) else value.hex()
    sys.stdout.write(json.dumps(shown, indent=2, default=str, ensure_ascii=False) + "\n")
    return 0


def _event(value: bytes, values: settings.Operator) -> dict[str, Any] | None:
    """The original's columns where it is an event, without the empty ones."""
    registry = SchemaRegistry(values.schema_registry_url)
    try:
        schema_id = schema_id_of(value)
        if schema_id is None:
            return None
        row = decode([value[5:]], WriterSchemas(registry).text_of(schema_id))
        shown = {name: _shown(column) for name, column in zip(row.schema.names, row.columns, strict=True)}
        return {name: content for name, content in shown.items() if content not in ("", None, [])}
    except (NotAnEvent, NewerSchema, RegistryError, DecodeError):
        return None
    finally:
        registry.close()


def _shown(column: pa.Array[Any]) -> Any:
    try:
        return column[0].as_py()
    except (OverflowError, ValueError):  # a time that Python does not know: its number
        return column.view(pa.int64())[0].as_py()


def _is_text(value: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return "\0" not in value.decode()
    return False


def _replay(args: argparse.Namespace, quarantine: _Quarantine) -> int:
    if args.all != bool(args.reason) or bool(args.positions) == args.all:
        raise Fault("say which: positions as PARTITION:OFFSET, or --all with --reason")
    if args.all:
        items = [i for i in quarantine.records() if i.record["reason"] == args.reason and not i.replayed]
    else:
        items = [quarantine.one(position) for position in args.positions]
    failed = 0
    for item in items:
        try:
            _send(item, quarantine)
        except (Fault, SealingError) as exc:
            failed += 1
            sys.stderr.write(f"{item.position}: not replayed: {exc}\n")
    sys.stdout.write(f"{len(items) - failed} of {len(items)} sent to {quarantine.topics.raw}\n")
    return 1 if failed else 0


def _send(item: Quarantined, quarantine: _Quarantine) -> None:
    record = item.record
    if item.replayed:
        raise Fault("it was replayed before; see `auditwired quarantine list`")
    if not record["raw_topic"]:
        raise Fault("the receiver refused it before Kafka had it; mend the source and let it send the event again")
    original = rejects.original_of(record, quarantine.sealer)
    if not original.whole or len(original.value or b"") != record["original_length"]:
        raise Fault("the original was too long to be kept whole; the source must send it again")
    place = item.position
    headers = rejects.replay_headers(place.partition, place.offset, original, quarantine.sealer.hash_key())
    produce(quarantine.cluster, quarantine.topics.raw, place.partition, key=original.key, value=original.value, headers=headers)
