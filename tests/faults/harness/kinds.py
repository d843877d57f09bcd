"""Every kind of fault by name. Each leaves the world as it found it: what it broke runs again, what it ordered is called off."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.harness import hands, inputs, network, processes
from tests.faults.harness.world import World

Fault = Callable[[World, random.Random], str]


@dataclass(frozen=True)
class Kind:
    """``run`` says in a few words what exactly it did. ``last``: afterwards the namespace is of no more use."""

    name: str
    run: Fault
    text: str
    last: bool = False


def _kinds(faults: Mapping[str, Fault], last: bool = False) -> dict[str, Kind]:
    return {name: Kind(name, run, " ".join((run.__doc__ or "").split()).rstrip("."), last) for name, run in faults.items()}


KINDS: dict[str, Kind] = {
    **_kinds(processes.FAULTS),
    **_kinds(network.FAULTS),
    **_kinds(inputs.FAULTS),
    **_kinds(hands.FAULTS),
    **_kinds(hands.LAST, last=True),
}


def draw(names: Sequence[str], seed: int, runs: int, faults: int) -> list[list[Kind]]:
    """``faults`` a run; every kind is used before one comes again, so that few runs hold many kinds."""
    dice, drawn = random.Random(seed), list[Kind]()
    while len(drawn) < runs * faults:
        turn = [KINDS[name] for name in names]
        dice.shuffle(turn)
        drawn += turn
    return [drawn[n * faults : (n + 1) * faults] for n in range(runs)]
