"""Greeks of positions rolled up by symbol, expiry or strategy. A sum with an unknown part is incomplete, and says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from v6cli.models import Greeks, GreekSource, Position
from v6cli.portfolio.grouping import group
from v6cli.results import Column, Table, bar

if TYPE_CHECKING:
    from v6cli.settings import Limits

NAMES = ("delta", "gamma", "theta", "vega")


class Sum(Struct, frozen=True):
    """A sum of position greeks: delta in share equivalents, gamma in those per 1.00 of the underlying, theta per calendar
    day and vega per volatility point in account currency. ``unknown`` counts the legs that are missing from it.
    """

    delta: float = 0.0
    gamma: float = 0.0
    theta: float = 0.0
    vega: float = 0.0
    legs: int = 0
    unknown: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.delta + other.delta,
            self.gamma + other.gamma,
            self.theta + other.theta,
            self.vega + other.vega,
            self.legs + other.legs,
            self.unknown + other.unknown,
        )


class RollUp(Struct, frozen=True):
    """Sums by key, and their total."""

    by: str
    parts: dict[str, Sum]
    total: Sum

    @property
    def complete(self) -> bool:
        """Whether every leg is known."""
        return self.total.unknown == 0


def values_of(position: Position, greeks: Greeks | None, quantity: float) -> tuple[float, float, float, float] | None:
    """Delta, gamma, theta and vega of ``quantity`` of a position, units as in `Sum`; None where unknown. What has no model has delta one."""
    size = quantity * position.contract.multiplier
    if not position.contract.is_option:
        return size, 0.0, 0.0, 0.0
    if greeks is None or not greeks.known:
        return None
    assert greeks.delta is not None and greeks.gamma is not None and greeks.theta is not None and greeks.vega is not None
    return greeks.delta * size, greeks.gamma * size, greeks.theta * size, greeks.vega * size


def of_position(position: Position, greeks: Greeks | None, quantity: float | None = None) -> Sum:
    """The greeks of one position, or of ``quantity`` of it."""
    found = values_of(position, greeks, position.quantity if quantity is None else quantity)
    return Sum(legs=1, unknown=1) if found is None else Sum(*found, legs=1)


def is_known(position: Position, greeks: Greeks | None) -> bool:
    """Whether a position may enter a sum: what has no model always, an option with its greeks."""
    return not position.contract.is_option or (greeks is not None and greeks.known)


def source(position: Position, greeks: Greeks | None) -> str:
    """Where the greeks of a position came from, in a word."""
    if not position.contract.is_option:
        return ""
    return greeks.source if greeks else GreekSource.MISSING


def roll_up(positions: Sequence[Position], greeks: Mapping[int, Greeks], by: str = "symbol") -> RollUp:
    """Sums ``by`` symbol, expiry or strategy."""
    parts: dict[str, Sum] = {}
    for key, position, quantity in _keyed(positions, by):
        parts[key] = parts.get(key, Sum()) + of_position(position, greeks.get(position.contract.con_id), quantity)
    return RollUp(by, parts, sum(parts.values(), Sum()))


def _keyed(positions: Sequence[Position], by: str) -> list[tuple[str, Position, float]]:
    if by == "strategy":
        return [(f"{one.symbol} {one.name}", leg.position, leg.quantity) for one in group(positions) for leg in one.legs]
    if by == "expiry":
        ordered = sorted(positions, key=lambda one: str(one.contract.expiry or "9999"))
        return [(one.contract.expiry.isoformat() if one.contract.expiry else "none", one, one.quantity) for one in ordered]
    return [(one.contract.symbol, one, one.quantity) for one in sorted(positions, key=lambda one: one.contract.symbol)]


COLUMNS = (
    Column("key"),
    Column("legs", kind="integer"),
    Column("unknown", kind="integer", rank=1),
    Column("delta", kind="greek", sign=True, unit="share equivalents"),
    Column("gamma", kind="greek", sign=True, unit="share equivalents per 1.00 of the underlying"),
    Column("theta", kind="greek", sign=True, unit="currency per calendar day"),
    Column("vega", kind="greek", sign=True, unit="currency per volatility point"),
    Column("delta_used", title="delta used", unit="share of the limit", rank=2),
)


def table(rolled: RollUp, limits: Limits, at: datetime) -> Table:
    """The sums; one with an unknown leg is unknown. The bar is delta against the portfolio's limit."""
    rows = [_row(key, part, limits) for key, part in rolled.parts.items()]
    columns = (msgspec.structs.replace(COLUMNS[0], name=rolled.by), *COLUMNS[1:])
    notes = (
        [] if rolled.complete else [f"{rolled.total.unknown} of {rolled.total.legs} legs have no greeks: sums with them are unknown (?)"]
    )
    if rolled.complete:
        used = abs(rolled.total.delta) / limits.delta, abs(rolled.total.gamma) / limits.gamma
        notes.append(f"limits: delta ±{limits.delta:g} ({used[0]:.0%} used), gamma ±{limits.gamma:g} ({used[1]:.0%} used)")
    return Table(
        "v6.greeks/1", f"greeks by {rolled.by}", columns, rows, [], _row("total", rolled.total, limits), at, notes, "no open positions"
    )


def _row(key: str, part: Sum, limits: Limits) -> tuple[Any, ...]:
    if part.unknown:
        return (key, part.legs, part.unknown, None, None, None, None, bar(None))
    return (key, part.legs, part.unknown, part.delta, part.gamma, part.theta, part.vega, bar(abs(part.delta) / limits.delta))
