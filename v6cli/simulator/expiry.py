"""What becomes of options after their last day: exercised, assigned or settled overnight, without an order or an execution.

Options on stocks deliver shares when they are in the money, in the night after they expire. Options on indices pay cash, by
the close or, where the class settles in the morning, by that day's opening prices. Worthless ones stay in the account over
the weekend and vanish before the next session.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta

import numpy as np

from v6cli.models import Contract
from v6cli.simulator.account import Account
from v6cli.simulator.listings import OPTION_CLASSES, listed
from v6cli.simulator.market import Market
from v6cli.simulator.sessions import new_york

#: When the clearing house's results reach the account, New York time.
_ARRIVES = time(1)
#: From here on an option is exercised for its holder, per share.
_IN_THE_MONEY = 0.01


def settle(account: Account, market: Market, since: datetime, now: datetime) -> list[Contract]:
    """Settle what is due after ``since`` and up to ``now``; return the contracts whose positions changed."""
    due = [holding for holding in account.holdings.values() if holding.contract.expiry is not None]
    changed: list[Contract] = []
    for holding in due:
        worth = _worth(market, holding.contract) if market.exchange.settles(holding.contract) <= now else 0.0
        if since < _arrives(market, holding.contract, worth) <= now:
            changed += _settle_one(account, market, holding.contract, holding.quantity, worth)
    return list(dict.fromkeys(changed))


def _worth(market: Market, contract: Contract) -> float:
    """What the option is worth when it settles, per share of its multiplier."""
    moment = np.array([market.exchange.settles(contract).timestamp()])
    return round(float(market.values([contract], moment).price[0]), 4)


def _arrives(market: Market, contract: Contract, worth: float) -> datetime:
    assert contract.expiry is not None
    night = contract.expiry + timedelta(days=1)
    if worth < _IN_THE_MONEY:
        while market.exchange.calendar(night) is None and (night - contract.expiry).days < 7:
            night += timedelta(days=1)
    return new_york(night, _ARRIVES)


def _settle_one(account: Account, market: Market, contract: Contract, quantity: float, worth: float) -> Iterable[Contract]:
    listing = market.listings[contract.symbol]
    if listing.is_index or worth < _IN_THE_MONEY:
        account.trade(contract, -quantity, worth if worth >= _IN_THE_MONEY else 0.0, 0.0)
        return [contract]
    return deliver(account, market, contract, quantity)


def deliver(account: Account, market: Market, contract: Contract, quantity: float) -> list[Contract]:
    """Turn ``quantity`` of an option on a stock (negative when short) into shares at its strike; return what changed."""
    # A call's holder buys at the strike and a put's sells; whoever is short does the opposite.
    listing, family = market.listings[contract.symbol], OPTION_CLASSES[contract.trading_class]
    shares = quantity * (family.deliverable or family.multiplier) * (1 if contract.right == "C" else -1)
    paid = (contract.strike or 0.0) * family.multiplier * quantity * (1 if contract.right == "C" else -1)
    account.trade(contract, -quantity, 0.0, 0.0)
    account.trade(listed(listing), shares, paid / shares, 0.0)
    return [contract, listed(listing)]
