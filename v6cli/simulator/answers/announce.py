"""Who hears what happens to an order: the client that placed it, and the master client, who hears of everyone's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.models import Contract
from v6cli.simulator.answers import account
from v6cli.simulator.answers.account import contract_fields
from v6cli.simulator.answers.order_messages import commission, execution, open_order, order_status
from v6cli.simulator.orders import Execution, Order

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway


class Announcer:
    """Tells clients what the floor and the desk report. Changed positions are gathered until ``flush``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._changed: dict[int, Contract] = {}

    def order(self, order: Order) -> None:
        """The order as it stands, then its status."""
        self._gateway.changed()
        for connection in self._concerned(order):
            connection.send(*open_order(order))
            connection.send(*order_status(order))

    def message(self, order: Order, code: int, text: str) -> None:
        """One of IB's messages, to the client that placed the order."""
        owner = self._gateway.clients.get(order.client_id)
        if owner is not None and order.order_id:
            owner.error(order.order_id, code, text)

    def fills(self, order: Order, executions: list[Execution]) -> None:
        """The executions, then the status, then what they cost. Clients know the order by now: its openOrder came first."""
        for connection in self._concerned(order):
            for made in executions:
                connection.send(*execution(-1, made, contract_fields(made.contract, "SMART")))
            connection.send(*open_order(order))
            connection.send(*order_status(order))
            for made in executions:
                if not made.is_summary:
                    connection.send(*commission(made))

    def positions(self, contracts: Iterable[Contract]) -> None:
        """Remember whose positions have changed."""
        found = {contract.con_id: contract for contract in contracts}
        if found:
            self._changed |= found
            self._gateway.changed()

    def flush(self) -> None:
        """Tell subscribers of positions and of the account what has changed since the last time."""
        changed, self._changed = list(self._changed.values()), {}
        if not changed:
            return
        now = clock.now()
        for connection in self._gateway.clients.values():
            account.push_changes(connection, changed, now)

    def _concerned(self, order: Order) -> list[Connection]:
        clients = self._gateway.clients
        names = dict.fromkeys((order.client_id, self._gateway.scenario.master_client))
        return [clients[name] for name in names if name in clients]
