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
from v6cli.simulator.valuation import Standing


class Effect(Struct, frozen=True):
    """The account without an order and with it filled, and the order's commission in US dollars."""

    before: Standing
    after: Standing
    commission: float

    @property
    def consumed(self) -> float:
        """What the order takes of the funds that are free for new positions; below zero it sets some free."""
        return self.before.available_funds - self.after.available_funds


def effect(account: Account, order: Order, legs: Sequence[tuple[Contract, float]], market: Sides, now: datetime) -> Effect:
    """What filling the rest of ``order`` would do. ``legs`` are its contracts with their signed ratios when it is bought."""
    price = _expected(order, market)
    changes = [(contract, order.sign * ratio * order.remaining) for contract, ratio in legs]
    commission = round(max(fees.LEAST, sum(fees.by_size(contract, quantity) for contract, quantity in changes)), 2)
    multiplier = legs[0][0].multiplier if not order.legs else max(contract.multiplier for contract, _ in legs)
    spent = order.sign * order.remaining * price * multiplier + commission
    return Effect(account.standing(now), account.supposing(now, changes, spent), commission)


def _expected(order: Order, market: Sides) -> float:
    """The price per share that an order is reckoned at: its limit, its stop, or the side of the market that it takes."""
    side = market.ask if order.sign > 0 else market.bid
    return next((price for price in (order.limit, order.stop, side, market.middle) if price is not None), 0.0)


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
