"""Which faults befall a schedule: drawn from a seed, a subset of them, so that none hides another."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct

from v6cli.simulator.faults import FAULTS

Draw = Callable[[Random], dict[str, str | int | float | bool | list[str]]]


class Mishap(Struct, frozen=True):
    """A fault that begins ``at`` seconds into a schedule."""

    at: float
    name: str
    parameters: dict[str, str | int | float | bool | list[str]]


def _lasting(chance: Random) -> dict[str, str | int | float | bool | list[str]]:
    return {"seconds": round(chance.uniform(3, 40), 1)}


def _some(chance: Random) -> dict[str, str | int | float | bool | list[str]]:
    return {"count": chance.randint(1, 3)}


#: What can befall a trader, and how it is drawn.
DRAWS: dict[str, Draw] = {
    "withhold-end": lambda chance: {
        "answer": chance.choice(["open-orders", "completed-orders", "executions", "positions"]),
        "seconds": round(chance.uniform(5, 60), 1),
    },
    "read-only": _lasting,
}


def drawn(chance: Random, length: float, *, everything: bool = False) -> list[Mishap]:
    """The mishaps of one schedule, in order: of a random subset of the faults, or of all of them."""
    names = list(DRAWS) if everything else sorted(chance.sample(list(DRAWS), chance.randint(0, min(5, len(DRAWS)))))
    found = [
        Mishap(round(chance.uniform(0, length), 3), name, DRAWS[name](chance)) for name in names for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    assert all(mishap.name in FAULTS for mishap in found)
    return sorted(found, key=lambda mishap: mishap.at)
