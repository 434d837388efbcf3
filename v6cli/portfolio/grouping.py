"""Legs into strategies, by shape: iron condor, vertical, covered call, strangle, stock, single leg.

A position may belong to several strategies; each takes a share of its quantity, and the shares add up to the position.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache

from msgspec import Struct

from v6cli.models import Position

EPSILON = 1e-9


class Leg(Struct, frozen=True):
    """A share of a position: ``quantity`` of it, negative when short."""

    position: Position
    quantity: float

    @property
    def share(self) -> float:
        """The leg's part of the whole position, from 0 to 1."""
        return self.quantity / self.position.quantity


class Group(Struct, frozen=True):
    """Legs that belong together under the name of their shape."""

    symbol: str
    name: str
    legs: tuple[Leg, ...]


class _Rest:
    """What of each position no strategy has taken yet."""

    def __init__(self, positions: Iterable[Position]) -> None:
        self.quantities = {id(position): position.quantity for position in positions}

    def of(self, position: Position) -> float:
        return self.quantities[id(position)]

    def take(self, position: Position, quantity: float) -> Leg:
        self.quantities[id(position)] -= quantity
        return Leg(position, quantity)


def group(positions: Sequence[Position]) -> list[Group]:
    """Every position in groups, by symbol, nearest expiry first."""
    groups: list[Group] = []
    by_symbol: dict[str, list[Position]] = {}
    for position in positions:
        by_symbol.setdefault(position.contract.symbol, []).append(position)
    for symbol in sorted(by_symbol):
        groups += _group_symbol(symbol, by_symbol[symbol])
    return groups


def _group_symbol(symbol: str, positions: list[Position]) -> list[Group]:
    rest = _Rest(positions)
    groups: list[Group] = []
    chains: dict[tuple[date | None, str], list[Position]] = {}
    for one in positions:
        if one.contract.is_option:
            chains.setdefault((one.contract.expiry, one.contract.trading_class), []).append(one)
    for key in sorted(chains, key=str):
        groups += _group_expiry(symbol, key[0], chains[key], rest)
    left = [one for one in positions if abs(rest.of(one)) > EPSILON]
    groups += _covered_calls(symbol, left, rest)
    groups += _strangles(symbol, left, rest)
    for position in left:
        if abs(rest.of(position)) > EPSILON:
            groups.append(Group(symbol, _single_name(position), (rest.take(position, rest.of(position)),)))
    return groups


def _group_expiry(symbol: str, expiry: date | None, legs: list[Position], rest: _Rest) -> list[Group]:
    puts = _verticals([leg for leg in legs if leg.contract.right == "P"], rest)
    calls = _verticals([leg for leg in legs if leg.contract.right == "C"], rest)
    groups = []
    for put in list(puts):
        for call in list(calls):
            if put.size == call.size and put.credit == call.credit and put.inner < call.inner + EPSILON:
                groups.append(
                    Group(
                        symbol,
                        f"iron condor {_short(expiry)}" if put.credit else f"reverse condor {_short(expiry)}",
                        (*put.legs, *call.legs),
                    )
                )
                puts.remove(put)
                calls.remove(call)
                break
    groups += [Group(symbol, f"{vertical.name} {_short(expiry)}", vertical.legs) for vertical in (*puts, *calls)]
    return groups


class _Vertical(Struct, frozen=True):
    legs: tuple[Leg, Leg]
    size: float
    credit: bool
    inner: float
    name: str


def _verticals(legs: list[Position], rest: _Rest) -> list[_Vertical]:
    """Pair each short with the nearest long of the same right and expiry."""
    found = []
    longs = sorted([leg for leg in legs if leg.quantity > 0], key=_strike)
    strikes = [_strike(leg) for leg in longs]
    for short in [leg for leg in legs if leg.quantity < 0] if longs else ():
        while longs and (wanted := -rest.of(short)) > EPSILON:
            place = _nearest(strikes, _strike(short))
            there = rest.of(longs[place])
            found.append(_vertical(short, longs[place], min(wanted, there), rest))
            if there - wanted <= EPSILON:
                del longs[place], strikes[place]
    return found


def _nearest(strikes: list[float], wanted: float) -> int:
    """Where in the strikes, which ascend, the nearest one stands; the lower of two that are as near."""
    place = bisect_left(strikes, wanted)
    if place == len(strikes) or (place > 0 and wanted - strikes[place - 1] <= strikes[place] - wanted):
        return place - 1
    return place


def _vertical(short: Position, long: Position, size: float, rest: _Rest) -> _Vertical:
    put, inner, outer = short.contract.right == "P", _strike(short), _strike(long)
    credit = inner > outer if put else inner < outer
    name = f"{'put' if put else 'call'} {'credit' if credit else 'debit'} spread"
    legs = (rest.take(short, -size), rest.take(long, size))
    return _Vertical(legs, size, credit, inner, name)


def _covered_calls(symbol: str, positions: list[Position], rest: _Rest) -> list[Group]:
    groups = []
    for stock in [one for one in positions if one.contract.kind == "STK"]:
        for call in [one for one in positions if one.contract.right == "C"]:
            size = min(-rest.of(call), rest.of(stock) // call.contract.multiplier)
            if size > EPSILON:
                legs = (rest.take(stock, size * call.contract.multiplier), rest.take(call, -size))
                groups.append(Group(symbol, f"covered call {_short(call.contract.expiry)}", legs))
    return groups


def _strangles(symbol: str, positions: list[Position], rest: _Rest) -> list[Group]:
    groups = []
    calls: dict[date | None, list[Position]] = {}
    for one in positions:
        if one.contract.right == "C" and rest.of(one):
            calls.setdefault(one.contract.expiry, []).append(one)
    for put in [one for one in positions if one.contract.right == "P" and rest.of(one)]:
        for call in calls.get(put.contract.expiry, ()):
            sign = 1.0 if rest.of(put) > 0 else -1.0
            size = min(abs(rest.of(put)), abs(rest.of(call))) if rest.of(put) * rest.of(call) > 0 else 0.0
            if size > EPSILON:
                shape = "straddle" if _strike(put) == _strike(call) else "strangle"
                name = f"{'short' if sign < 0 else 'long'} {shape} {_short(put.contract.expiry)}"
                groups.append(Group(symbol, name, (rest.take(put, sign * size), rest.take(call, sign * size))))
    return groups


def _single_name(position: Position) -> str:
    if not position.contract.is_option:
        return "stock" if position.contract.kind == "STK" else position.contract.kind.lower()
    side = "short" if position.quantity < 0 else "long"
    return f"{side} {'put' if position.contract.right == 'P' else 'call'} {_short(position.contract.expiry)}"


def _strike(position: Position) -> float:
    return position.contract.strike or 0.0


@lru_cache(maxsize=256)
def _short(expiry: date | None) -> str:
    return expiry.strftime("%d%b%y").lstrip("0") if expiry else "?"
