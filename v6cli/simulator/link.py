"""The state of the links, as the faults have it: what connections may read, say and hope for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator import faults
from v6cli.simulator.answers import market_data
from v6cli.simulator.faults import Parameter

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway

_LOST = "Connectivity between IBKR and Trader Workstation has been lost."
_RESTORED = {
    1101: "Connectivity between IBKR and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IBKR and Trader Workstation has been restored - data maintained.",
}


class Link:
    """Asked by connections what they may do; told when faults begin and end."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._faults = gateway.faults

    @property
    def silent(self) -> bool:
        """Whether nothing leaves."""
        return bool(self._faults.each("silent"))

    @property
    def delay(self) -> float:
        """Wall seconds by which everything leaves later."""
        return max((float(str(held["by"])) for held in self._faults.each("delay")), default=0.0)

    def refuses(self) -> str | None:
        """How a connection that has just been made is refused: ``close``, ``greeting`` or ``silent``; None when it is not."""
        taken_over = any(map(_takes_over, self._faults.each("competing-login")))
        if taken_over or self._faults.each("nightly-restart"):
            return "close"
        refused = self._faults.strikes("refuse-logins")
        return str(refused["how"]) if refused is not None else None

    def holds_back(self, connection: Connection) -> bool:
        """Whether what this client sends stays unread for now."""
        if connection.unheard and self._faults.each("refuse-logins"):
            return True
        return any(_means(held, connection) for held in self._faults.each("stop-reading"))

    def changed(self, name: str, begins: bool, forms: list[dict[str, Parameter]]) -> None:
        """A fault has begun, or has ended."""
        connections = self._gateway.connections
        if name == "drop-connections":
            for connection in connections:
                if any(_means(form, connection) for form in forms):
                    connection.drop("a fault drops it")
        elif begins and (name == "nightly-restart" or (name == "competing-login" and any(map(_takes_over, forms)))):
            for connection in connections:
                connection.drop("the gateway restarts" if name == "nightly-restart" else "another login takes over")
        elif name in {"competing-login", "another-session"} and begins:
            market_data.interrupt(self._gateway, forms)
        elif name in {"silent", "delay"} and not begins:
            for connection in connections:
                connection.flush()
        elif name in {"stop-reading", "refuse-logins"} and not begins:
            for connection in connections:
                connection.read_on()
        elif name == "link-lost":
            self._lose() if begins else self._restore(forms)

    def _lose(self) -> None:
        for connection in self._gateway.clients.values():
            connection.error(-1, 1100, _LOST)

    def _restore(self, forms: list[dict[str, Parameter]]) -> None:
        uplink, now = self._gateway.uplink, clock.now()
        if uplink.lost:
            return
        code = min(int(str(form["restored"])) for form in forms)
        for connection in self._gateway.clients.values():
            connection.error(-1, code, _RESTORED[code])
            if code == 1101:
                connection.streams.clear()
                connection.bars.clear()
        # What happened at IB meanwhile is learned first: what waits comes after it.
        self._gateway.floor.advance(now)
        uplink.carry_out(now)
        self._gateway.announcer.flush()


def _takes_over(parameters: dict[str, Parameter]) -> bool:
    return faults.word(parameters["takes-over"]) == "true"


def _means(parameters: dict[str, Parameter], connection: Connection) -> bool:
    clients = faults.names(parameters.get("client"))
    return not clients or str(connection.client_id) in clients
