"""Halting and resuming: the latch first, then everything else that is good to know."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from v6cli import barrier, clock, latch
from v6cli.errors import CannotWrite, OutcomeUnknown, Refused, UsageError, V6Error
from v6cli.latch import Latch, Mark, TradingState
from v6cli.results import Column, Record, Table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from v6cli.home import Home
    from v6cli.models import WorkingOrder

LOOK_WITHIN = 2.0  # wall seconds
NO_REASON = "no reason given"

NEXT = "next: v6 resume --reason TEXT, once the cause is gone"

MEANS = {
    TradingState.ACTIVE: "orders may be sent",
    TradingState.REDUCING: "closing orders only",
    TradingState.HALTED: "nothing leaves but cancels",
}


class Tightened(NamedTuple):
    """A halt or reduce-only that stands, and who is still in the gate, by name: an order of theirs may yet leave."""

    mark: Mark
    kept: list[str]


def tighten(home: Home, state: TradingState, reason: str, who: str, silence: Callable[[], str]) -> Tightened:
    """Tighten the trading state and shut the barrier: nothing that it forbids leaves any more.

    Where it cannot be recorded, the gate is held shut while ``silence`` ends everything that sends and says what came of it.
    Raises CannotWrite then; Refused for who may neither write in the home nor end what its owner runs.
    """
    try:
        mark = latch.tighten(home, state, reason or NO_REASON, who)
    except CannotWrite as error:
        from v6cli import owner

        owner.check_may_write(home)
        raise _unrecorded(home, error, silence) from error
    try:
        return Tightened(mark, barrier.shut(home))
    except CannotWrite as error:
        return Tightened(mark, [f"somebody ({error.message})"])


def _unrecorded(home: Home, error: CannotWrite, silence: Callable[[], str]) -> CannotWrite:
    try:
        gate = barrier.keep_shut(home)
    except CannotWrite:  # where even the lock is missing, no sender can take it either
        gate = None
    with gate or contextlib.nullcontext():
        outcome = silence()
    return CannotWrite(f"{error.message}; {outcome}. A restart or a reboot undoes this halt", next_step=error.next_step)


def keeps(kept: Sequence[str]) -> str:
    """That these senders have not left the gate, in words; they are not none."""
    return f"{' and '.join(kept)} keeps the gate: one order of it may still leave"


def check_gate(kept: Sequence[str]) -> None:
    """Raise OutcomeUnknown where a sender has not left the gate: an order that it checked before the halt may leave yet."""
    if kept:
        raise OutcomeUnknown(f"it is recorded, but {keeps(kept)}", next_step="v6 services stop v6-trading, or end that process")


def table(state: Latch) -> Table:
    """The trading state: one row for each halt and reduce-only behind it."""
    columns = (Column("kind"), Column("since", kind="time"), Column("by"), Column("reason", wraps=True))
    rows = [("halt" if mark.state is TradingState.HALTED else "reduce-only", mark.at, mark.who, mark.reason) for mark in state.marks]
    if state.problem:
        rows.insert(0, ("halt", None, "", state.problem))
    facts = [(Column("state"), state.state), (Column("since", kind="time"), state.since), (Column("reason"), state.reason)]
    return Table("v6.trading-state/2", said(state), columns, rows, empty="nothing is halted", facts=facts)


def orders(working: Sequence[WorkingOrder]) -> Table:
    """Orders that work at the gateway."""
    columns = (
        Column("client", kind="integer"),
        Column("action"),
        Column("quantity", kind="quantity"),
        Column("contract"),
        Column("type"),
        Column("limit", kind="price"),
        Column("status"),
        Column("reference"),
    )
    rows = [
        (
            one.client_id,
            one.action,
            one.quantity - one.filled,
            str(one.contract),
            one.order_type,
            one.limit_price,
            one.status,
            one.order_ref,
        )
        for one in working
    ]
    return Table("v6.working-orders/1", "still working at the gateway", columns, rows, empty="no order works at the gateway")


def orders_unknown(why: str) -> Record:
    """That nobody can say which orders work. It is no table of them: one without rows would say that there are none."""
    return Record("v6.working-orders-unknown/1", "still working at the gateway", [(Column("why"), why)], verdict="UNKNOWN")


async def still_working(look: Callable[[], Awaitable[Sequence[WorkingOrder]]]) -> Sequence[WorkingOrder] | str:
    """The orders that work now, or why that is unknown; within two seconds."""
    try:
        async with clock.timeout(LOOK_WITHIN):
            return await look()
    except TimeoutError:
        return f"no answer within {LOOK_WITHIN:g} s"
    except V6Error as error:
        return error.message


def said(state: Latch, *, asked: TradingState | None = None) -> str:
    """The trading state in a line; where a halt stands above the reduce-only that was ``asked`` for, that too."""
    line = f"trading state {state.state.value}: {MEANS[state.state]}"
    above = asked is TradingState.REDUCING and state.state is TradingState.HALTED
    return f"{line}: a halt stands above the reduce-only, which is recorded" if above else line


def check_reason(reason: str) -> None:
    """Raise UsageError where the reason of a resume says nothing."""
    if not reason.strip():
        raise UsageError("--reason is empty: say why it is safe again", next_step='v6 resume --reason "quotes are back"')


def check_loosens(state: Latch, to: TradingState) -> None:
    """Raise Refused unless going to ``to`` would loosen ``state``."""
    order = [TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED]
    if order.index(state.state) <= order.index(to):
        raise Refused(f"the trading state is {state.state.value} already: nothing was changed", next_step="v6 trading-state")
