"""Who hears what happens to an order: the client that placed it, and the master client, who hears of everyone's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator.answers import account
from v6cli.simulator.answers.account import contract_fields
from v6cli.simulator.answers.distort import Distortion, Message
from v6cli.simulator.answers.order_messages import commission, execution, open_order, order_status
from v6cli.simulator.orders import Execution, Order

if TYPE_CHECKING:
    from v6cli.simulator.server import Gateway


class Announcer:
    """Tells clients what the floor and the desk report. Changed positions are gathered until ``flush``.

    ``distortion`` is what faults make of it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._changed: list[tuple[Contract, int]] = []
        self.distortion = Distortion(gateway.faults)

    def order(self, order: Order) -> None:
        """The order as it stands, then its status."""
        self._gateway.changed()
        self._tell(order, self.distortion.of(order, [open_order(order), order_status(order)]))

    def message(self, order: Order, code: int, text: str) -> None:
        """One of IB's messages, to the client that placed the order."""
        owner = self._gateway.clients.get(order.client_id)
        if owner is not None and order.order_id:
            owner.error(order.order_id, code, text)

    def fills(self, order: Order, executions: list[Execution]) -> None:
        """The executions, then the status, then what they cost. Clients know the order by now: its openOrder came first."""
        made = [execution(-1, fill, contract_fields(fill.contract, "SMART")) for fill in executions]
        costs = [commission(fill) for fill in executions if not fill.is_summary]
        self.distortion.price(order, executions, clock.now())
        self._tell(order, self.distortion.of(order, [*made, open_order(order), order_status(order), *costs]))

    def positions(self, contracts: Iterable[Contract]) -> None:
        """Remember whose positions have changed."""
        found = list(contracts)
        if found:
            self._changed += [(contract, self._gateway.statement.latest) for contract in found]
            self._gateway.changed()

    def cut_off(self, order: Order) -> None:
        """End the connection of the client that placed the order, with what has not left yet."""
        owner = self._gateway.clients.get(order.client_id)
        if owner is not None:
            owner.drop("it is cut off amid a fill")

    def flush(self) -> None:
        """Tell what faults have held back, and subscribers of positions and of the account what has changed since the last time.

        Nothing of that is known here while IB cannot be reached.
        """
        if self._gateway.uplink.lost:
            return
        for order, messages in self.distortion.held_back(clock.now()):
            self._tell(order, messages)
        if not self._changed:
            return
        now, statement = clock.now(), self._gateway.statement
        changed = list(dict.fromkeys(contract for contract, change in self._changed if statement.shows(change, now)))
        if not changed:
            return
        self._changed = [(contract, change) for contract, change in self._changed if not statement.shows(change, now)]
        for connection in self._gateway.clients.values():
            account.push_changes(connection, changed, now)

    def _tell(self, order: Order, messages: Iterable[Message]) -> None:
        clients = self._gateway.clients
        names = dict.fromkeys((order.client_id, self._gateway.scenario.master_client))
        for connection in [clients[name] for name in names if name in clients]:
            for message in messages:
                connection.send(*message)
