"""What the gateway answers: one module per subject, one function per request.

A function reads its request's fields in order and sends the answer on the connection it came from. ``HANDLERS`` maps message
numbers to functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from v6cli.simulator.answers import account, contracts, history, market_data, orders, session
from v6cli.simulator.answers.announce import Announcer
from v6cli.simulator.answers.session import START_API, refuse

if TYPE_CHECKING:
    from v6cli.simulator.connection import Connection
    from v6cli.simulator.server import Gateway
    from v6cli.simulator.wire import Request

Handler = Callable[["Connection", "Request"], None]

HANDLERS: dict[int, Handler] = {
    **session.HANDLERS,
    **account.HANDLERS,
    **orders.HANDLERS,
    **contracts.HANDLERS,
    **market_data.HANDLERS,
    **history.HANDLERS,
}

#: Questions that the gateway cannot answer by itself: contracts, chains, symbols, history.
NEED_IB = frozenset({9, 20, 78, 81, 87})

__all__ = ["HANDLERS", "NEED_IB", "START_API", "Announcer", "push", "refuse"]


def push(gateway: Gateway, *, quotes: bool, account: bool) -> None:
    """Bring every subscription to P&L up to date; ``quotes`` and ``account`` also those to quotes and to the account's values."""
    if quotes:
        market_data.push(gateway)
        history.push(gateway)
    _push_account(gateway, values=account)


def _push_account(gateway: Gateway, *, values: bool) -> None:
    for connection in gateway.clients.values():
        if connection.writable:
            account.push(connection, values=values)
