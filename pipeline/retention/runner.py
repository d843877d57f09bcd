"""Carries out what a plan says, class and month by class and month, so that it can be killed anywhere and run again.

Of each: the signed **intent** is created in the archive bucket, then the objects are deleted, version by version, then
ClickHouse's partition is dropped, then both are looked at, then the signed **certificate** is created beside the intent, then
the table `deletions` and the audit trail hear of it, then a mark says so. Every step may be repeated, and what an intent has
begun the next run finishes without asking the rules again: half of a deletion is no state to stay in. A class and month that is
stuck is named, and the others go on; where a server does not answer the run ends.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import schemas
from auditwire import AuditEvent, encode, within_limits
from connectors.avro import frame
from connectors.deletions import ANNOUNCED, CERTIFICATE, INTENT, Place
from connectors.kafka_produce import produce
from connectors.registry import SchemaRegistry
from connectors.s3 import Exists, Refused
from pipeline.counts import counted
from pipeline.retention import deleted
from pipeline.retention.certificate import Deletion, Object, canonical
from pipeline.retention.lengths import Unit, end_of
from pipeline.retention.plan import Line, Plan, within
from pipeline.retention.servers import RetentionError, Servers, locked

OWN_TENANT, SOURCE, DELETED = "auditwire", "auditwire-retention", "retention.deleted"
EVENTS = uuid.UUID("5d9b1d8e-77a4-5c55-8a43-0f6a4be2f0d1")
POINTS = ("intent", "object", "partition", "look", "certificate", "record", "audit", "mark", "done")
"""Steps, each named just before it is taken; ``object`` once an object, ``done`` behind the last."""


@dataclass(frozen=True)
class Safety:
    """All on. Tests switch one off to see that it is needed; nothing else may."""

    intent: bool = True
    certificate: bool = True


@dataclass(frozen=True)
class Runner:
    """``clock`` gives the time (UTC), ``tell`` hears of progress, ``points`` the name of each step about to be taken (tests)."""

    servers: Servers
    clock: Callable[[], datetime]
    tell: Callable[[str], None] = lambda _: None
    points: Callable[[str], None] = lambda _: None
    safety: Safety = Safety()

    def resume(self) -> int:
        """Finish what was begun, and tell those that have not heard of a certificate, also a table that was lost; how many
        classes and months that were. Raises one of `servers.FAILED`; RetentionError once the rest is done where some are stuck.
        """
        stuck = dict[Unit, str]()
        done = self._resumed(stuck)
        _complain(stuck, done)
        return done

    def _resumed(self, stuck: dict[Unit, str]) -> int:
        found = self.servers.deletions()
        for unit in found.begun:
            with self._apart(unit, stuck):
                self._unlocked(self.servers.versions(unit))
                self.finish(self._read(unit, INTENT))
        recorded = self.servers.stored.recorded()
        heard = {unit for unit in found.announced if (unit.retention_class, unit.month) in recorded}
        unheard = [unit for unit in found.certified if unit not in heard]
        for unit in unheard:
            self._announce(self._read(unit, CERTIFICATE))
        return len(found.begun) - len(stuck) + len(unheard)

    def run(self, plan: Plan, by: str, reason: str) -> int:
        """Finish what was begun, then everything that the plan says is due; how many that were of it. Raises as `resume` does."""
        stuck = dict[Unit, str]()
        self._resumed(stuck)
        before = len(stuck)
        for line in plan.due:
            with self._apart(line.unit, stuck):
                self._still(line)
                self.finish(self.begin(line, plan, by, reason))
        done = len(plan.due) - (len(stuck) - before)
        _complain(stuck, done)
        return done

    @contextmanager
    def _apart(self, unit: Unit, stuck: dict[Unit, str]) -> Iterator[None]:
        """What stands against one class and month is nothing against the others."""
        try:
            yield
        except (RetentionError, Refused) as exc:
            stuck[unit] = str(exc)
            self.tell(f"{unit}: {exc}")

    def _still(self, line: Line) -> None:
        """A run may take hours: what the rules and locks say by now counts until it is decided."""
        if end_of(line.unit, self.servers.terms(), self.clock()) != line.end:
            raise RetentionError("the rules have changed since the plan: nothing of it is deleted; plan again")
        self._unlocked(line.objects)

    def _unlocked(self, objects: Sequence[Object]) -> None:
        """No object is deleted where another one of its class and month may not be."""
        against = locked((lock for _, _, lock in self.servers.inspected(tuple(objects))), self.clock())
        if against:
            raise RetentionError(f"{'; '.join(against)}; nothing more of it is deleted")

    def begin(self, line: Line, plan: Plan, by: str, reason: str) -> Deletion:
        """The intent, durable. Whoever decided the same a moment ago was first: then it is theirs."""
        intent = line.intent(self.servers.namespace, by, reason, plan.identity)
        self.points("intent")
        if not self.safety.intent:
            return intent
        try:
            self.servers.bucket.create(_key(line.unit, INTENT), self.servers.key.signed(intent))
        except Exists:
            return self._read(line.unit, INTENT)
        return intent

    def finish(self, intent: Deletion) -> None:
        """Everything behind the intent, from wherever it stopped."""
        unit, servers = intent.unit, self.servers
        held = servers.stored.held(unit.retention_class, unit.month)
        if (odd := within(held, intent.removed)) is not None:
            raise RetentionError(f"ClickHouse has {odd} that the intent does not name: nothing more is deleted; run fsck")
        known = {(o.key, o.version) for o in intent.objects}
        if more := [o.key for o in servers.versions(unit) if (o.key, o.version) not in known]:
            raise RetentionError(f"the archive has {more[0]} that the intent does not name: nothing more is deleted; run fsck")
        for one in intent.objects:
            self.points("object")
            servers.bucket.delete_version(one.key, one.version)
        self.points("partition")
        servers.stored.drop(unit.retention_class, unit.month)
        self.points("look")
        if servers.stored.held(unit.retention_class, unit.month) or servers.versions(unit):
            raise RetentionError("it is still there after it was deleted: look at the servers' logs, then run this again")
        if self.safety.certificate:
            self._announce(self._certified(intent))
        self.tell(f"{unit}: {counted(intent.events, 'event')} and {counted(len(intent.objects), 'object')} are deleted")

    def _certified(self, intent: Deletion) -> Deletion:
        certificate = intent.done(self.clock())
        self.points("certificate")
        try:
            self.servers.bucket.create(_key(intent.unit, CERTIFICATE), self.servers.key.signed(certificate))
        except Exists:
            certificate = self._read(intent.unit, CERTIFICATE)
            if not certificate.same_as(intent):
                raise RetentionError("its certificate is not of its intent: run fsck; see docs/retention.md") from None
        return certificate

    def _announce(self, certificate: Deletion) -> None:
        """Everybody who has to hear of it does, at least once; that is known to be once, as all that is said is the same."""
        unit = certificate.unit
        key, at = _key(unit, CERTIFICATE), certificate.completed or certificate.decided
        self.points("record")
        rows: list[dict[str, str | int]] = [
            {"topic_id": r.topic_id, "partition": r.partition, "events": r.count, "checksum": r.checksum, "raw": r.last_raw}
            for r in certificate.removed
        ]
        self.servers.stored.record(unit.retention_class, unit.month, rows, key, at)
        self.points("audit")
        self._audited(certificate)
        self.points("mark")
        with suppress(Exists):
            self.servers.bucket.create(_key(unit, ANNOUNCED), b"{}\n")
        self.points("done")

    def _audited(self, certificate: Deletion) -> None:
        values = self.servers.values
        registry = SchemaRegistry(values.schema_registry_url)
        try:
            framed = frame(registry.id_of(f"{values.namespace}.raw-value", schemas.schema_text("audit_event")))
        finally:
            registry.close()
        key, body = audit_event(certificate)
        produce(self.servers.cluster, f"{values.namespace}.raw", None, key=key, value=framed + body)

    def _read(self, unit: Unit, what: str) -> Deletion:
        return deleted.read(self.servers.bucket, unit, what, self.servers.namespace, self.servers.keys)


def _complain(stuck: Mapping[Unit, str], done: int) -> None:
    if stuck:
        which = counted(len(stuck), "class and month is", "classes and months are")
        listed = "".join(f"\n{unit}: {why}" for unit, why in stuck.items())
        raise RetentionError(f"{which} not deleted ({done} are); correct this, then plan and run again:{listed}")


def audit_event(certificate: Deletion) -> tuple[bytes, bytes]:
    """Key and body of a certificate's own audit event: the same bytes whoever makes them and how often."""
    sha256 = hashlib.sha256(canonical(certificate.document())).hexdigest()
    source_id = f"{certificate.namespace}/{sha256}"
    event = AuditEvent(
        event_id=str(uuid.uuid5(EVENTS, source_id)),
        tenant_id=OWN_TENANT,
        event_type=DELETED,
        occurred_at=certificate.completed,
        source=SOURCE,
        source_event_id=source_id,
        activity="delete",
        outcome="success",
        actor_type="human",
        actor_id=certificate.by,
        target_type="retention_class",
        target_id=f"{certificate.unit.retention_class}/{certificate.unit.month}",
        reason=certificate.reason,
        attributes={
            "events": str(certificate.events),
            "objects": str(len(certificate.objects)),
            "rules_revision": str(certificate.end.revision),
            "months": str(certificate.end.months),
            "certificate": _key(certificate.unit, CERTIFICATE),
            "sha256": sha256,
        },
    )
    spread = hashlib.sha256(source_id.encode()).digest()[0]
    return f"{OWN_TENANT}/{SOURCE}/{spread:02x}".encode(), encode(within_limits(event))


def _key(unit: Unit, what: str) -> str:
    return Place(unit.retention_class, unit.month, what).key
