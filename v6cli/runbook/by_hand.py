"""The orders that would close positions, to be typed into TWS where v6 sends none: an order that cannot be recorded is never sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.broker import account, orders
from v6cli.broker.connection import Connection
from v6cli.broker.contracts import Directory
from v6cli.broker.orders import Listed
from v6cli.broker.quotes import Tick, Watchlist
from v6cli.errors import V6Error
from v6cli.events import ignore
from v6cli.models import Contract
from v6cli.results import Column, Table
from v6cli.runbook.protection import said, touches
from v6cli.settings import Closing
from v6cli.trading import parts, walk
from v6cli.trading.parts import Part, Plan
from v6cli.trading.prices import TICK

if TYPE_CHECKING:
    from v6cli.state.mirror import Mirror

QUOTED_WITHIN = 4.0  # wall seconds for all of them
COLUMNS = (
    Column("action"),
    Column("quantity", kind="quantity"),
    Column("contract"),
    Column("id", kind="identity", rank=1),
    Column("limit", title="limit, first", kind="price"),
    Column("last", title="at last", kind="price"),
)
_LOOK = "look in TWS under Orders, and cancel there what rests on these contracts, before you type any of it"

Limits = tuple[float | None, float | None]


async def asked(connection: Connection, chosen: Callable[[Part], bool], own: Closing, lines: int) -> Table:
    """What would close what IB says is held, with prices from the market of the moment, and what works against it.

    Raises GatewayUnavailable.
    """
    working = await orders.everything(connection)  # first: what fills after it is in the positions
    held = await account.positions(connection)
    await connection.must_reach_ib()
    plan = parts.plan(held, chosen)
    try:
        limits = await _limits(connection, plan, own, lines)
    except V6Error:
        limits = {}
    notes = ["limits from the market of this moment: begin at the first, go no further than the last"]
    return _table(plan, limits, "positions from IB, asked just now", _to_cancel(working, plan, connection.account), notes)


def _to_cancel(working: Listed, plan: Plan, own: str) -> list[str]:
    """What to do about the orders that work on these positions: a second one beside them would turn a position round."""
    contracts = [leg for part in plan.parts for leg, _ in part.legs]
    found = [f"cancel first, in TWS: {said(one)}" for one in working.orders if one.account in {own, ""} and touches(one, contracts)]
    return found if working.complete else [*found, f"WHAT ELSE WORKS IS UNKNOWN: {_LOOK}"]


def recorded(seen: Mirror, chosen: Callable[[Part], bool]) -> Table:
    """What would close what the last sync saw, with the prices that it saw."""
    plan = parts.plan(seen.positions, chosen)
    limits: dict[int, Limits] = {one.contract.con_id: (one.price, None) for one in seen.positions}
    age = clock.show_age((clock.now() - seen.at).total_seconds())
    source = f"positions as of {age} ago, the last that is known"
    return _table(plan, limits, source, [f"WHAT WORKS IS UNKNOWN: {_LOOK}"], [f"limits are prices of {age} ago"])


def _table(plan: Plan, limits: dict[int, Limits], source: str, first: list[str], notes: list[str]) -> Table:
    """Shorts first: a long is not sold while it may cover one."""
    contracts = {own.con_id: own for part in plan.parts for own, _ in part.legs}
    sizes = sorted(plan.sizes.items(), key=lambda item: item[1] > 0)
    rows = [
        ("BUY" if size < 0 else "SELL", abs(size), str(contracts[con_id]), con_id, *limits.get(con_id, (None, None)))
        for con_id, size in sizes
        if size
    ]
    notes = [*first, source, *(notes if rows else []), *(f"expired, left to IB: {one.quantity:+g} {one.contract}" for one in plan.expired)]
    return Table(
        "v6.close-by-hand/1", "to be typed into TWS, in this order", COLUMNS, rows, as_of=clock.now(), notes=notes, empty="nothing is held"
    )


async def _limits(connection: Connection, plan: Plan, own: Closing, lines: int) -> dict[int, Limits]:
    """The first and the last limit of each contract that has a quote within the time there is."""
    directory = Directory(connection)
    contracts = {leg.con_id: leg for part in plan.parts for leg, _ in part.legs}
    found: dict[int, Limits] = {}
    try:
        async with clock.timeout(2 * QUOTED_WITHIN):
            ticks = await Watchlist(connection, lines, QUOTED_WITHIN / 2, QUOTED_WITHIN).look(list(contracts.values()), ignore)
            for con_id, size in plan.sizes.items():
                tick = (await directory.details(contracts[con_id])).tick or TICK
                if con_id in ticks and (prices := _prices(ticks[con_id], contracts[con_id], size, own, tick)):
                    found[con_id] = prices[0], prices[-1]
    except TimeoutError:
        pass  # who types looks at the market, too: what is known by now has to do
    return found


def _prices(quote: Tick, contract: Contract, size: float, own: Closing, tick: float) -> Sequence[float]:
    if quote.mid is None or quote.bid is None or quote.ask is None:
        return ()
    return walk.prices([walk.Side(1 if size < 0 else -1, 1, quote.bid, quote.ask)], own, tick, contract.multiplier)
