"""The accounts that the login manages: the scenario's own, unless a fault adds one or puts somebody else's in its place."""

from __future__ import annotations

from datetime import datetime

from v6cli import clock
from v6cli.simulator.account import Account
from v6cli.simulator.faults import Faults, names
from v6cli.simulator.holdings import Holding
from v6cli.simulator.listings import listed
from v6cli.simulator.market import Market
from v6cli.simulator.statement import Statement
from v6cli.simulator.valuation import Standing, standing

_SHARES = 7.0
_CASH = 10_000.0


class Managed:
    """What each managed account holds and is worth. The scenario's further accounts hold nothing, those of faults a little."""

    def __init__(self, account: Account, statement: Statement, faults: Faults, market: Market) -> None:
        self._account = account
        self._statement = statement
        self._faults = faults
        self._market = market
        self._usual = list(account.ids)
        spy = market.listings["SPY"]
        self._small = Holding(listed(spy), _SHARES, spy.price)
        self.update()

    def update(self) -> None:
        """Bring the ids of the account up to date with the faults."""
        others, seconds = (
            [id_ for held in self._faults.each(fault) for id_ in names(held["id"])] for fault in ("other-account", "second-account")
        )
        self._account.ids = list(dict.fromkeys([*(others or self._usual), *seconds]))

    def holdings(self, name: str) -> list[Holding]:
        """What an account holds; an empty name means every account of the login."""
        if not name:
            return [holding for each in self._account.ids for holding in self.holdings(each)]
        if name == self._account.id:
            return list(self._statement.holdings(clock.now()).values())
        return [] if name in self._usual else [self._small]

    def standing(self, name: str, now: datetime) -> Standing:
        """What an account is worth, as far as the gateway knows: since it lost IB it learns nothing."""
        now = self._faults.since("link-lost") or now
        if name == self._account.id:
            return self._statement.standing(now)
        return self._account.empty(now) if name in self._usual else standing(self.holdings(name), _CASH, [], self._market, now)
