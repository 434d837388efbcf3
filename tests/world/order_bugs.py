"""Bugs that are planted in v6's own path of orders, each to be found by its schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from v6cli import barrier, permits
from v6cli.broker import connection, orders, translate
from v6cli.broker.ib import Client, NoAnswer
from v6cli.models import RecordedIntent
from v6cli.state import intents
from v6cli.state.database import State
from v6cli.trading import execution, loop, resolve

Patch = tuple[Any, str, Any]
Plant = Callable[[], Iterator[Patch]]


def _latch_before_token() -> Iterator[Patch]:
    async def send(at: Any, home: Any, recorded: RecordedIntent, permit: Any = None, **_more: Any) -> bool:
        barrier.check(home, closing=recorded.closing, permit=permit)
        await at.client.bucket.take()
        at.client.place(recorded.order_id, *translate.for_order(recorded, at.client.library))
        return True

    yield orders, "send", send


def _missing_end() -> Iterator[Patch]:
    ask = Client.ask

    async def believes(self: Client, what: str, *how: Any, **more: Any) -> Any:
        try:
            return await ask(self, what, *how, **more)
        except NoAnswer:
            if what not in {"open orders", "completed orders", "executions"}:
                raise
            self._owed.clear()
            return []

    yield Client, "ask", believes


def _record_after_send() -> Iterator[Patch]:
    record, send = intents.record, orders.send
    kept: dict[str, tuple[State, list[tuple[str, list[Any]]]]] = {}

    def later(state: State, *how: Any) -> RecordedIntent:
        recorded = record(state, *how)
        rows = [
            (table, state.rows(f"SELECT * FROM {table} WHERE intent = ?", (recorded.intent,)))
            for table in ("intents", "attempts", "claims")
        ]
        for table, _ in reversed(rows):
            state.write(f"DELETE FROM {table} WHERE intent = ?", (recorded.intent,))
        kept[recorded.order_ref] = state, rows
        return recorded

    async def sends(at: Any, home: Any, recorded: RecordedIntent, permit: Any = None, **more: Any) -> bool:
        try:
            return await send(at, home, recorded, permit, **more)
        finally:
            state, rows = kept.pop(recorded.order_ref, (None, []))
            for table, found in rows:
                assert state is not None
                state.write_many(f"INSERT INTO {table} VALUES ({', '.join('?' * len(found[0]))})", found)

    yield intents, "record", later
    yield orders, "send", sends


def _another_id() -> Iterator[Patch]:
    connect = loop.connect

    async def elsewhere(settings: Any, home: Any, role: str, report: Any, *, client_id: int | None = None) -> Any:
        if client_id is None:
            return await connect(settings, home, role, report)
        made = await connect(settings, home, "cancel", report)
        made.client_id = client_id
        return made

    yield loop, "connect", elsewhere


def _cancel_for_an_end() -> Iterator[Patch]:
    cancel = execution.Working.cancel

    async def ends(self: execution.Working) -> bool:
        asked = await cancel(self)
        said = self.desk.heard._statuses.get(self.recorded.order_id)
        intents.end(self.desk.state, self.recorded.intent, "cancelled", said.filled if said else 0.0)
        return asked

    yield execution.Working, "cancel", ends


def _held_for_dead() -> Iterator[Patch]:
    end = execution.Heard.end

    def ends(self: execution.Heard, order_id: int) -> Any:
        said = self._statuses.get(order_id)
        if said is not None and said.status == "Inactive":
            return execution.End("rejected", said.filled, code=201)
        return end(self, order_id)

    yield execution.Heard, "end", ends


def _ids_of_the_gateway() -> Iterator[Patch]:
    yield execution.Desk, "next_order_id", lambda self: self.connection.client.next_order_id()


async def _nothing(*_how: Any) -> None:
    pass


def one(owner: Any, name: str, instead: Any) -> Plant:
    """Plant a bug by putting something else in one place."""
    return lambda: iter([(owner, name, instead)])


#: What v6 does wrong, and how it is brought to do so.
BUGS: dict[str, Plant] = {
    "reads the latch before the token": _latch_before_token,
    "believes a list without its End": _missing_end,
    "records an intent after the send": _record_after_send,
    "ignores the gateway's midnight": one(resolve, "_midnight_between", lambda *_: False),
    "takes its proof under another client id": _another_id,
    "takes a cancel for an end": _cancel_for_an_end,
    "ignores claims": one(intents, "_check_unclaimed", lambda *_: None),
    "takes a held order for dead": _held_for_dead,
    "lets a permit pass every halt": one(permits, "void", lambda *_: ""),
    "leaves its orders working while halted": one(loop.Trading, "_hold_to_the_latch", _nothing),
    "takes order ids as the gateway issues them": _ids_of_the_gateway,
    "believes a gateway that has lost IB": one(connection.Connection, "must_reach_ib", _nothing),
    "leaves to others what a dead close left": one(loop.Trading, "_settle_what_others_leave", _nothing),
}
#: The seed that finds each of them, as far as is known.
FOUND_BY = dict.fromkeys(BUGS, 0) | {
    "reads the latch before the token": 250,
    "believes a list without its End": 15,
    "takes its proof under another client id": 2,
    "takes a cancel for an end": 1,
    "takes a held order for dead": 124,
    "lets a permit pass every halt": 34,
    "leaves its orders working while halted": 2,
    "takes order ids as the gateway issues them": 224,
    "believes a gateway that has lost IB": 25,
    "leaves to others what a dead close left": 2,
}


@contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """Within the block v6 has this bug."""
    patches = [patch.object(*each) for each in plant()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
