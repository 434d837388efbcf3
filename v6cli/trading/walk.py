"""How a closing price goes: from the middle of the market towards the cap, never beyond the natural price, rounded inside. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from msgspec import Struct

from v6cli.settings import Closing

#: The steps that prices go in. Most contracts have two of them, the larger one from some price on, and IB names the smaller one.
STEPS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


class Side(Struct, frozen=True):
    """What closing one leg trades: ``ratio`` of it, bought (+1) or sold (-1), at a market of ``bid`` and ``ask`` a share."""

    sign: int
    ratio: int
    bid: float
    ask: float

    @property
    def mid(self) -> float:
        """The middle of its market."""
        return (self.bid + self.ask) / 2


def prices(sides: Sequence[Side], own: Closing, tick: float, multiplier: float) -> list[float]:
    """The limits to offer, one after the other, per share of the whole.

    A single leg is bought or sold at its own price; a combo is bought at its net price, negative where that brings money in. The last
    limit is the cap, or the natural price where that is nearer: a price at which the market itself would trade.
    """
    sign = sides[0].sign if len(sides) == 1 else 1
    middle = math.fsum(side.sign * side.ratio * side.mid for side in sides) * sign
    natural = math.fsum(side.ratio * (side.ask if side.sign > 0 else -side.bid) for side in sides) * sign
    reach = min(abs(natural - middle), allowance(sides, own, tick, multiplier))
    steps = [middle + sign * reach * step / own.steps for step in range(own.steps + 1)]
    found = [inside(price, sign, tick) for price in steps]
    if len(sides) == 1:
        found = [max(price, tick) for price in found]
    return [price for number, price in enumerate(found) if number == 0 or price != found[number - 1]]


def allowance(sides: Sequence[Side], own: Closing, tick: float, multiplier: float) -> float:
    """How far a price may go from the middle, per share: the largest of a share of the legs' middles, some ticks, some money a contract."""
    gross = math.fsum(side.ratio * side.mid for side in sides)
    return max(own.percent * gross, own.ticks * tick, own.amount / multiplier)


def coarser(tick: float) -> float | None:
    """The next larger step, for a price that IB calls off the contract's own; None where there is none."""
    return next((step for step in STEPS if step > tick + 1e-9), None)


def inside(price: float, sign: int, tick: float) -> float:
    """The price on the tick that is not beyond it: lower where something is bought, higher where it is sold."""
    step = Decimal(str(tick))
    steps = (Decimal(str(round(price, 8))) / step).to_integral_value(ROUND_FLOOR if sign > 0 else ROUND_CEILING)
    return float(steps * step)
