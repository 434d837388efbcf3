"""The orders of an emergency shutdown: listed, saved, cancelled, and proven gone.

A global cancel is answered by nothing, and what a dead process wrote may still lie unread in the gateway. So the only proof is a
complete list of open orders after a second global cancel, asked for under the client id of each sender once it is dead: the
gateway grants such an id only after it has read the dead one's socket to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from v6cli import clock, sessions
from v6cli.broker import orders
from v6cli.broker.connection import CLIENT_IDS, Connection
from v6cli.broker.contracts import Directory
from v6cli.broker.ib import ClientIdInUse, NoAnswer
from v6cli.broker.orders import Listed
from v6cli.errors import GatewayUnavailable, Refused, V6Error
from v6cli.models import Contract, WorkingOrder
from v6cli.procedure import Finding, Status
from v6cli.results import count
from v6cli.runbook.emergency_record import Keeper, Listing
from v6cli.runbook.protection import said

SENDERS = {role: CLIENT_IDS[role][0] for role in ("trading", "closing")}  # each role that sends orders, with its client id
LIST_WITHIN = 2.0  # wall seconds after which the first global cancel waits for no list
SETTLES = 6.0  # wall seconds within which IB cancels what it can cancel at all
ASK_EVERY = 0.5
HOURS_WITHIN = 8.0  # wall seconds for the trading hours of what is left


class Connect(Protocol):
    """Log in under a role, or under its own client id in the place of a dead client."""

    def __call__(self, role: str, *, client_id: int | None = None) -> Awaitable[Connection]:
        """Raises GatewayUnavailable, Refused."""


class Sweep:
    """Everything that works at the gateway. ``forbids`` says why a global cancel may not be sent there; empty where it may."""

    def __init__(self, connect: Connect, forbids: Callable[[Connection], str], keeper: Keeper, *, keep_orders: bool) -> None:
        self._connect = connect
        self._forbids = forbids
        self._keeper = keeper
        self._keep = keep_orders
        self._sent: datetime | None = None

    async def look(self) -> Listed:
        """What works now. Raises GatewayUnavailable, Refused."""
        async with self._session("cancel") as connection:
            listed = await orders.everything(connection)
            self._saw(connection, listed)
            return listed

    async def cancel(self) -> list[Finding]:
        """List and save everything, then cancel it: at the End of the list, after two seconds at the latest."""
        try:
            return [await self._cancel_all()]
        except V6Error as error:
            sent = f"global cancel sent at {_time(self._sent)}, but " if self._sent else "NO CANCEL WAS SENT: "
            return [Finding("orders", Status.UNKNOWN, f"{sent}{error.message}")]

    async def _cancel_all(self) -> Finding:
        async with self._session("cancel") as connection:
            listing = asyncio.ensure_future(orders.everything(connection))
            try:
                with contextlib.suppress(TimeoutError):
                    async with clock.timeout(LIST_WITHIN):
                        await asyncio.wait({listing})
                if listing.done() and listing.exception() is None:
                    self._saw(connection, listing.result())
                    return self._swept(listing.result(), await self._cancel(connection))
                sent = await self._cancel(connection)
                listed = await listing
                self._saw(connection, listed)
                return self._swept(listed, sent)
            finally:
                listing.cancel()
                await asyncio.gather(listing, return_exceptions=True)

    async def prove(self, others: Sequence[int] = ()) -> list[Finding]:
        """Under each sender's client id, and ``others`` that may have sent: a second global cancel and a second list. Only these count."""
        senders = {own: role for role, own in SENDERS.items()} | {own: "cancel" for own in others if own not in SENDERS.values()}
        tasks = [asyncio.ensure_future(self._connect(role, client_id=own)) for own, role in senders.items()]
        try:
            return await self._proof(list(senders), await asyncio.gather(*tasks, return_exceptions=True))
        finally:
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception() is None:
                    await task.result().close()
                task.cancel()

    async def _proof(self, ids: Sequence[int], logins: Sequence[Connection | BaseException]) -> list[Finding]:
        unproven: dict[str, list[int]] = {}
        proofs: list[str] = []
        left: Sequence[WorkingOrder] | None = None
        last: Connection | None = None
        # Each list begins after every login, so the last one speaks for all of them.
        for own, login in zip(ids, logins, strict=True):
            try:
                if isinstance(login, BaseException):
                    raise login
                listed = await self._list_again(login)
            except V6Error as error:
                unproven.setdefault(_why_unproven(error), []).append(own)
                continue
            left, last = listed.orders, login
            proofs.append(f"as client {own} at {_time()}")
        found = [Finding("orders", Status.UNKNOWN, f"{_clients(which)}: {why}") for why, which in unproven.items()]
        if left is None or last is None:
            return found
        self._keeper.still_left(left)
        if self._keep:
            kept = f"{count(len(left), 'order')} kept, as asked: listed {' and '.join(proofs)}"
            return [*found, Finding("orders", Status.OK, kept, evidence=_evidence(left))]
        if refuses := self._read_only(logins):
            found.append(refuses)
        if left:
            return [*found, *await _left(last, left)]
        text = f"no order works: listed to the end {' and '.join(proofs)}, and IB answered"
        return [*found, Finding("orders", Status.OK, text, evidence={"proofs": proofs})]

    async def _list_again(self, connection: Connection) -> Listed:
        """What still works after another global cancel, once IB had its time. Raises GatewayUnavailable where that proves nothing."""
        losses = connection.losses
        listed = await self._list(connection)
        if not self._keep:
            await self._cancel(connection)
            deadline = clock.monotonic() + SETTLES
            listed = await self._list(connection)
            while listed.orders and clock.monotonic() < deadline and not self._read_only([connection]):
                await clock.pause(ASK_EVERY)
                listed = await self._list(connection)
        await connection.must_reach_ib()
        if connection.losses != losses:
            raise GatewayUnavailable("the gateway lost IB while it listed the orders: what it said may be old")
        return listed

    async def _list(self, connection: Connection) -> Listed:
        listed = await orders.everything(connection)
        self._saw(connection, listed)
        if not listed.complete:
            # The cancel goes out all the same; what it came to no list on this connection can tell.
            with contextlib.suppress(V6Error):
                await self._cancel(connection)
            raise NoAnswer("the gateway's list of open orders does not come to its end: what works is unknown")
        return listed

    async def _cancel(self, connection: Connection) -> datetime | None:
        """Send a global cancel; when, or None where the orders are kept. Raises Refused, GatewayUnavailable."""
        if self._keep:
            return None
        if why := self._forbids(connection):
            raise Refused(why)
        await orders.cancel_everything(connection)
        self._sent = clock.now()
        self._keeper.cancelled(self._sent)
        return self._sent

    def _saw(self, connection: Connection, listed: Listed) -> None:
        listing = Listing(clock.now(), connection.client_id, listed.complete, len(listed.orders))
        self._keeper.saw(listed.orders, listed.in_full, listing)

    def _swept(self, listed: Listed, sent: datetime | None) -> Finding:
        what = count(len(listed.orders), "working order")
        done = f"global cancel sent at {_time(sent)}" if sent else "none cancelled, as asked"
        if not listed.complete:
            text = f"the list of open orders has no end: {what} saved, there may be more; {done}"
            return Finding("orders", Status.UNKNOWN, text)
        return Finding("orders", Status.OK, f"{what} saved; {done}", evidence={"perm_ids": [order.perm_id for order in listed.orders]})

    @staticmethod
    def _read_only(logins: Sequence[Connection | BaseException]) -> Finding | None:
        connections = [login for login in logins if isinstance(login, Connection)]
        if not any(meaning.kind == "read-only" for one in connections for _, meaning, _ in one.messages):
            return None
        text = "the gateway's API is read-only: it refuses every cancel"
        return Finding("orders", Status.UNHEALTHY, text, advice="cancel in TWS; clear Read-Only API in the gateway's settings")

    @contextlib.asynccontextmanager
    async def _session(self, role: str) -> AsyncIterator[Connection]:
        connection = await self._connect(role)
        try:
            yield connection
        finally:
            await connection.close()


