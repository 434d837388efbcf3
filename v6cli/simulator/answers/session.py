"""Starting the API, ids, the time, and what this gateway does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.simulator import farms

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.wire import Request

START_API = 71


def start_api(connection: Connection, request: Request) -> None:
    """71: take the client id, tell the accounts, the next id and the state of the data farms."""
    request.skip(1)
    client_id = request.integer()
    if connection.client_id is not None:
        return
    if not connection.gateway.admit(connection, client_id):
        connection.error(-1, 326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
        connection.close()
        return
    managed_accounts(connection, request)
    next_valid_id(connection, request)
    for code, text in farms.messages(connection.gateway.faults):
        connection.error(-1, code, text)


def managed_accounts(connection: Connection, _request: Request) -> None:
    """17: the account ids."""
    connection.send(15, 1, ",".join(connection.gateway.account.ids))


def next_valid_id(connection: Connection, _request: Request) -> None:
    """8: an order id that this client has not used."""
    assert connection.client_id is not None
    connection.send(9, 1, connection.gateway.next_id(connection.client_id))


def current_time(connection: Connection, _request: Request) -> None:
    """49: the gateway's time in seconds."""
    connection.send(49, 1, int(clock.timestamp()))


def nothing(_connection: Connection, _request: Request) -> None:
    """A cancel of what is over, or a setting that changes nothing here."""


#: Requests that a real gateway answers and this one does not, with the place of their id.
_UNSUPPORTED = {10: 2, 22: 1, 50: 2, 52: 2, 54: 2, 55: 2, 67: 2, 79: 1, 83: 1, 84: 1, 86: 1, 88: 1, 96: 1, 97: 1, 100: 1, 102: 1, 104: 1}


def refuse(connection: Connection, request: Request) -> None:
    """Any other request: an error under its id where it has one."""
    place = _UNSUPPORTED.get(request.kind)
    if place is None:
        connection.error(-1, 505, f"Fatal Error: Unknown message id {request.kind}.")
        return
    request.skip(place - 1)
    connection.error(request.identify(), 321, f"Error validating request.-'bX' : cause - request {request.kind} is not simulated")


HANDLERS = {
    START_API: start_api,
    17: managed_accounts,
    8: next_valid_id,
    49: current_time,
    **dict.fromkeys((11, 13, 14, 23, 51, 53, 56, 57, 70, 89, 90, 98, 101, 103), nothing),
}
