"""Retention runs killed again and again: `python -m tests.faults.retention --kills 20`.

Two classes of one namespace on servers of its own. Each is deleted by a run that dies at a point drawn by chance, is started
again, dies again, and so on. After every death fsck must say what is so: a deletion that is not finished, or nothing. At the end
of each class exactly what its certificate says is gone.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator

from pipeline.retention.runner import POINTS
from tests import retention_world as world
from tests.fsck_world import AccountedTopic, looked
from tests.space import alone

LENGTHS = {"short": 1, "standard": 6}
UNFINISHED = {"deletion_unfinished", "missing_in_clickhouse", "missing_in_archive", "missing_object", "ledger_differs"}


def faults(kills: int, objects: int, draw: random.Random) -> Iterator[tuple[str, str]]:
    """(point as `tests.retention_worker` reads it, what must be so after it): before anything is decided, while it is under way,
    from the certificate on.
    """
    certified = POINTS.index("certificate") + 1
    before, behind = POINTS[1:certified], POINTS[certified:]
    late = max(1, kills // 4)
    yield "intent:1", "nothing"
    for _ in range(kills - late - 1):
        point = draw.choice(before)
        yield f"{point}:{draw.randint(1, objects) if point == 'object' else 1}", "begun"
    for point in sorted((draw.choice(behind[:-1]) for _ in range(late)), key=behind.index):
        yield f"{point}:1", "certified"


def deleted(topic: AccountedTopic, retention_class: str, kills: int, draw: random.Random) -> list[str]:
    """What went wrong while one class was deleted."""
    space, now, wrong = topic.space, world.after(LENGTHS[retention_class]), list[str]()
    before = world.contents(topic)
    (line,) = world.planned(space, now).due
    for fault, state in faults(kills, len(line.objects), draw):
        code = world.killed(space, now, fault)
        found = {kind for kind, _ in looked(space)}
        fine = "deletion_unfinished" in found and found <= UNFINISHED if state == "begun" else not found
        print(f"{retention_class} killed at {fault}: exit code {code}, fsck {', '.join(sorted(found)) or 'clean'}", flush=True)
        if code != -9 or not fine:
            wrong.append(f"{retention_class} {fault}: exit code {code}, {state}, fsck finds {sorted(found)}")
    world.deleted(space, now)
    if odd := looked(space):
        wrong.append(f"{retention_class}: fsck at the end finds {sorted(map(str, odd))}")
    certificate = world.certificates(space)[world.unit(retention_class)]
    if (text := world.unproven(before, world.contents(topic), certificate)) is not None:
        wrong.append(text)
    print(f"{retention_class}: {certificate.events} events, {len(certificate.objects)} objects certified as deleted", flush=True)
    return wrong


def main() -> int:
    """Exit code 0: nothing went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with alone(fast_jvm=True) as space:
        topic = world.filled(space, (400, 200, 300), (0, 1, 2, 3))
        world.rules(space, **LENGTHS)
        wrong = [text for name in LENGTHS for text in deleted(topic, name, args.kills // 2, draw)]
    print("\n".join(wrong) or f"{args.kills} kills: fsck clean, certificates match exactly what is gone")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
