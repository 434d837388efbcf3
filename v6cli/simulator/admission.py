"""Whether an order comes to be: what it says, the order it waits for, and the account's funds."""

from __future__ import annotations

from datetime import datetime

from v6cli.simulator import matching
from v6cli.simulator.account import Account
from v6cli.simulator.checks import PriceCap, Refused, check_ticket
from v6cli.simulator.floor import Floor
from v6cli.simulator.funds import Effect, Intent, effect, shortage
from v6cli.simulator.orders import Order

#: Orders that wait for one another in a row. What follows from a fill or a cancel goes from each to the next.
MOST_GENERATIONS = 20


class Admission:
    """Looks at orders before they work."""

    def __init__(self, account: Account, floor: Floor) -> None:
        self._book = floor.book
        self._account = account
        self._floor = floor

    def check(self, order: Order, now: datetime) -> str | None:
        """Raise Refused for an order that does not come to be; return why one is cancelled as soon as it does."""
        self._check_parent(order)
        try:
            check_ticket(order, self._account, self._floor, now)
        except PriceCap as cap:
            return cap.reason
        return None

    def _check_parent(self, order: Order) -> None:
        if not order.parent_id:
            return
        parent = self._book.parent_of(order)
        if parent is None:
            done = self._book.done(order.client_id, order.parent_id)
            if done is None:
                raise Refused(135, f"Can't find order with id ={order.parent_id}")
            if done.status != "Filled":
                raise Refused(201, "Order rejected - reason:Parent order is being cancelled.")
        generations = 1
        while parent is not None:
            generations, parent = generations + 1, self._book.parent_of(parent)
        if generations > MOST_GENERATIONS:
            raise Refused(201, "Order rejected - reason:Too many orders wait for one another.")

    def rejection(self, order: Order, now: datetime) -> str | None:
        """Why ``order`` is rejected as it is sent; None where it is not, and then its funds are kept for it."""
        if self._book.is_filled(order.oca_group):
            return "Order rejected - reason:OCA group is already filled."
        return self.reserve(order, order, now)

    def reserve(self, order: Order, described: Order, now: datetime) -> str | None:
        """Keep what ``order`` takes of the account's funds once it is as ``described``; or say why they do not suffice."""
        found = self.effect(described, now)
        short = shortage(found, self._book.reserved_beside(order))
        if short is None:
            order.reserved_each = max(0.0, found.consumed) / described.remaining if described.remaining else 0.0
        return short

    def effect(self, order: Order, now: datetime) -> Effect:
        """What filling the order would do to margin and equity."""
        parent = self._book.parent_of(order)
        return effect(self._account, self._intent(order, now), now, self._intent(parent, now) if parent is not None else None)

    def _intent(self, order: Order, now: datetime) -> Intent:
        return Intent(order, self._floor.legs(order), matching.sides(order, self._floor.quotes([order], now)))
