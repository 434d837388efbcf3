"""What is to be closed, and how: positions as the parts that go together, as one combo where that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import gcd

from msgspec import Struct

from v6cli import clock
from v6cli.models import Contract, Position
from v6cli.portfolio.grouping import group
from v6cli.settings import Closing

LONGEST_COMBO = 4  # legs


class Part(Struct, frozen=True):
    """Legs to be closed together: how much of each contract, signed as it is held. ``name`` is the strategy they came from."""

    symbol: str
    name: str
    legs: tuple[tuple[Contract, float], ...]

    @property
    def label(self) -> str:
        """How it is told from others on a screen."""
        return f"{self.symbol} {self.name}"

    @property
    def line(self) -> str:
        """What the line of its progress is known by."""
        return f"{self.label} {self.legs[0][0].con_id}"


class Plan(Struct, frozen=True):
    """What is to be closed, in parts, and what has expired and is left to IB."""

    parts: tuple[Part, ...]
    expired: tuple[Position, ...] = ()

    @property
    def sizes(self) -> dict[int, float]:
        """Quantity by contract id over all parts."""
        found: dict[int, float] = {}
        for part in self.parts:
            for own, quantity in part.legs:
                found[own.con_id] = found.get(own.con_id, 0.0) + quantity
        return found


class How(Struct, frozen=True):
    """How positions are closed. ``limits`` are prices that the operator typed, by contract id: each is offered as it is."""

    own: Closing
    market: bool = False
    queue: bool = False
    purpose: str = "close-all"
    limits: Mapping[int, float] = {}


def plan(positions: Sequence[Position], chosen: Callable[[Part], bool] = lambda _part: True) -> Plan:
    """Positions as the strategies they came from, those that are ``chosen``; expired contracts apart."""
    today = clock.today()
    expired = tuple(one for one in positions if one.contract.expiry is not None and one.contract.expiry < today)
    groups = group([one for one in positions if one not in expired])
    parts = [Part(own.symbol, own.name, tuple((leg.position.contract, leg.quantity) for leg in own.legs)) for own in groups]
    return Plan(tuple(part for part in parts if chosen(part)), expired)


def fits_a_combo(part: Part) -> bool:
    """Two to four options of one currency in whole numbers; the rest goes leg by leg."""
    return 2 <= len(part.legs) <= LONGEST_COMBO and all(own.is_option and quantity == int(quantity) for own, quantity in part.legs)


def in_combos(quantities: Sequence[float]) -> tuple[list[int], int]:
    """Quantities as ratios of a number of equal combos, and that number."""
    whole = [abs(int(quantity)) for quantity in quantities]
    count = reduce(gcd, whole)
    return [quantity // count for quantity in whole], count