def _why_unproven(error: V6Error) -> str:
    later = "; what was sent under it may still reach the market" if isinstance(error, ClientIdInUse) else ""
    return error.message + later


def _clients(ids: Sequence[int]) -> str:
    return "as client " + " and as client ".join(map(str, ids))


async def _left(connection: Connection, left: Sequence[WorkingOrder]) -> list[Finding]:
    """What a complete list still has: each with when its end will be known."""
    known = await _openings(connection, [order.contract for order in left])
    return [_one_left(order, known.get(order.contract.con_id)) for order in left]


def _one_left(order: WorkingOrder, opens: datetime | None) -> Finding:
    now = clock.now()
    if opens is None:
        when = "IB does not say when that will be known"
    elif opens > now:
        when = f"known at its next open, {clock.show(opens)}"
    else:
        when = "its market is open: it should be known within seconds"
    text = f"{said(order)} is still {order.status}: {when}"
    evidence: dict[str, object] = {"perm_id": order.perm_id, "opens": opens.isoformat() if opens else None}
    return Finding("orders", Status.UNKNOWN, text, evidence=evidence)


async def _openings(connection: Connection, contracts: Sequence[Contract]) -> dict[int, datetime | None]:
    """When each contract trades next, by contract id; of a combination, whose hours IB does not state, when the exchanges open."""
    directory = Directory(connection)
    found: dict[int, datetime | None] = {}
    with contextlib.suppress(TimeoutError, GatewayUnavailable):
        async with clock.timeout(HOURS_WITHIN):
            for own in contracts:
                if own.con_id not in found:
                    found[own.con_id] = sessions.next_open((await directory.details(own)).hours, clock.now())
    return {own.con_id: found.get(own.con_id) or _next_session() for own in contracts}


def _next_session() -> datetime | None:
    with contextlib.suppress(V6Error):
        if not sessions.is_open(clock.now()):
            today = sessions.session(clock.today())
            return today.opens if today and clock.now() < today.opens else sessions.following(clock.today()).opens
    return None


def _evidence(left: Sequence[WorkingOrder]) -> dict[str, object]:
    return {"perm_ids": [order.perm_id for order in left]}


def _time(moment: datetime | None = None) -> str:
    """The time of day in New York, now unless another moment is given."""
    return f"{(moment or clock.now()).astimezone(clock.eastern()):%H:%M:%S %Z}"
