"""Whether the account can afford an order: margin and equity before it and after it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from v6cli.models import Contract
from v6cli.simulator import fees
from v6cli.simulator.account import Account
from v6cli.simulator.matching import Sides
from v6cli.simulator.orders import Order
from v6cli.simulator.valuation import Footing


class Effect(Struct, frozen=True):
    """The account without an order and with it filled, and the order's commission in US dollars."""

    before: Footing
    after: Footing
    commission: float

    @property
    def consumed(self) -> float:
        """What the order takes of the funds that are free for new positions; below zero it sets some free."""
        return self.before.available_funds - self.after.available_funds


class Intent:
    """An order with what it is about: its contracts, with their signed ratios when it is bought, and the market for it.

    ``changes`` is what filling its rest adds to the positions, ``commission`` what that costs.
    """

    def __init__(self, order: Order, legs: Sequence[tuple[Contract, float]], market: Sides) -> None:
        self.changes = [(contract, order.sign * ratio * order.remaining) for contract, ratio in legs]
        self.commission = round(max(fees.LEAST, sum(fees.by_size(*change) for change in self.changes)), 2)
        self._order = order
        self._legs = legs
        self._market = market

    def spent(self, account: Account, now: datetime) -> float:
        """The cash that filling its rest takes."""
        multiplier = max(contract.multiplier for contract, _ in self._legs)
        return self._order.sign * self._order.remaining * self._price(account, now) * multiplier + self.commission

    def _price(self, account: Account, now: datetime) -> float:
        """The price per share that it is reckoned at: its limit, its stop, or the side of the market that it takes."""
        order = self._order
        side = self._market.ask if order.sign > 0 else self._market.bid
        known = (order.limit, order.stop, side, self._market.middle)
        price = next((price for price in known if price is not None), None)
        if price is not None and order.contract.kind != "STK":
            return price
        mark = account.mark(self._legs, now)
        if price is None:  # nobody quotes it now
            return mark
        # Stock counts as equity: what a price better than the market's would earn must not pay for the order.
        return max(price, mark) if order.sign > 0 else min(price, mark)


def effect(account: Account, intent: Intent, now: datetime, parent: Intent | None = None) -> Effect:
    """What filling an order would do. One that waits for its ``parent`` is looked at as if that had filled."""
    before: Footing = account.standing(now)
    changes, spent = intent.changes, intent.spent(account, now)
    if parent is not None:
        waits_for = parent.spent(account, now)
        before = account.supposing(now, parent.changes, waits_for)
        changes, spent = [*parent.changes, *changes], spent + waits_for
    return Effect(before, account.supposing(now, changes, spent), intent.commission)


def shortage(found: Effect, reserved: float) -> str | None:
    """Why the order cannot be afforded, in IB's words; None when it can. ``reserved`` is what other working orders take.

    An order that takes nothing from the free funds is never refused: it reduces the risk of an account that may be short of them.
    """
    if found.consumed <= 0.005 + found.commission or found.after.available_funds - reserved >= 0:
        return None
    return (
        "Order rejected - reason:YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        f"[{found.after.equity_with_loan - reserved:.2f} USD] MUST EXCEED THE INITIAL MARGIN [{found.after.initial_margin:.2f} USD]"
    )
