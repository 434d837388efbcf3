"""What IB's account system shows: the account as it is, or, while positions lag, as it was before the latest fills."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from v6cli import clock
from v6cli.simulator.account import Account
from v6cli.simulator.faults import Faults
from v6cli.simulator.faults.fault import number
from v6cli.simulator.holdings import Holding
from v6cli.simulator.orders import Execution
from v6cli.simulator.valuation import Standing

_LAG = "positions-lag"


class _Before(Struct, frozen=True):
    """The account as it was before a change that is not shown yet."""

    cash: float
    holdings: dict[int, Holding]
    fills: list[Execution]


class Statement:
    """Positions and values as clients are told them. ``latest`` numbers the last change that was not shown at once, from 1."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self.latest = 0
        self._account = account
        self._faults = faults
        self._hidden: dict[int, _Before] = {}
        account.changing = self._before_change

    def holdings(self, now: datetime) -> Mapping[int, Holding]:
        """The positions, by contract id."""
        before = self._shown(now)
        return before.holdings if before is not None else self._account.holdings

    def standing(self, now: datetime) -> Standing:
        """What they and the cash are worth."""
        before = self._shown(now)
        if before is None:
            return self._account.standing(now)
        return self._account.standing_of(before.holdings, before.cash, before.fills, now)

    def shows(self, change: int, now: datetime) -> bool:
        """Whether the change of this number is shown by now; 0 is one that never was hidden."""
        self._forget(now)
        return change not in self._hidden

    def _shown(self, now: datetime) -> _Before | None:
        self._forget(now)
        return next(iter(self._hidden.values()), None)

    def _before_change(self) -> None:
        held = self._faults.strikes(_LAG)
        if held is None:
            return
        self.latest += 1
        now = clock.now()
        self._faults.hold(_LAG, self.latest, held, now + timedelta(seconds=number(held, "by")))
        copies = {key: replace(holding) for key, holding in self._account.holdings.items()}
        self._hidden[self.latest] = _Before(self._account.cash, copies, list(self._account.own_fills))

    def _forget(self, now: datetime) -> None:
        for change in [change for change in self._hidden if self._faults.grips(_LAG, change, now) is None]:
            self._faults.let_go(_LAG, change)
            del self._hidden[change]
