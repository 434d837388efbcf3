"""What goes wrong with orders at IB, as faults have it: desk and floor ask here where it bites."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from v6cli.simulator.faults import Faults, Parameter
from v6cli.simulator.faults.fault import concerns, number, word
from v6cli.simulator.orders import Order

#: Faults that take hold of an order when it is placed.
_OF_NEW_ORDERS = ("held-for-locate", "stuck-submitting", "lose-acknowledgements", "fills-first")


class Rejection(Struct, frozen=True):
    """IB's code and words for it; ``status_first`` is whether the status comes before them."""

    code: int
    text: str
    status_first: bool = True


class Mishaps:
    """The faults of orders, asked by permanent id: what one has taken hold of it keeps until it is healed."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    # Of a new order.

    def befall(self, order: Order) -> None:
        """Let what befalls orders when they are placed take hold of this one."""
        for name in _OF_NEW_ORDERS:
            self._faults.seizes(name, order.perm_id, _whose(order))

    def rejection(self, order: Order) -> Rejection | None:
        """Why it is rejected, if it is."""
        held = self._faults.strikes("reject-orders", _whose(order))
        if held is None:
            return None
        return Rejection(int(number(held, "code")), word(held["text"]), held["first"] == "status")

    def warning(self, order: Order) -> tuple[int, str] | None:
        """A message about it, code and text, that is not its end."""
        held = self._faults.strikes("warn-orders", _whose(order))
        return (int(number(held, "code")), word(held["text"])) if held is not None else None

    def is_stuck(self, order: Order, moment: datetime) -> bool:
        """Whether it does not get beyond being submitted."""
        return order.status == "PendingSubmit" and self._faults.grips("stuck-submitting", order.perm_id, moment) is not None

    def held_status(self, order: Order, moment: datetime) -> str | None:
        """The status in which it is held while securities are located; None when it is not."""
        held = self._faults.grips("held-for-locate", order.perm_id, moment)
        return str(held["status"]) if held is not None else None

    # Of one that works.

    def rests(self, order: Order, moment: datetime) -> bool:
        """Whether it does not fill, though the market would have it."""
        if self._faults.grips("partial-then-drop", order.perm_id, moment) is not None:
            return True
        stuck = self._faults.grips("stuck-cancelling", order.perm_id, moment)
        if order.status == "PendingCancel" and stuck is not None and word(stuck["fills"]) == "false":
            return True
        return bool(order.legs) and self._rests_as_a_combo(order, moment)

    def breaks_off(self, order: Order, moment: datetime) -> bool:
        """Whether it fills by half now, and its client loses the connection over it."""
        if order.remaining < 2:
            return False
        held = self._faults.strikes("partial-then-drop", _whose(order))
        if held is None:
            return False
        self._faults.hold("partial-then-drop", order.perm_id, held, moment + timedelta(seconds=number(held, "rest")))
        return True

    def _rests_as_a_combo(self, order: Order, moment: datetime) -> bool:
        if self._faults.grips("combos-rest", order.perm_id, moment) is not None:
            return True
        return self._faults.seizes("combos-rest", order.perm_id, _whose(order)) is not None

    # Of a cancel.

    def crosses(self, order: Order, price_when_met: Callable[[], float | None]) -> float | None:
        """The price at which the order fills before the cancel takes effect; None when the cancel is in time."""
        if not self._faults.each("cancels-cross-fills"):
            return None
        price = price_when_met()
        if price is None or self._faults.strikes("cancels-cross-fills", _whose(order)) is None:
            return None
        return price

    def delay_cancel(self, order: Order, next_open: datetime | None) -> None:
        """Let what holds cancels up take hold of this order's."""
        if self._faults.seizes("stuck-cancelling", order.perm_id, _whose(order)) is None:
            self._faults.seizes("cancels-unanswered", order.perm_id, _whose(order), until=next_open)

    def holds_cancel(self, order: Order, moment: datetime) -> bool:
        """Whether the cancel that was asked for does not take effect yet."""
        return any(self._faults.grips(name, order.perm_id, moment) is not None for name in ("stuck-cancelling", "cancels-unanswered"))


def _whose(order: Order) -> Callable[[dict[str, Parameter]], bool]:
    return lambda parameters: concerns(parameters, order.contract, order.order_ref)
