"""The trading floor: wakes orders, fills them against the quotes and ends them, moment by moment.

Home time is cut into steps of a second (of ``rate`` seconds in an accelerated home). Whatever is asked of the floor, it first
does the steps that have passed; so what fills depends on when clients said what, and not on when the gateway got round to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator import matching
from v6cli.simulator.account import Account
from v6cli.simulator.book import Book
from v6cli.simulator.chains import Chains
from v6cli.simulator.expiry import settle
from v6cli.simulator.filling import fill
from v6cli.simulator.market import Market
from v6cli.simulator.mishaps import Mishaps
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.quotes import Prices, Quoter
from v6cli.simulator.sessions import Span, day_of

#: Steps that are made up for, at most, after the gateway stood still.
MOST_STEPS = 300


class Listener(Protocol):
    """Who is told what happens to orders; the floor knows no connections."""

    def order(self, order: Order) -> None:
        """An order was taken, changed, or changed its status."""

    def message(self, order: Order, code: int, text: str) -> None:
        """IB has something to say about an order."""

    def fills(self, order: Order, executions: list[Execution]) -> None:
        """An order filled, in part or in full."""

    def positions(self, contracts: Iterable[Contract]) -> None:
        """Positions have changed."""

    def cut_off(self, order: Order) -> None:
        """The client that placed the order loses its connection."""


class Floor:
    """Works the orders of a book. ``reached`` is the last moment up to which it has done so."""

    def __init__(
        self,
        book: Book,
        account: Account,
        market: Market,
        chains: Chains,
        quoter: Quoter,
        tell: Listener,
        mishaps: Mishaps,
        reached: datetime,
    ) -> None:
        self.book = book
        self.reached = reached
        self._seed = market.seed
        self._account = account
        self._market = market
        self._exchange = market.exchange
        self._chains = chains
        self._quoter = quoter
        self._tell = tell
        self._mishaps = mishaps

    # Time.

    def advance(self, now: datetime) -> None:
        """Do the steps that have passed since the last one; after a long pause, fewer and longer ones."""
        since, self.reached = self.reached, now
        step = max(1.0, clock.rate())
        first, last = math.floor(since.timestamp() / step) + 1, math.floor(now.timestamp() / step)
        if first > last:
            return
        stride = -(-(last - first + 1) // MOST_STEPS)
        for number in reversed(range(last, first - 1, -stride)):
            if not self.book.alive:
                break
            self.work(self.book.alive, datetime.fromtimestamp(number * step, UTC))
        self._tell.positions(settle(self._account, self._market, since, now))
        if day_of(since) != day_of(now):
            self.book.forget_before(day_of(now))
            self._account.forget_before(day_of(now))

    def work(self, orders: Iterable[Order], moment: datetime) -> None:
        """Let these orders end, wake, trigger and fill as the clock and the market at ``moment`` have it."""
        due = [order for order in orders if order.alive and not self.ends_by_the_clock(order, moment) and self.wake(order, moment)]
        quotes = self.quotes(due, moment)
        for order in due:
            # An earlier order's fill may have ended this one.
            if order.alive:
                self._match(order, quotes, moment)
            if order.alive and order.tif == "IOC":
                self.end(order, "Cancelled", moment, "Cancelled by System")

    def ends_by_the_clock(self, order: Order, moment: datetime) -> bool:
        """End an order whose cancel is due or whose time in force is over; whether it has ended."""
        if self._mishaps.holds_cancel(order, moment):
            return False
        if order.cancel_due is not None and order.cancel_due <= moment:
            self.end(order, "Cancelled", moment, "Cancelled by Trader")
        elif order.expires is not None and order.expires <= moment:
            self.end(order, "Cancelled", moment, "Cancelled by System")
        return not order.alive

    # Contracts and hours.

    def legs(self, order: Order) -> list[tuple[Contract, float]]:
        """What an order is about, with signed ratios when it is bought: its contract, or a combo's legs."""
        if not order.legs:
            return [(order.contract, 1.0)]
        found = [(self._chains.by_id(leg.con_id), float(leg.signed_ratio)) for leg in order.legs]
        return [(contract, ratio) for contract, ratio in found if contract is not None]

    def session(self, order: Order, moment: datetime) -> Span | None:
        """The hours that ``order`` works in, now or next; None when its contract trades no more. Combos ignore outsideRth."""
        if not order.legs:
            return self._exchange.session_at(order.contract, moment, liquid=not order.outside_rth)
        spans = [self._exchange.session_at(contract, moment, liquid=True) for contract, _ in self.legs(order)]
        known = [span for span in spans if span is not None]
        if len(known) < len(spans):
            return None
        return max(start for start, _ in known), min(end for _, end in known)

    def next_open(self, order: Order, moment: datetime) -> datetime | None:
        """When the next session of ``order`` begins; None when there is none any more."""
        session = self.session(order, moment)
        if session is not None and session[0] <= moment:
            session = self.session(order, session[1])
        return session[0] if session is not None else None

    def last_moment(self, order: Order) -> datetime | None:
        """When the contract of ``order``, or the first of its legs, trades for the last time; None when it does not expire."""
        moments = [self._exchange.last_moment(contract) for contract, _ in self.legs(order)]
        return min((moment for moment in moments if moment is not None), default=None)

    def quotes(self, orders: Iterable[Order], moment: datetime) -> dict[int, Prices]:
        """The quotes that these orders are matched against, by contract id."""
        wanted = {contract.con_id: contract for order in orders for contract, _ in self.legs(order)}
        return dict(zip(wanted, self._quoter.prices(list(wanted.values()), moment), strict=True))

    # An order's life.

    def wake(self, order: Order, moment: datetime) -> bool:
        """Bring the order's status up to date, and say whether it may fill now."""
        if (order.status == "Inactive" and not order.why_held) or not order.transmit or self._mishaps.is_stuck(order, moment):
            return False
        status, why = self._condition(order, moment)
        if order.status != "PendingCancel" and (order.status, order.why_held) != (status, why):
            order.status, order.why_held = status, why
            self._tell.order(order)
        return status == "Submitted" or why == "trigger"

    def _condition(self, order: Order, moment: datetime) -> tuple[str, str]:
        held_status = self._mishaps.held_status(order, moment)
        if held_status is not None:
            return held_status, "locate"
        waits_for_trigger = order.stop is not None and not order.triggered
        held = ["child"] if self.book.parent_of(order) is not None else []
        session = self.session(order, moment)
        if held or session is None or session[0] > moment:
            return "PreSubmitted", ",".join(held + (["trigger"] if waits_for_trigger and held else []))
        return ("PreSubmitted", "trigger") if waits_for_trigger else ("Submitted", "")

    def _match(self, order: Order, quotes: dict[int, Prices], moment: datetime) -> None:
        market = matching.sides(order, quotes)
        if order.stop is not None and not order.triggered:
            if not matching.triggers(order, market):
                return
            order.triggered = True
            self.wake(order, moment)
        price = matching.price(order, market, self._seed, moment)
        if price is None or self._mishaps.rests(order, moment):
            return
        if self._mishaps.breaks_off(order, moment):
            self.fill(order, order.remaining // 2, price, quotes, moment)
            self._tell.cut_off(order)
        else:
            self.fill(order, matching.amount(order, market, self._seed, moment), price, quotes, moment)

    def price_when_met(self, order: Order, moment: datetime) -> float | None:
        """The price of a working order, should the market come to it now; None where it cannot."""
        return matching.met(order, self.quotes([order], moment)) if order.status == "Submitted" else None

    def fill_when_met(self, order: Order, price: float, moment: datetime) -> None:
        """Fill all that is left of an order to which the market has come."""
        self.fill(order, order.remaining, price, self.quotes([order], moment), moment)

    def fill(self, order: Order, quantity: float, price: float, quotes: dict[int, Prices], moment: datetime) -> None:
        """Fill an order: the one place where it happens. Then what hangs on it follows."""
        legs = self.legs(order)
        prices = matching.leg_prices(order, price, quotes) if order.legs else []
        made = fill(self._account, self.book, order, quantity, price, [(*leg, at) for leg, at in zip(legs, prices, strict=False)], moment)
        if order.remaining <= 0:
            order.status = "Filled"
            order.ended_by = f"Filled Size: {order.filled:g}"
            self.book.end(order, moment)
        self._tell.fills(order, made)
        self._tell.positions([contract for contract, _ in legs])
        self._settle_rivals(order, quantity, moment)
        if not order.alive:
            self.work(self.book.children_of(order), moment)

    def end(self, order: Order, status: str, moment: datetime, ended_by: str, reason: str = "") -> None:
        """End an order that is not filled. Its children end with it, but for what has filled of it: they work for that."""
        children = self.book.children_of(order)
        order.status, order.ended_by, order.why_held = status, ended_by, ""
        self.book.end(order, moment)
        self._tell.order(order)
        if status == "Cancelled":
            self._tell.message(order, 202, f"Order Canceled - reason:{reason}")
        if order.filled:
            self._release(children, order.filled, moment)
            return
        for child in children:
            if child.alive:
                self.end(child, "Cancelled", moment, "Cancelled by System", "Parent order is being cancelled.")

    def _release(self, children: Iterable[Order], most: float, moment: datetime) -> None:
        """Let the children of an order that ended when ``most`` of it was filled work for that much."""
        for child in children:
            if child.quantity > most:
                child.quantity = most
                self._tell.order(child)
        self.work(children, moment)

    def _settle_rivals(self, order: Order, quantity: float, moment: datetime) -> None:
        """A fill reduces the orders it competes with by as much, or cancels them: all of them at once for OCA type 1."""
        for rival in self.book.rivals_of(order):
            if not rival.alive:
                continue  # it went with another of them, its parent
            left = 0.0 if not order.alive or order.oca_type == 1 else rival.remaining - quantity
            if left <= 0:
                self.end(rival, "Cancelled", moment, "Cancelled by System", "OCA group was filled")
            else:
                rival.quantity = rival.filled + left
                self._tell.order(rival)
