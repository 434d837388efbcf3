"""Orders and fills that a scenario begins with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time

from v6cli.errors import BadConfiguration
from v6cli.models import Contract
from v6cli.simulator import noise
from v6cli.simulator.holdings import Holding
from v6cli.simulator.listings import OPTION_CLASSES, listed, tick
from v6cli.simulator.market import Market
from v6cli.simulator.orders import ComboLeg, Execution, Order, combo
from v6cli.simulator.scenario import ExecutionSpec, OrderSpec, Scenario
from v6cli.simulator.sessions import day_of, new_york


def working(scenario: Scenario, holdings: Iterable[Holding], day_number: int) -> list[Order]:
    """The scenario's working orders; each client's ids count from 1, an order by hand has none until it is bound."""
    held = list(holdings)
    orders: list[Order] = []
    for number, spec in enumerate(scenario.orders):
        mine = [order for order in orders if order.client_id == spec.client]
        order_id = 0 if spec.client == 0 else 1 + len(mine)
        legs = [holding for holding in held if holding.order_ref == spec.closes]
        if spec.of:
            legs = [legs[place] for place in spec.of if place < len(legs)]
        if not legs:
            raise BadConfiguration(f"scenario {scenario.title or '?'}: orders[{number}].of names no leg of {spec.closes!r}")
        orders.append(_closing(spec, legs, scenario.account.id, order_id, _perm_id(scenario.seed, day_number, number)))
    return orders


def _closing(spec: OrderSpec, legs: list[Holding], account: str, order_id: int, perm_id: int) -> Order:
    units = int(min(abs(leg.quantity) for leg in legs)) or 1
    single = len(legs) == 1
    contract = legs[0].contract if single else combo(legs[0].contract.symbol)
    quantity = abs(legs[0].quantity) if single else float(units)
    # A combo is bought with its legs turned round: what is paid for it is what closing costs.
    action = ("SELL" if legs[0].quantity > 0 else "BUY") if single else "BUY"
    multiplier = legs[0].contract.multiplier
    cost = (abs(legs[0].average_cost) if single else -sum(leg.average_cost * leg.quantity / units for leg in legs)) / multiplier
    return Order(
        order_id,
        spec.client,
        perm_id,
        account,
        contract,
        action,
        quantity,
        spec.type,
        limit=_price(spec.price, cost, legs[0].contract),
        stop=_price(spec.stop, cost, legs[0].contract),
        tif=spec.tif,
        order_ref=spec.closes if spec.order_ref is None else spec.order_ref,
        status=spec.status,
        legs=() if single else tuple(_turned_round(leg, units) for leg in legs),
    )


def _turned_round(leg: Holding, units: int) -> ComboLeg:
    ratio = max(1, round(abs(leg.quantity) / units))
    return ComboLeg(leg.contract.con_id, ratio, "SELL" if leg.quantity > 0 else "BUY")


def _price(spec: str | float | None, cost: float, contract: Contract) -> float | None:
    if spec is None:
        return None
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)%", spec) if isinstance(spec, str) else None
    if isinstance(spec, str) and percent is None:
        raise BadConfiguration(f"{spec!r} is no price for an order", next_step='write a number, or percent of the cost: "50%"')
    price = cost * float(percent.group(1)) / 100 if percent else float(spec)
    family = OPTION_CLASSES.get(contract.trading_class)
    step = tick(family.rule, abs(price)) if family else 0.01
    return round(round(price / step) * step, 4)


def fills_of_today(scenario: Scenario, holdings: Iterable[Holding], market: Market, now: datetime) -> list[Execution]:
    """The scenario's fills that have happened by ``now`` today, each a completed order of its own. Raises BadConfiguration."""
    held = list(holdings)
    today = day_of(now)
    fills = []
    for number, spec in enumerate(scenario.executions):
        at = new_york(today, _clock_time(spec.at))
        contract = _contract_of(spec, held, market)
        if at > now or not (market.exchange.always or market.exchange.calendar(today)):
            continue
        price = spec.price if spec.price is not None else round(market.marks([contract], at)[0].price, 2)
        fills.append(
            Execution(
                f"0000e0d5.{today:%y%m%d}{number:02x}.01.01",
                1000 + number if spec.client else 0,
                spec.client,
                _perm_id(scenario.seed, today.toordinal(), 500 + number),
                scenario.account.id,
                contract,
                spec.side,
                spec.quantity,
                price,
                at,
                spec.order_ref,
                round(spec.commission * spec.quantity, 4),
                spec.realized,
            )
        )
    return fills


def _clock_time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise BadConfiguration(f"{text!r} is no time of day", next_step="write 10:15 or 10:15:30") from None


def _contract_of(spec: ExecutionSpec, held: list[Holding], market: Market) -> Contract:
    for holding in held:
        if spec.order_ref and holding.order_ref == spec.order_ref and spec.symbol in {"", holding.contract.symbol}:
            return holding.contract
    if spec.symbol not in market.listings:
        raise BadConfiguration(f"an execution names {spec.order_ref or spec.symbol!r}, and nothing like it is held or listed")
    return listed(market.listings[spec.symbol])


def order_of(fill: Execution) -> Order:
    """The completed order behind a fill of the scenario."""
    return Order(
        fill.order_id,
        fill.client_id,
        fill.perm_id,
        fill.account,
        fill.contract,
        "BUY" if fill.side == "BOT" else "SELL",
        fill.quantity,
        "LMT",
        limit=fill.price,
        order_ref=fill.order_ref,
        status="Filled",
        filled=fill.quantity,
        average_price=fill.price,
        last_price=fill.price,
        completed=fill.at,
        ended_by=f"Filled Size: {fill.quantity:g}",
    )


def _perm_id(seed: int, day_number: int, number: int) -> int:
    """A permanent id: different for every order and day, the same after a restart."""
    return 1_000_000_000 + (noise.stream(seed, f"perm {day_number}") % 1_000_000) * 1_000 + number
