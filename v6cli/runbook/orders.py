"""Orders as the operator sees and ends them: listed with what to do about each, and cancelled by whoever placed them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from v6cli import clock, control
from v6cli.broker import orders
from v6cli.broker.codes import classify
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import BadInput, GatewayUnavailable, OutcomeUnknown, Refused, ServiceUnavailable, Unavailable, UsageError
from v6cli.home import Home
from v6cli.models import WorkingOrder
from v6cli.results import Column, Table, count
from v6cli.runbook.fills import since
from v6cli.state.intents import Intent
from v6cli.trading.flatten import SOCKET
from v6cli.trading.loop import SERVICE

if TYPE_CHECKING:
    from v6cli.broker.connection import Connection

CANCELLED_WITHIN = 5.0  # wall seconds
Gateway = Callable[[str, int | None], AbstractAsyncContextManager["Connection"]]
BY_HAND = 0
OWNERS = {1: SERVICE, 90: SOCKET}  # at whose control socket the orders of a client id are cancelled while it runs

_COLUMNS = (
    Column("order", kind="identity", title="id", missing=""),
    Column("client", kind="integer", missing=""),
    Column("action"),
    Column("quantity", kind="quantity"),
    Column("contract"),
    Column("limit", kind="price", missing="market"),
    Column("filled", kind="quantity"),
    Column("state", kind="status"),
    Column("reference", rank=1),
    Column("account", rank=2),
    Column("remark", title="reason and what to do", wraps=True),
)


def table(working: Sequence[WorkingOrder] | str, recent: Sequence[Intent] | str | None) -> Table:
    """Working orders of every client, then v6's own recent ones; of either why it is unknown. ``recent`` None is a home without records."""
    alive = () if isinstance(working, str) else working
    own = () if isinstance(recent, str) else recent or ()
    listed = {one.order_ref for one in alive}
    rows = [_working_row(one) for one in alive]
    rows += [_recent_row(one) for one in own if not listed & set(one.order_refs)]
    title = "orders of v6; WHAT WORKS IS UNKNOWN" if isinstance(working, str) else "orders"
    notes = [f"what became of v6's own orders is UNKNOWN: {recent}"] if isinstance(recent, str) else []
    return Table("v6.orders/1", title, _COLUMNS, rows, as_of=clock.now(), notes=notes, empty=_empty(working, recent))


def _empty(working: Sequence[WorkingOrder] | str, recent: Sequence[Intent] | str | None) -> str:
    said = [] if isinstance(working, str) else ["no order works"]
    said += [] if isinstance(recent, str) else ["none was sent by v6 yet"]
    return ", and ".join(said) or "nothing is known of any order"


def to_cancel(working: Sequence[WorkingOrder]) -> Table:
    """The orders that are about to be cancelled."""
    rows = [_working_row(one) for one in working]
    return Table("v6.orders/1", "orders", _COLUMNS, rows, as_of=clock.now(), empty="no order works at the gateway")


def check_known(working: Sequence[WorkingOrder] | str, recent: Sequence[Intent] | str | None) -> None:
    """Raise GatewayUnavailable where what works could not be told, Unavailable where what became of v6's own orders could not."""
    if isinstance(working, str):
        raise GatewayUnavailable(f"what works at the gateway is unknown: {working}")
    if isinstance(recent, str):
        raise Unavailable(f"what became of v6's own orders is unknown: {recent}", next_step="v6 health")


def _working_row(one: WorkingOrder) -> tuple[object, ...]:
    remark = "entered by hand" if not one.client_id and one.order_id <= 0 else ""
    return (
        one.perm_id,
        one.client_id,
        one.action,
        one.quantity,
        str(one.contract),
        one.limit_price,
        one.filled,
        one.status,
        one.order_ref,
        one.account,
        remark,
    )


def _recent_row(one: Intent) -> tuple[object, ...]:
    wanted = one.order
    return (
        None,
        one.client_id,
        wanted.action,
        wanted.quantity,
        str(wanted.contract),
        wanted.limit,
        one.filled,
        one.state,
        one.order_refs[-1],
        wanted.account,
        _remark(one),
    )


def _remark(one: Intent) -> str:
    if one.state == "unknown":
        return f"{one.note}; look in TWS, then: v6 orders settle {one.order_refs[-1]} --filled N, or --dead"
    if one.code is None:
        return one.note
    meaning = classify(one.code, one.note)
    return f"{one.code}: {one.note}{f' ({meaning.do})' if meaning.do else ''}"


async def listed(gateway: Gateway) -> list[WorkingOrder]:
    """The orders of every client that work, as IB itself has them now. Raises GatewayUnavailable."""
    async with gateway("look", None) as connection:
        return await _proven(connection)


async def one(gateway: Gateway, which: str) -> list[WorkingOrder]:
    """The working order of this number or reference, alone. Raises BadInput, GatewayUnavailable."""
    async with gateway("cancel", None) as connection:  # which never waits for looks that hang
        found = [one for one in await _proven(connection) if which in _names(one)]
    if not found:
        raise BadInput(f"no order {which!r} works at the gateway", next_step="v6 orders")
    if len(found) > 1:
        raise BadInput(
            f"{len(found)} orders work under {which!r}: {', '.join(str(one.perm_id) for one in found)}", next_step="name one by its number"
        )
    return found


def _names(order: WorkingOrder) -> set[str]:
    """What an order may be called by: one entered by hand has no reference, and a number only once IB has given it one."""
    return {str(order.perm_id or ""), order.order_ref} - {""}


