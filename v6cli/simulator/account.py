"""The simulated account: cash, positions, orders and the fills of the day."""

from __future__ import annotations

from datetime import datetime

from v6cli.simulator.holdings import Holding, build
from v6cli.simulator.market import Market
from v6cli.simulator.orders import Execution, Order, fills_of_today, order_of, working
from v6cli.simulator.scenario import Scenario
from v6cli.simulator.sessions import day_of
from v6cli.simulator.valuation import Standing, standing


class Account:
    """What the gateway keeps for its account. ``holdings`` is keyed by contract id; ``orders`` are those still alive."""

    def __init__(self, scenario: Scenario, market: Market, now: datetime) -> None:
        self.id = scenario.account.id
        self.ids = [scenario.account.id, *scenario.account.others]
        self.cash = scenario.account.cash
        self.holdings: dict[int, Holding] = {holding.contract.con_id: holding for holding in build(scenario, market, now)}
        self.orders: list[Order] = working(scenario, self.holdings.values(), day_of(now).toordinal())
        self._market = market
        self._scenario = scenario
        self._day = day_of(now)
        self._own_fills: list[Execution] = []
        self._valued: tuple[datetime, Standing] | None = None

    def fills(self, now: datetime) -> list[Execution]:
        """Today's executions up to ``now``, in the order they happened; IB forgets earlier days."""
        today = day_of(now)
        scripted = fills_of_today(self._scenario, self.holdings.values(), self._market, now)
        own = [fill for fill in self._own_fills if day_of(fill.at) == today]
        return sorted([*scripted, *own], key=lambda fill: (fill.at, fill.exec_id))

    def completed(self, now: datetime) -> list[Order]:
        """Orders that came to their end today."""
        return [order_of(fill) for fill in self.fills(now)]

    def standing(self, now: datetime) -> Standing:
        """The account's worth at ``now``; several questions about the same moment cost one valuation."""
        if self._valued is None or self._valued[0] != now:
            self._valued = (now, standing(list(self.holdings.values()), self.cash, self.fills(now), self._market, now))
        return self._valued[1]

    def empty(self, now: datetime) -> Standing:
        """The worth of an account that holds nothing."""
        return standing([], 0.0, [], self._market, now)
