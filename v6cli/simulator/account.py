"""The simulated account: its cash and positions, the fills of the day, and what all that is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime

from msgspec.structs import replace

from v6cli.models import Contract
from v6cli.simulator.holdings import Holding, build
from v6cli.simulator.market import Market, moved
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.scenario import Scenario
from v6cli.simulator.scripted import fills_of_today, order_of
from v6cli.simulator.sessions import day_of
from v6cli.simulator.valuation import Footing, Standing, footing, standing


class Account:
    """What the gateway keeps for its account. ``holdings`` is keyed by contract id; ``own_fills`` are of orders placed here.

    ``changing`` is called before cash and positions change.
    """

    def __init__(self, scenario: Scenario, market: Market, now: datetime) -> None:
        self.id = scenario.account.id
        self.ids = [scenario.account.id, *scenario.account.others]
        self.cash = scenario.account.cash
        self.initial: list[Holding] = build(scenario, market, now)
        self.holdings: dict[int, Holding] = {
            holding.contract.con_id: Holding(*(getattr(holding, name) for name in Holding.__struct_fields__)) for holding in self.initial
        }
        self.own_fills: list[Execution] = []
        self.changing: Callable[[], None] = lambda: None
        self._market = market
        self._scenario = scenario
        self._valued: tuple[datetime, Standing] | None = None

    def fills(self, now: datetime) -> list[Execution]:
        """Today's executions up to ``now``, in the order they happened; IB forgets earlier days."""
        return self._with_scripted(self.own_fills, now)

    def _with_scripted(self, own: Iterable[Execution], now: datetime) -> list[Execution]:
        today = day_of(now)
        of_today = [fill for fill in own if day_of(fill.at) == today]
        return sorted([*self._scripted(now), *of_today], key=lambda fill: (fill.at, fill.exec_id))

    def scripted_orders(self, now: datetime) -> list[Order]:
        """The completed orders behind the scenario's own fills of today."""
        return [order_of(fill) for fill in self._scripted(now)]

    def _scripted(self, now: datetime) -> list[Execution]:
        # They name what the account began with, whether or not it is still held.
        return fills_of_today(self._scenario, self.initial, self._market, now)

    def standing(self, now: datetime) -> Standing:
        """The account's worth at ``now``; several questions about the same moment cost one valuation."""
        moment = moved(now)
        if self._valued is None or self._valued[0] != moment:
            self._valued = (moment, self.standing_of(self.holdings, self.cash, self.own_fills, moment))
        return self._valued[1]

    def supposing(self, now: datetime, changes: Iterable[tuple[Contract, float]], spent: float) -> Footing:
        """What orders would be measured against if these quantities were added to the positions, and ``spent`` taken from the cash."""
        held = dict(self.holdings)
        for contract, quantity in changes:
            old = held.get(contract.con_id)
            held[contract.con_id] = Holding(contract, quantity + (old.quantity if old else 0.0), old.average_cost if old else 0.0)
        left = [holding for holding in held.values() if holding.quantity]
        return footing(left, self.cash - spent, self._market, moved(now))

    def mark(self, legs: Iterable[tuple[Contract, float]], now: datetime) -> float:
        """What contracts are worth together, per share, each as often as its ratio says."""
        contracts, ratios = zip(*legs, strict=True)
        return float(sum(ratio * mark.price for ratio, mark in zip(ratios, self._market.marks(contracts, moved(now)), strict=True)))

    def standing_of(self, holdings: Mapping[int, Holding], cash: float, own_fills: Iterable[Execution], now: datetime) -> Standing:
        """The worth of what was once held, with what had been filled by then."""
        return standing(list(holdings.values()), cash, self._with_scripted(own_fills, now), self._market, now)

    def empty(self, now: datetime) -> Standing:
        """The worth of an account that holds nothing."""
        return standing([], 0.0, [], self._market, now)

    def trade(self, contract: Contract, quantity: float, price: float, fee: float, order_ref: str = "") -> float | None:
        """Add ``quantity`` (negative when sold) at ``price`` per share; return the P&L that this realizes, None when it only opens.

        Average costs carry the fees of opening, as IB's do; what is realized is after all fees.
        """
        self._change()
        self.cash = round(self.cash - quantity * price * contract.multiplier - fee, 6)
        holding = self.holdings.setdefault(contract.con_id, Holding(contract, 0.0, 0.0, order_ref))
        unit, held = price * contract.multiplier, holding.quantity
        closing = min(abs(held), abs(quantity)) if held * quantity < 0 else 0.0
        closing_fee = fee * closing / abs(quantity)
        realized = None
        if closing:
            realized = round(closing * (unit - holding.average_cost) * (1 if held > 0 else -1) - closing_fee, 4)
        opening = quantity + (closing if held > 0 else -closing) if closing else quantity
        kept = held + quantity - opening
        if opening:
            cost = kept * holding.average_cost + opening * unit + fee - closing_fee
            holding.average_cost = round(cost / (held + quantity), 8)
        holding.quantity = held + quantity
        if not holding.quantity:
            del self.holdings[contract.con_id]
        return realized

    def correct(self, old: Execution, price: float) -> Execution:
        """Put another price in the place of an execution's, under the next id; cash, cost and P&L follow. Return the correction."""
        self._change()
        spent = round(old.signed_quantity * (price - old.price) * old.contract.multiplier, 6)
        self.cash = round(self.cash - spent, 6)
        holding, realized = self.holdings.get(old.contract.con_id), old.realized
        if holding is not None and holding.quantity * old.signed_quantity > 0:
            holding.average_cost = round(holding.average_cost + spent / holding.quantity, 8)
        else:
            realized = round((realized or 0.0) - spent, 4)
        base, _, revision = old.exec_id.rpartition(".")
        average = old.average + (price - old.price) * old.quantity / old.cumulative if old.cumulative else 0.0
        new = replace(old, exec_id=f"{base}.{int(revision) + 1:02d}", price=price, average=round(average, 8), realized=realized)
        self.own_fills[self.own_fills.index(old)] = new
        return new

    def _change(self) -> None:
        self.changing()
        self._valued = None

    def restore(self, cash: float, initial: list[Holding], holdings: list[Holding], fills: list[Execution]) -> None:
        """Take up what was saved in place of what the scenario begins with."""
        self._valued = None
        self.cash, self.initial, self.own_fills = cash, initial, fills
        self.holdings.clear()
        self.holdings.update({holding.contract.con_id: holding for holding in holdings})

    def forget_before(self, day: date) -> None:
        """Drop fills of days before ``day``."""
        self.own_fills = [fill for fill in self.own_fills if day_of(fill.at) >= day]
