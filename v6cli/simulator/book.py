"""The order book: every order alive and those that ended, by permanent id and by the name their client gave them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from msgspec import Struct

from v6cli.simulator.orders import Order
from v6cli.simulator.sessions import day_of

_FIRST_NUMBER = 2_000_000_000
_PER_DAY = 10_000
_DAYS = 14_000


class Numbers(Struct):
    """The permanent ids and execution numbers that are given next: they only grow, and begin each day in a range of its own."""

    perm_id: int = 0
    execution: int = 0

    def next_perm_id(self, today: date) -> int:
        """A permanent id that no order had before."""
        self.perm_id = max(self.perm_id + 1, _start_of(today))
        return self.perm_id

    def next_execution(self, today: date) -> int:
        """A number for an execution id that no fill had before."""
        self.execution = max(self.execution + 1, _start_of(today))
        return self.execution


def _start_of(today: date) -> int:
    return _FIRST_NUMBER + today.toordinal() % _DAYS * _PER_DAY


class Book:
    """Orders in the order in which they came. ``highest_ids`` are the largest order id of each client so far."""

    def __init__(
        self, alive: Iterable[Order], ended: Iterable[Order] = (), highest_ids: dict[int, int] | None = None, numbers: Numbers | None = None
    ) -> None:
        self._alive: dict[int, Order] = {}
        self._called: dict[tuple[int, int], dict[int, Order]] = {}  # alive, by what their client calls them: two can share a name
        self._ended: dict[int, Order] = {order.perm_id: order for order in ended}
        self._named: dict[tuple[int, int], Order] = {order.key: order for order in self._ended.values() if order.order_id}
        self.highest_ids = dict(highest_ids or {})
        self.numbers = numbers or Numbers()
        for order in alive:
            self.add(order)

    @property
    def alive(self) -> list[Order]:
        """Orders that can still fill, oldest first."""
        return list(self._alive.values())

    @property
    def ended(self) -> list[Order]:
        """Orders that came to their end, in that order, for as long as they are remembered."""
        return list(self._ended.values())

    def ended_on(self, day: date) -> list[Order]:
        """Orders that came to their end on a day, New York's."""
        return [order for order in self._ended.values() if order.completed is not None and day_of(order.completed) == day]

    def working(self, client_id: int, order_id: int) -> Order | None:
        """The order alive that this client calls by this id."""
        return next(iter(self._called.get((client_id, order_id), {}).values()), None)

    def done(self, client_id: int, order_id: int) -> Order | None:
        """The order that this client called by this id and that has ended, as far as it is remembered."""
        return self._named.get((client_id, order_id))

    def is_used(self, client_id: int, order_id: int) -> bool:
        """Whether a new order of this client cannot have this id."""
        return order_id <= self.highest_ids.get(client_id, 0)

    def forget_ids(self, client_id: int) -> None:
        """Forget which ids a client has used, but for those of orders alive."""
        alive = (order.order_id for order in self._alive.values() if order.client_id == client_id)
        self.highest_ids[client_id] = max([0, *alive])  # those entered by hand lie below zero
        self._named = {key: order for key, order in self._named.items() if key[0] != client_id}

    def add(self, order: Order) -> None:
        """Take a new order in."""
        self._alive[order.perm_id] = order
        self._name(order)
        self.highest_ids[order.client_id] = max(self.highest_ids.get(order.client_id, 0), order.order_id)

    def end(self, order: Order, now: datetime) -> None:
        """Note that an order has come to its end."""
        order.completed = now
        self._alive.pop(order.perm_id, None)
        called = self._called.get(order.key, {})
        called.pop(order.perm_id, None)
        if not called:
            self._called.pop(order.key, None)
        self._ended[order.perm_id] = order
        if order.order_id:
            self._named[order.key] = order

    def forget_before(self, day: date) -> None:
        """Drop orders that ended before ``day``: IB answers for today's only."""
        for order in self.ended:
            if order.completed is not None and day_of(order.completed) < day:
                del self._ended[order.perm_id]
                if self._named.get(order.key) is order:
                    del self._named[order.key]

    def children_of(self, order: Order) -> list[Order]:
        """Orders alive that wait for this one to fill."""
        if order.order_id == 0:
            return []
        return [other for other in self._alive.values() if (other.client_id, other.parent_id) == order.key]

    def parent_of(self, order: Order) -> Order | None:
        """The order alive that this one waits for."""
        return self.working(order.client_id, order.parent_id) if order.parent_id else None

    def rivals_of(self, order: Order) -> list[Order]:
        """Orders alive that a fill of this one cancels or reduces: its group's, and the other children of its parent."""
        if not (order.oca_group or order.parent_id):
            return []
        return [
            other
            for other in self._alive.values()
            if other is not order
            and (
                (order.oca_group and other.oca_group == order.oca_group)
                or (order.parent_id and (other.client_id, other.parent_id) == (order.client_id, order.parent_id))
            )
        ]

    def is_filled(self, group: str) -> bool:
        """Whether an order of this group has filled, as far as it is remembered."""
        return bool(group) and any(order.oca_group == group and order.status == "Filled" for order in self._ended.values())

    def reserved_beside(self, order: Order) -> float:
        """The equity that working orders keep from this one: its parent and its rivals none, and of those of which one ends the others,
        only the one that keeps most."""
        parent = self.parent_of(order)
        related = {order.perm_id, parent.perm_id if parent is not None else 0, *(rival.perm_id for rival in self.rivals_of(order))}
        kept: dict[str | int | tuple[int, int], float] = {}
        for other in self._alive.values():
            if other.perm_id not in related:
                group = other.oca_group or ((other.client_id, other.parent_id) if other.parent_id else other.perm_id)
                kept[group] = max(kept.get(group, 0.0), other.reserved_each * other.remaining)
        return sum(kept.values())

    def bind_by_hand(self) -> list[Order]:
        """Give each order by hand that has none an id of its own, below zero; return those."""
        bound = [order for order in self._alive.values() if order.key == (0, 0)]
        for order in bound:
            order.order_id = self.next_id_by_hand()
            self._name(order)
        return bound

    def next_id_by_hand(self) -> int:
        """An id below zero that no order by hand has."""
        alive = (order.order_id for order in self._alive.values() if order.client_id == 0)
        return min([0, *alive, *(order_id for client, order_id in self._named if client == 0)]) - 1

    def _name(self, order: Order) -> None:
        """Let an order alive be found by its name; one entered by hand has none until it is bound."""
        if order.order_id:
            self._called.setdefault(order.key, {})[order.perm_id] = order
