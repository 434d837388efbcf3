"""The order desk: what a client asks of its orders, and whether IB lets it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from v6cli import clock
from v6cli.simulator.account import Account
from v6cli.simulator.admission import Admission
from v6cli.simulator.checks import Refused, check_change, check_ticket
from v6cli.simulator.floor import Floor, Listener
from v6cli.simulator.funds import Effect
from v6cli.simulator.mishaps import Mishaps, Rejection
from v6cli.simulator.orders import Order
from v6cli.simulator.sessions import ZONE_NAME, day_of
from v6cli.simulator.ticket import Ticket


class Desk:
    """Takes, changes and cancels orders. ``cancel_seconds`` of home time pass between the wish to cancel and the end."""

    def __init__(self, account: Account, floor: Floor, tell: Listener, mishaps: Mishaps, cancel_seconds: float = 0.0) -> None:
        self.book = floor.book
        self._account = account
        self._floor = floor
        self._admission = Admission(account, floor)
        self._tell = tell
        self._mishaps = mishaps
        self._cancel_seconds = cancel_seconds

    # Placing.

    def what_if(self, ticket: Ticket, now: datetime) -> tuple[Order, Effect]:
        """What an order would do to margin and equity; nothing is sent. Raises Refused."""
        order = self._draft(ticket, now)
        check_ticket(order, self._account, self._floor, now)
        return order, self._admission.effect(order, now)

    def place(self, ticket: Ticket, now: datetime) -> None:
        """Take a new order, or change the one that has its id. Raises Refused when there is to be neither."""
        old = self.book.working(ticket.client_id, ticket.order_id)
        if old is not None:
            self._modify(old, ticket, now)
            return
        done = self.book.done(ticket.client_id, ticket.order_id)
        if done is not None and done.status == "Filled":
            raise Refused(104, "Cannot modify a filled order.")
        if ticket.order_id <= 0 or self.book.is_used(ticket.client_id, ticket.order_id):
            raise Refused(103, "Duplicate order id")
        self.take(ticket, now)

    def take(self, ticket: Ticket, now: datetime) -> None:
        """Take a new order, whatever else may have its id. Raises Refused."""
        self._take(self._draft(ticket, now), now)

    def place_by_hand(self, ticket: Ticket, now: datetime, *, bound: bool) -> None:
        """Take an order that somebody enters in TWS: it has an id only if client 0 binds it. Raises Refused."""
        order = self._draft(ticket, now)
        order.order_id = self.book.next_id_by_hand() if bound else 0
        self._take(order, now)

    def _take(self, order: Order, now: datetime) -> None:
        capped = self._admission.check(order, now)
        order.perm_id = self.book.numbers.next_perm_id(day_of(now))
        # It does not work before it is sent, even if its parent, which is sent first, fills at once.
        wanted, order.transmit = order.transmit, False
        self.book.add(order)
        self._mishaps.befall(order)
        if capped is not None:
            self._floor.end(order, "Cancelled", now, "Cancelled by System", capped)
        elif wanted:
            self._transmit_family(order, now)
        else:
            order.status = "PendingSubmit"
            self._tell.order(order)

    def transmit(self, client_id: int, order_id: int, now: datetime) -> None:
        """Send an order that was taken and not sent yet, with its family, unless it has come to its end."""
        order = self.book.working(client_id, order_id)
        if order is not None and not order.transmit and order.status != "PendingCancel":
            self._transmit_family(order, now)

    def _draft(self, ticket: Ticket, now: datetime) -> Order:
        order = Order(
            ticket.order_id,
            ticket.client_id,
            0,
            ticket.account or self._account.id,
            ticket.contract,
            ticket.action,
            ticket.quantity,
            ticket.type,
            ticket.limit if ticket.type in {"LMT", "STP LMT"} else None,
            ticket.stop if ticket.type in {"STP", "STP LMT"} else None,
            ticket.tif or "DAY",
            ticket.order_ref,
            "PendingSubmit",
            parent_id=ticket.parent_id,
            oca_group=ticket.oca_group,
            oca_type=ticket.oca_type or 3,
            outside_rth=ticket.outside_rth,
            legs=ticket.legs,
            transmit=ticket.transmit,
        )
        order.expires = self._expiry(order, now)
        return order

    def _expiry(self, order: Order, now: datetime) -> datetime | None:
        """When the order's time in force ends: a DAY order's with its session, any other's with its contract's last one."""
        session = self._floor.session(order, now)
        if session is None or order.tif == "DAY":
            return session[1] if session else now
        return self._floor.last_moment(order)

    def _transmit_family(self, order: Order, now: datetime) -> None:
        """Send an order; sending a child sends its parent and the other children first, as they were placed."""
        parent = self.book.parent_of(order) or order
        for member in [parent, *self.book.children_of(parent)]:
            if member is order or not member.transmit:
                member.transmit = True
                self._send(member, now)

    def _send(self, order: Order, now: datetime) -> None:
        if not order.alive:
            return
        reason = self._admission.rejection(order, now)
        rejection = Rejection(201, reason) if reason is not None else self._mishaps.rejection(order)
        if rejection is not None:
            self._reject(order, now, rejection)
            return
        if self._mishaps.is_stuck(order, now):
            self._tell.order(order)
            return
        self._floor.wake(order, now)
        self._warn(order, now)
        self._floor.work([order], now)
        if order.tif == "IOC" and order.alive and self.book.parent_of(order) is None:
            self._floor.end(order, "Cancelled", now, "Cancelled by System")

    def _reject(self, order: Order, now: datetime, rejection: Rejection) -> None:
        if not rejection.status_first:
            self._tell.message(order, rejection.code, rejection.text)
        self._floor.end(order, "Inactive", now, f"Rejected by System: {rejection.text}")
        if rejection.status_first:
            self._tell.message(order, rejection.code, rejection.text)

    def _warn(self, order: Order, now: datetime) -> None:
        session = self._floor.session(order, now)
        if session is not None and session[0] > now:
            opens = f"{session[0].astimezone(clock.eastern()):%Y-%m-%d %H:%M:%S} {ZONE_NAME}"
            said = f"{order.action} {order.quantity:g} {order.contract}"
            text = f"Order Message:\n{said}\nWarning: your order will not be placed at the exchange until {opens}"
            self._tell.message(order, 399, text)
            self._tell.order(order)  # libraries take some warnings for a status
        if order.outside_rth and order.legs:
            self._tell.message(
                order,
                2109,
                "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and destination. "
                "PlaceOrder is now being processed.",
            )
            self._tell.order(order)
        if self._mishaps.held_status(order, now) is not None:
            self._tell.message(order, 404, "Order held while securities are located.")
            self._tell.order(order)
        mishap = self._mishaps.warning(order)
        if mishap is not None:
            self._tell.message(order, *mishap)

    # Changing.

    def _modify(self, order: Order, ticket: Ticket, now: datetime) -> None:
        changed = self._draft(ticket, now)
        try:
            self._check_modification(order, changed, now)
        except Refused as refusal:
            # The original stands: that is said after the refusal, which a client may take for its end.
            self._tell.message(order, refusal.code, refusal.text)
            self._tell.order(order)
            return
        order.quantity, order.limit, order.stop, order.type = changed.quantity, changed.limit, changed.stop, changed.type
        order.tif, order.expires, order.outside_rth, order.order_ref = changed.tif, changed.expires, changed.outside_rth, changed.order_ref
        self._tell.order(order)
        if order.remaining <= 0:
            self._floor.end(order, "Cancelled", now, "Cancelled by Trader")
        elif ticket.transmit and not order.transmit:
            self._transmit_family(order, now)
        elif order.transmit:
            self._floor.work([order], now)

    def _check_modification(self, order: Order, changed: Order, now: datetime) -> None:
        check_change(order, changed)
        changed.filled = order.filled
        changed.perm_id = order.perm_id
        check_ticket(changed, self._account, self._floor, now)
        short = self._admission.reserve(order, changed, now)
        if short is not None:
            raise Refused(201, short)

    # Cancelling.

    def cancel(self, client_id: int, order_id: int, now: datetime) -> None:
        """Cancel this client's own order. Raises Refused when it has none of this id, or it is over."""
        order = self.book.working(client_id, order_id)
        if order is not None:
            self._cancel([order], now)
            return
        done = self.book.done(client_id, order_id)
        if done is None:
            raise Refused(10147, f"OrderId {order_id} that needs to be cancelled is not found.")
        raise _too_late(done)

    def cancel_everything(self, now: datetime, among: Iterable[Order] | None = None) -> None:
        """Cancel every order of the account, all clients' and those entered by hand; ``among`` leaves out what is not there."""
        self._cancel(self.book.alive if among is None else list(among), now)

    def _cancel(self, orders: list[Order], now: datetime) -> None:
        # All are on their way out before the first ends: none is to work because the one that it waits for is gone.
        for order in orders:
            if order.alive and order.status != "PendingCancel":
                self._begin_cancel(order, now)
        for order in orders:
            if order.alive:
                self._floor.ends_by_the_clock(order, now)

    def _begin_cancel(self, order: Order, now: datetime) -> None:
        price = self._mishaps.crosses(order, lambda: self._floor.price_when_met(order, now))
        if price is not None:
            self._floor.fill_when_met(order, price, now)
            late = _too_late(order)
            self._tell.message(order, late.code, late.text)
            return
        self._mishaps.delay_cancel(order, self._floor.next_open(order, now))
        order.cancel_due = now + timedelta(seconds=self._cancel_seconds)
        order.status = "PendingCancel"
        self._tell.order(order)

    def bind_by_hand(self) -> None:
        """Give orders by hand ids that client 0 can name them by."""
        for order in self.book.bind_by_hand():
            self._tell.order(order)


def _too_late(order: Order) -> Refused:
    return Refused(10148, f"OrderId {order.order_id} that needs to be cancelled cannot be cancelled, state: {order.status}.")
