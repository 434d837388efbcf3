"""Bugs that are planted in v6's closings, its shutdown and its halts, each to be found by the schedules of closings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from v6cli import barrier, permits
from v6cli.broker.connection import Connection
from v6cli.runbook import close_all, emergency_orders, protection, senders, shutdown
from v6cli.state import intents
from v6cli.trading import flatten, holdings
from v6cli.trading.execution import End

from .order_bugs import Patch, Plant, one


def _another_id() -> Iterator[Patch]:
    connect = shutdown.Shutdown._connect

    async def elsewhere(self: shutdown.Shutdown, role: str, *, client_id: int | None = None) -> Connection:
        if client_id is None:
            return await connect(self, role)
        made = await connect(self, "cancel")
        made.client_id = client_id
        return made

    yield shutdown.Shutdown, "_connect", elsewhere


def _first_list_for_proof() -> Iterator[Patch]:
    async def once(self: emergency_orders.Sweep, connection: Connection) -> Any:
        await self._cancel(connection)
        listed = await self._list(connection)
        return type(listed)((), (), listed.complete)

    yield emergency_orders.Sweep, "_list_again", once


def _never_released() -> Iterator[Patch]:
    yield intents, "release", lambda *_: None


def _stale_sizes() -> Iterator[Patch]:
    def begin(self: holdings.Holdings, con_id: int) -> None:
        if con_id not in self._base:
            self._base[con_id] = self._held.get(con_id, 0.0)
            self._in_base[con_id] = set(self._fills.get(con_id, {}))

    yield holdings.Holdings, "_begin", begin
    yield holdings.Holdings, "_agrees", lambda *_: True


def _no_confirmation() -> Iterator[Patch]:
    take_back = flatten.Flatten._take_back

    async def hastily(self: flatten.Flatten, working: Any) -> End:
        if not working.recorded.order.legs:
            return await take_back(self, working)
        await working.cancel()
        said = self.desk.heard._statuses.get(working.recorded.order_id)
        filled = said.filled if said else 0.0
        intents.end(self.desk.state, working.recorded.intent, "cancelled", filled)
        working.end = End("cancelled", filled)
        return working.end

    yield flatten.Flatten, "_take_back", hastily


def _by_symbol() -> Iterator[Patch]:
    legs = protection._legs
    yield protection, "_legs", lambda order: [] if order.contract.kind == "BAG" else legs(order)


async def _nothing(*_how: Any) -> None:
    pass


def _none_ended(_home: Any, _services: Any, *, spare: str = "") -> senders.Ended:
    return senders.Ended()


#: What v6 does wrong, and how it is brought to do so. That claims are heeded `order_bugs` shows: closings as they are typed share one
#: client id, so that no two of them ever send.
BUGS: dict[str, Plant] = {
    "lets a permit pass every halt": one(permits, "void", lambda *_: ""),
    "takes the proof of a shutdown under another client id": _another_id,
    "takes a global cancel for a proof": _first_list_for_proof,
    "never releases a claim": _never_released,
    "closes by positions that may be stale": _stale_sizes,
    "lets a combo fall to legs before its cancel is confirmed": _no_confirmation,
    "forgets the orders of a closing that died": one(close_all.CloseAll, "_settle", _nothing),
    "closes beside a trading that lives": one(senders, "silence", _none_ended),
    "halts without a look into the gate": one(barrier, "shut", lambda _home: []),
    "takes every combo of a symbol for one of the position": _by_symbol,
    "says flat while an order of it may fill": one(
        close_all.CloseAll, "_with_what_may_work", lambda _, held, _working: list(held.values())
    ),
}
#: The seed that finds each of them, as far as is known.
FOUND_BY = dict.fromkeys(BUGS, 0) | {
    "lets a permit pass every halt": 15,
    "takes the proof of a shutdown under another client id": 35,
    "takes a global cancel for a proof": 1,
    "closes by positions that may be stale": 16,
    "lets a combo fall to legs before its cancel is confirmed": 12,
    "forgets the orders of a closing that died": 1,
    "halts without a look into the gate": 26,
    "takes every combo of a symbol for one of the position": 5,
    "says flat while an order of it may fill": 55,
}
