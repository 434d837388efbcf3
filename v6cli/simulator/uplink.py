"""The way from the gateway to IB: what is asked passes at once, or waits while the link is lost.

What happens at IB meanwhile (fills, expiries) the gateway learns when the link is back; only then does it carry out what waited,
in the order in which it was asked. An order that has not left yet is the gateway's own: it is changed and cancelled at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from v6cli.simulator.checks import Refused
from v6cli.simulator.desk import Desk
from v6cli.simulator.faults import Faults
from v6cli.simulator.ticket import Ticket

Act = Callable[[datetime], None]
Refusal = Callable[[int, int, Refused], None]


class Uplink:
    """Stands before the desk. ``refused`` is told client id, order id and what IB says of an act that waited and is refused."""

    def __init__(self, desk: Desk, faults: Faults, refused: Refusal) -> None:
        self._desk = desk
        self._faults = faults
        self._refused = refused
        self._waiting: list[Act] = []

    @property
    def lost(self) -> bool:
        """Whether IB cannot be reached."""
        return bool(self._faults.each("link-lost"))

    def ask(self, act: Act, now: datetime) -> None:
        """Do what needs IB, now or once it is back."""
        if self.lost:
            self._waiting.append(act)
        else:
            act(now)

    def place(self, ticket: Ticket, now: datetime) -> None:
        """As the desk's. A new order waits in PendingSubmit; a change waits, or becomes an order of its own. Raises Refused."""
        client_id, order_id = ticket.client_id, ticket.order_id
        old = self._desk.book.working(client_id, order_id)
        if not self.lost:
            self._desk.place(ticket, now)
        elif old is None or not old.transmit:
            self._desk.place(replace(ticket, transmit=False), now)
            if ticket.transmit:
                self._waiting.append(lambda then: self._desk.transmit(client_id, order_id, then))
        else:
            doubled = any(held["modifications"] == "doubled" for held in self._faults.each("link-lost"))
            place = self._desk.take if doubled else self._desk.place
            self._waiting.append(lambda then: self._try(lambda: place(ticket, then), client_id, order_id))

    def cancel(self, client_id: int, order_id: int, now: datetime) -> None:
        """As the desk's; the cancel of an order that IB has waits. Raises Refused."""
        order = self._desk.book.working(client_id, order_id)
        if self.lost and order is not None and order.transmit:
            self._waiting.append(lambda then: self._try(lambda: self._desk.cancel(client_id, order_id, then), client_id, order_id))
        else:
            self._desk.cancel(client_id, order_id, now)

    def cancel_everything(self, now: datetime) -> None:
        """As the desk's; of the orders that are there now, those that IB has are cancelled once it is back."""
        there = self._desk.book.alive
        if self.lost:
            sent = [order for order in there if order.transmit]
            self._desk.cancel_everything(now, [order for order in there if not order.transmit])
            self._waiting.append(lambda then: self._desk.cancel_everything(then, sent))
        else:
            self._desk.cancel_everything(now)

    def carry_out(self, now: datetime) -> None:
        """Do what has waited."""
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act(now)

    def _try(self, act: Callable[[], None], client_id: int, order_id: int) -> None:
        try:
            act()
        except Refused as refusal:
            self._refused(client_id, order_id, refusal)
