"""What the account holds, made from a scenario: contracts with quantities and the average costs they were opened at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import cycle, product
from typing import Literal

import numpy as np
from msgspec import Struct

from v6cli.errors import BadConfiguration
from v6cli.models import Contract
from v6cli.simulator.chains import strikes
from v6cli.simulator.listings import OPTION_CLASSES, Listing, OptionClass, listed, option
from v6cli.simulator.market import Market
from v6cli.simulator.rules import expiry_of, nearest, opening_of, spread, strike_of
from v6cli.simulator.scenario import GridSpec, PositionSpec, QuoteState, Scenario, StockSpec, StrategySpec
from v6cli.simulator.sessions import day_of


class Holding(Struct):
    """A position. ``average_cost`` is per contract, multiplier included, as IB states it."""

    contract: Contract
    quantity: float
    average_cost: float
    order_ref: str = ""
    quote: QuoteState = "normal"
    greeks: bool = True


class _Leg(Struct, frozen=True):
    contract: Contract
    quantity: float
    opened: datetime


def stock_listing(spec: StockSpec) -> Listing:
    """A scenario's own stock, as the market lists it."""
    number = int.from_bytes(hashlib.blake2b(spec.symbol.encode(), digest_size=4).digest(), "big")
    return Listing(
        spec.symbol,
        500_000_000 + number % 100_000_000,
        spec.name or spec.symbol,
        exchange=spec.exchange,
        price=spec.price,
        beta=0.008,
        own=0.008,
    )


def build(scenario: Scenario, market: Market, now: datetime) -> list[Holding]:
    """The scenario's positions as of ``now``, equal contracts put together. Raises BadConfiguration naming the part."""
    held: dict[int, Holding] = {}
    for name, make in _parts(scenario, market, now):
        try:
            for holding in make:
                _add(held, holding)
        except (BadConfiguration, KeyError) as error:
            step = error.next_step if isinstance(error, BadConfiguration) else "choose one that is listed, or list a stock under [[stocks]]"
            said = error.message if isinstance(error, BadConfiguration) else f"{error.args[0]!r} is not listed"
            raise BadConfiguration(f"scenario {scenario.title or '?'}: {name}: {said}", next_step=step) from None
    return [holding for holding in held.values() if holding.quantity]


def _parts(scenario: Scenario, market: Market, now: datetime) -> Iterator[tuple[str, Iterable[Holding]]]:
    for number, strategy in enumerate(scenario.strategies):
        yield f"strategies[{number}]", _strategy(strategy, market, now)
    for number, position in enumerate(scenario.positions):
        yield f"positions[{number}]", _position(position, market, now)
    for number, grid in enumerate(scenario.grids):
        yield f"grids[{number}]", _grid(grid, market, now)


def _add(held: dict[int, Holding], new: Holding) -> None:
    old = held.setdefault(new.contract.con_id, new)
    if old is not new:
        total = old.quantity + new.quantity
        if total:
            old.average_cost = (old.average_cost * old.quantity + new.average_cost * new.quantity) / total
        old.quantity = total


def _position(spec: PositionSpec, market: Market, now: datetime) -> Iterator[Holding]:
    if not spec.right:
        opened = opening_of(spec.opened, None, market.exchange, now)
        leg = _Leg(listed(market.listings[spec.symbol]), spec.quantity, opened)
    else:
        family = _family(spec.trading_class or spec.symbol)
        expiry = expiry_of(spec.expiry or "monthly", family, market.exchange, day_of(now))
        opened = opening_of(spec.opened, expiry, market.exchange, now)
        leg = _Leg(_at_rule(spec.strike, option(family.name, expiry, 1.0, spec.right), market, opened), spec.quantity, opened)
    for holding in _opened([leg], market, now, spec.cost_factor, spec.order_ref):
        holding.quote, holding.greeks = spec.quote, spec.greeks
        yield holding


def _strategy(spec: StrategySpec, market: Market, now: datetime) -> Iterator[Holding]:
    if spec.template == "stock":
        opened = opening_of(spec.opened, None, market.exchange, now)
        return _opened([_Leg(listed(market.listings[spec.symbol]), spec.quantity, opened)], market, now, spec.cost_factor, spec.order_ref)
    family = _family(spec.trading_class or ("SPXW" if spec.symbol == "SPX" else spec.symbol))
    expiry = expiry_of(spec.expiry, family, market.exchange, day_of(now))
    opened = opening_of(spec.opened, expiry, market.exchange, now)
    offered = strikes(family, market.listings[family.symbol])

    def leg(right: Literal["C", "P"], quantity: int, beyond: float = 0.0) -> _Leg:
        near = _at_rule(spec.short, option(family.name, expiry, 1.0, right), market, opened)
        away = nearest(offered, (near.strike or 0.0) + (beyond if right == "C" else -beyond)) if beyond else near.strike or 0.0
        return _Leg(option(family.name, expiry, away, right), quantity * spec.quantity, opened)

    legs = {
        "iron_condor": lambda: [leg("P", 1, spec.width), leg("P", -1), leg("C", -1), leg("C", 1, spec.width)],
        "vertical": lambda: [leg(spec.right, -1), leg(spec.right, 1, spec.width)],
        "strangle": lambda: [leg("P", -1), leg("C", -1)],
        "naked_put": lambda: [leg("P", -1)],
        "covered_call": lambda: [_Leg(listed(market.listings[spec.symbol]), spec.quantity * family.multiplier, opened), leg("C", -1)],
    }[spec.template]()
    return _opened(legs, market, now, spec.cost_factor, spec.order_ref)


def _grid(spec: GridSpec, market: Market, now: datetime) -> Iterator[Holding]:
    quantities = cycle(spec.quantities)
    legs = []
    for name, rule in product(spec.trading_classes, spec.expiries):
        family = _family(name)
        expiry = expiry_of(rule, family, market.exchange, day_of(now))
        opened = opening_of(spec.opened, expiry, market.exchange, now)
        for strike, right in product(spread(spec.count, spec.lowest, spec.highest, family, market.listings[family.symbol]), spec.rights):
            legs.append(_Leg(option(name, expiry, strike, right), next(quantities), opened))
    return _opened(legs, market, now, None, spec.order_ref)


def _family(trading_class: str) -> OptionClass:
    return OPTION_CLASSES[trading_class]


def _at_rule(rule: str | float, template: Contract, market: Market, opened: datetime) -> Contract:
    """The option like ``template`` whose strike ``rule`` names."""
    assert template.expiry is not None and template.right is not None
    family = _family(template.trading_class)
    return option(family.name, template.expiry, strike_of(rule, template, family, market, opened), template.right)


def _opened(legs: list[_Leg], market: Market, now: datetime, factor: float | None, order_ref: str) -> Iterator[Holding]:
    contracts = [leg.contract for leg in legs]
    if factor is None:
        prices = market.values(contracts, np.array([leg.opened.timestamp() for leg in legs])).price
    else:
        prices = market.previous_close(contracts, now) * factor
    for leg, price in zip(legs, prices.tolist(), strict=True):
        cost = max(round(price, 4), 0.01) * leg.contract.multiplier
        yield Holding(leg.contract, float(leg.quantity), round(cost, 4), order_ref)