class Gone(Struct, frozen=True):
    """An order that works no more. ``filled`` is all that filled of it, None where that is unknown."""

    order: WorkingOrder
    filled: float | None

    @property
    def escaped(self) -> bool:
        """Whether some of it filled before the cancel reached it."""
        return self.filled is not None and self.filled > self.order.filled

    def __str__(self) -> str:
        what = f"order {self.order.perm_id}, {self.order.action} {self.order.quantity:g} {self.order.contract}"
        if self.filled is None:
            return f"{what}: WHAT FILLED OF IT IS UNKNOWN"
        if self.escaped:
            return f"{what}: FILLED {self.filled:g} of {self.order.quantity:g}"
        return f"{what}: cancelled, works no more"


def check_cancelled(gone: Sequence[Gone]) -> None:
    """Raise OutcomeUnknown where it is not known what filled of them, Refused where some did: a fill is not taken back."""
    held = "v6 positions --from-gateway, and TWS under Trades"
    if unknown := [one for one in gone if one.filled is None]:
        raise OutcomeUnknown(f"{count(len(unknown), 'order')} gone, cancelled or filled: {'; '.join(map(str, unknown))}", next_step=held)
    if escaped := [one for one in gone if one.escaped]:
        raise Refused(f"{count(len(escaped), 'order')} filled before the cancel: {'; '.join(map(str, escaped))}", next_step=held)


async def cancel(home: Home, gateway: Gateway, order: WorkingOrder) -> Gone:
    """Cancel one order by way of the client that placed it, and wait until it is gone.

    Raises Refused where its owner lives and is none of this home's services, BadInput where it works no more, OutcomeUnknown,
    GatewayUnavailable.
    """
    if owner := OWNERS.get(order.client_id):
        try:
            said = await control.acall(home.control_socket(owner), "cancel", timeout=30.0, perm_id=order.perm_id)
        except ServiceUnavailable:
            pass  # it does not run: it is stood in for
        except OutcomeUnknown as error:
            raise OutcomeUnknown(error.message, next_step="v6 orders") from error
        else:
            return Gone(order, said.get("filled") if isinstance(said, dict) else None)
    async with _in_the_place_of(gateway, order) as connection:
        own, at = await _as_its_owner_sees_it(connection, order), clock.now()
        await orders.cancel(connection, own)
        await gone(connection, [own], _proven)
        (left,) = await what_filled(connection, {own: at})
    return Gone(order, left.filled)


async def what_filled(connection: Connection, seen: Mapping[WorkingOrder, datetime]) -> list[Gone]:
    """What filled of orders that are gone, each since it was seen working at a moment."""
    try:
        fills = await orders.executions(connection)
        await connection.must_reach_ib()
    except GatewayUnavailable:
        return [Gone(one, None) for one in seen]
    told = {one: since(one, at, fills) if one.account in {connection.account, ""} else None for one, at in seen.items()}
    return [Gone(one, None if more is None else one.filled + more) for one, more in told.items()]


async def gone(connection: Connection, these: Iterable[WorkingOrder], ask: Callable[[Connection], Awaitable[list[WorkingOrder]]]) -> None:
    """Wait until none of these orders is in the list that ``ask`` gets. Raises OutcomeUnknown."""
    known = {key for one in these for key in keys(one)}
    deadline = clock.monotonic() + CANCELLED_WITHIN
    try:
        while left := [one for one in await ask(connection) if known & keys(one)]:
            if clock.monotonic() >= deadline:
                raise OutcomeUnknown(
                    "not cancelled yet: " + ", ".join(f"{one.perm_id} {one.contract} ({one.status})" for one in left),
                    next_step="v6 orders shows it; where the market is closed, IB answers at the open",
                )
            await clock.pause(0.25)
    except GatewayUnavailable as error:
        raise OutcomeUnknown(
            f"the cancel was sent, and whether it was obeyed is not known: {error.message}", next_step="v6 orders"
        ) from error


def keys(order: WorkingOrder) -> set[tuple[int, ...]]:
    """What an order may be known by again: IB may give it its number only after it was first listed."""
    named: set[tuple[int, ...]] = {(order.perm_id,)} if order.perm_id else set()
    return named | ({(order.client_id, order.order_id)} if order.client_id else set())


def check_choice(which: str | None, *, everything: bool) -> None:
    """Raise UsageError unless exactly one of an order and all of them is asked for, the one by a name that it can have."""
    if (which is None) == (not everything):
        raise UsageError("name one order, or say --all", next_step="v6 orders")
    if which is not None and not which.strip():
        raise UsageError("an empty id names no order", next_step="v6 orders")


@asynccontextmanager
async def _in_the_place_of(gateway: Gateway, order: WorkingOrder) -> AsyncIterator[Connection]:
    try:
        async with gateway("cancel", order.client_id) as connection:
            yield connection
    except ClientIdInUse as error:
        raise Refused(
            f"order {order.perm_id} was placed by client {order.client_id}, which is connected: only it can cancel this one",
            next_step="cancel it there, or every order with v6 orders cancel --all",
        ) from error


async def _as_its_owner_sees_it(connection: Connection, order: WorkingOrder) -> WorkingOrder:
    """The order under the id by which this client cancels it: one by hand is given an id once client 0 binds it."""
    if order.client_id == BY_HAND:
        await connection.client.bind_orders_by_hand()
    for one in await _proven(connection):
        if one.perm_id == order.perm_id:
            return one
    raise BadInput(f"order {order.perm_id} works no more: it ended before it was cancelled", next_step="v6 positions --from-gateway")


async def _proven(connection: Connection) -> list[WorkingOrder]:
    found = await orders.working(connection)
    await connection.must_reach_ib()
    return found
