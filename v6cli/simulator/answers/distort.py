"""What faults make of the messages about an order before anybody hears them. Without a fault they pass as they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from v6cli.simulator.answers.order_messages import COMMISSION, EXECUTION, OPEN_ORDER, ORDER_STATUS, commission
from v6cli.simulator.faults import Faults, Parameter, names
from v6cli.simulator.faults.fault import concerns, number
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.wire import UNSET, Value

Message = list[Value]

_NEVER = datetime.max.replace(tzinfo=UTC)


class _Cost(Struct, frozen=True):
    """A commission that a fault has changed: of which order, told from when on, and as which message."""

    order: Order
    due: datetime
    message: Message


class Distortion:
    """Drops, doubles, reorders and holds back messages. They are known by their number, the first field."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._costs: dict[str, _Cost] = {}
        self._untold: list[_Cost] = []
        self._unheard: list[int] = []
        self._early: dict[int, tuple[Order, list[Message]]] = {}

    def of(self, order: Order, messages: list[Message]) -> list[Message]:
        """What is heard of these messages about ``order`` now."""
        messages = self._costs_known(messages)
        lost = self._faults.grips("lose-acknowledgements", order.perm_id)
        if lost is not None:
            self._unheard.append(order.perm_id)
            messages = [message for message in messages if message[0] not in {OPEN_ORDER, ORDER_STATUS}]
        messages = self._executions_first(order, messages)
        heard: list[Message] = []
        for message in messages:
            heard += [message] * self._times(order, message)
        return heard

    def _executions_first(self, order: Order, messages: list[Message]) -> list[Message]:
        if self._faults.grips("fills-first", order.perm_id) is None:
            return messages
        _, waiting = self._early.setdefault(order.perm_id, (order, []))
        if not any(message[0] == EXECUTION for message in messages):
            waiting += messages
            return []
        self._faults.let_go("fills-first", order.perm_id)
        del self._early[order.perm_id]
        executions = [message for message in messages if message[0] == EXECUTION]
        return [*executions, *waiting, *(message for message in messages if message[0] != EXECUTION)]

    def _times(self, order: Order, message: Message) -> int:
        """How often a message is heard."""
        if message[0] == ORDER_STATUS:
            if self._faults.strikes("statuses-missing", lambda held: _is_of(held, order) and _names_status(held, order)) is not None:
                return 0
            return 2 if self._faults.strikes("statuses-repeated", lambda held: _is_of(held, order)) is not None else 1
        if message[0] == EXECUTION and self._faults.strikes("duplicate-executions", lambda held: _is_of(held, order)) is not None:
            return 2
        return 1

    # What fills cost.

    def price(self, order: Order, executions: Iterable[Execution], now: datetime) -> None:
        """Note which of these new executions' commissions come late, or are never known."""
        for fill in executions:
            if fill.is_summary:
                continue
            cost = self._changed_cost(order, fill, now)
            if cost is not None:
                self._costs[fill.exec_id] = cost
                if cost.due < _NEVER:
                    self._untold.append(cost)

    def _changed_cost(self, order: Order, fill: Execution, now: datetime) -> _Cost | None:
        unset = self._faults.strikes("unset-commissions", lambda held: _is_of(held, order))
        if unset is not None:
            due = _NEVER if unset["report"] == "none" else now
            return _Cost(order, due, [COMMISSION, 1, fill.exec_id, UNSET, fill.contract.currency, UNSET, UNSET, ""])
        late = self._faults.strikes("late-commissions", lambda held: _is_of(held, order))
        return _Cost(order, now + timedelta(seconds=number(late, "by")), commission(fill)) if late is not None else None

    def cost_of(self, fill: Execution, now: datetime) -> Message | None:
        """The commission report of an execution as far as it is known; None while it is not, and for a combo's own line."""
        if fill.is_summary:
            return None
        changed = self._costs.get(fill.exec_id)
        if changed is None:
            return commission(fill)
        return changed.message if changed.due <= now else None

    def _costs_known(self, messages: Iterable[Message]) -> list[Message]:
        """The messages without commissions that a fault has changed: those are told when they are due."""
        return [message for message in messages if message[0] != COMMISSION or message[2] not in self._costs]

    # What was held back.

    def held_back(self, now: datetime) -> list[tuple[Order, list[Message]]]:
        """What is due to be told now, at the end of a turn."""
        for perm_id in self._unheard:
            held = self._faults.grips("lose-acknowledgements", perm_id)
            if held is not None and held["until"] == "change":
                self._faults.let_go("lose-acknowledgements", perm_id)
        self._unheard.clear()
        told = list(self._early.values())
        for perm_id in self._early:
            self._faults.let_go("fills-first", perm_id)
        self._early.clear()
        told += [(cost.order, [cost.message]) for cost in self._untold if cost.due <= now]
        self._untold = [cost for cost in self._untold if cost.due > now]
        return told


def _is_of(held: dict[str, Parameter], order: Order) -> bool:
    return concerns(held, order.contract, order.order_ref)


def _names_status(held: dict[str, Parameter], order: Order) -> bool:
    wanted = names(held.get("status"))
    return not wanted or order.status in wanted
