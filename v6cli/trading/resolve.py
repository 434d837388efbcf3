"""What became of the orders whose end is not known: asked of the gateway, believed only where its answer is complete.

An order is dead once the gateway says so, or once its absence is proven: from open orders, completed orders and executions, in
that order, so that what leaves one list meanwhile is found in a later one; each to its End, on one connection that reaches IB,
made under the client id that sent it: the gateway grants that only once it has read whatever a dead process had written. Lists go
back to the gateway's midnight, so an intent from before it stays unknown unless it is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from math import fsum

from msgspec import Struct

from v6cli import clock
from v6cli.broker import orders
from v6cli.broker.connection import Connection
from v6cli.errors import GatewayUnavailable
from v6cli.models import Alert, CompletedOrder, Fill, Order, Severity, WorkingOrder
from v6cli.state import alerts, intents
from v6cli.state.database import State
from v6cli.state.intents import Ending, Intent

CANCELLED = frozenset({"Cancelled", "ApiCancelled"})


class Answer(Struct, frozen=True):
    """Everything the gateway says of orders, complete; ``began`` and ``ended`` are home time."""

    working: Sequence[WorkingOrder]
    completed: Sequence[CompletedOrder]
    fills: Sequence[Fill]
    began: datetime
    ended: datetime


class Verdict(Struct, frozen=True):
    """What became of one intent: ``alive`` while orders of it work, else how it ended and how much of it filled."""

    intent: Intent
    alive: tuple[WorkingOrder, ...] = ()
    ending: Ending | None = None
    filled: float | None = None
    why: str = ""


async def ask(connection: Connection) -> Answer:
    """Open orders, completed orders and executions. Raises GatewayUnavailable where one is incomplete, or IB was not reached throughout."""
    lost = connection.losses
    await connection.must_reach_ib()
    began = clock.now()
    working = await orders.working(connection)
    completed = await orders.completed(connection)
    fills = await orders.executions(connection)
    ended = clock.now()
    await connection.must_reach_ib()
    if connection.losses != lost:
        raise GatewayUnavailable("the link to IB was lost while the gateway was asked: what it said may be old")
    return Answer(working, completed, fills, began, ended)


async def resolve(connection: Connection, state: State, zone: tzinfo) -> list[Verdict]:
    """Settle the open intents of this client id; ``zone`` is the gateway's own. Those that are alive are left open.

    Raises GatewayUnavailable, CannotWrite; then what was settled so far is settled.
    """
    mine = [intent for intent in intents.unsettled(state) if intent.client_id == connection.client_id]
    if not mine:
        return []
    answer = await ask(connection)
    verdicts = [judge(intent, answer, zone) for intent in mine]
    for verdict in verdicts:
        settle(state, verdict)
    return verdicts


def settle(state: State, verdict: Verdict) -> None:
    """Write a verdict down; what cannot be known any more is an alert, and so is an order that lives twice. Raises CannotWrite."""
    intent = verdict.intent
    if verdict.ending is not None and verdict.ending != intent.state:
        intents.end(state, intent.intent, verdict.ending, verdict.filled, verdict.why)
    if verdict.ending == "unknown":
        alerts.raise_alert(
            state,
            Alert(
                f"intent-{intent.intent}",
                Severity.CRITICAL,
                f"nobody can say what became of the order {intent.order_refs[-1]} ({describe(intent.order)}): {verdict.why}",
                f"look in TWS, then: v6 orders settle {intent.order_refs[-1]} --filled N, or --dead",
            ),
        )
    if len(verdict.alive) > 1:
        alerts.raise_alert(
            state,
            Alert(
                f"twice-{intent.intent}",
                Severity.CRITICAL,
                f"the order {intent.order_refs[-1]} lives {len(verdict.alive)} times at the gateway: all of them are cancelled",
                "v6 orders",
            ),
        )


def judge(intent: Intent, answer: Answer, zone: tzinfo) -> Verdict:
    """What a complete answer, asked under the intent's own client id, says of it."""
    refs = set(intent.order_refs)
    alive = tuple(one for one in answer.working if one.order_ref in refs)
    if alive:
        return Verdict(intent, alive)
    completed = [one for one in answer.completed if one.order_ref in refs]
    filled = max([filled_of(intent.order, answer.fills, refs), fsum(one.filled for one in completed)])
    if filled >= intent.order.quantity:
        return Verdict(intent, ending="filled", filled=filled)
    if completed:
        dead = all(one.status not in CANCELLED | {"Filled"} for one in completed)
        return Verdict(intent, ending="rejected" if dead and not filled else "cancelled", filled=filled, why=completed[-1].status)
    if _midnight_between(intent.minted, answer.ended, zone):
        return Verdict(intent, ending="unknown", why="the gateway's day has ended since it was recorded, and it lists today's orders only")
    if filled:
        return Verdict(intent, ending="cancelled", filled=filled, why="it works no more")
    return Verdict(intent, ending="absent", filled=0.0, why="no list of the gateway has it")


def filled_of(order: Order, fills: Iterable[Fill], refs: set[str]) -> float:
    """How much of an order filled. An execution that was corrected counts once, a combo by its own summaries, else by its scarcest leg."""
    own = {fill.exec_id.rpartition(".")[0]: fill for fill in fills if fill.order_ref in refs}
    if not order.legs:
        return fsum(fill.quantity for fill in own.values())
    combos = fsum(fill.quantity for fill in own.values() if fill.contract.kind == "BAG")
    return combos or min(
        fsum(fill.quantity for fill in own.values() if fill.contract.con_id == leg.contract.con_id) / leg.ratio for leg in order.legs
    )


def describe(order: Order) -> str:
    """An order in words: ``SELL 2 SPY 2026-12-18 600C at 1.25``."""
    price = "at the market" if order.limit is None else f"at {order.limit:g}"
    return f"{order.action} {order.quantity:g} {order.contract} {price}"


def _midnight_between(earlier: datetime, later: datetime, zone: tzinfo) -> bool:
    return earlier.astimezone(zone).date() != later.astimezone(zone).date()
