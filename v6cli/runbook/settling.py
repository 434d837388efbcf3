"""Orders settled by word: what became of one that no list of IB can tell any more, as a person says who looked in TWS."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v6cli import clock, locks
from v6cli.errors import BadInput, Refused, UsageError
from v6cli.home import Home
from v6cli.models import WorkingOrder
from v6cli.state.intents import Intent
from v6cli.trading.resolve import describe


def check_said(filled: float | None, *, dead: bool) -> None:
    """Raise UsageError unless it is said, once, what became of the order."""
    if (filled is None) == (not dead):
        raise UsageError("say what became of it: --filled N, or --dead", next_step="look in TWS: Trades, and Orders")
    if filled is not None and not math.isfinite(filled):
        raise UsageError(f"--filled {filled:g}: how much filled is a number")
    if filled is not None and filled < 0:
        raise UsageError(f"--filled {filled:g}: how much filled is never negative")


def check_open(home: Home, intent: Intent) -> None:
    """Raise Refused where the order's end is known already, or whoever sent it is still at it.

    A claim that is let go while its run lives would let a second order close the same position.
    """
    reference = intent.order_refs[-1]
    if intent.state not in {"open", "unknown"}:
        raise Refused(f"what became of {reference} is known: {intent.state}, nothing was changed", next_step="v6 orders")
    if locks.lives(home, intent.run):
        who = locks.holder(home.runs / intent.run) or intent.purpose
        raise Refused(f"{reference} is in the hands of {who}, which runs: nothing was settled", next_step="wait for its end, or end it")


def check_possible(intent: Intent, filled: float | None) -> None:
    """Raise BadInput where so much of the order cannot have filled."""
    if filled is None:
        return
    if filled > intent.order.quantity:
        raise BadInput(f"--filled {filled:g}: the order was for {intent.order.quantity:g}")
    if filled % 1 and (intent.order.legs or intent.order.contract.is_option):
        raise BadInput(f"--filled {filled:g}: options fill in whole numbers")


def said_of(intent: Intent, working: Sequence[WorkingOrder] | str) -> str:
    """What is known of an order whose end is not, in a line."""
    if isinstance(working, str):
        there = f"what IB says of it is UNKNOWN: {working}"
    elif alive := [one for one in working if one.order_ref in intent.order_refs]:
        there = f"IB LISTS IT AS WORKING ({', '.join(one.status for one in alive)}): cancel it first, v6 orders cancel {alive[0].perm_id}"
    else:
        there = "IB does not list it as working"
    return f"{intent.order_refs[-1]}: {describe(intent.order)}, recorded {clock.show(intent.minted)}, {intent.state}; {there}"


def check_not_working(intent: Intent, working: Sequence[WorkingOrder] | str) -> None:
    """Raise Refused where IB lists the order as working, or may: no word of a person makes it dead.

    One that is ``unknown`` was asked for already, so a person may speak of it while the gateway is silent; one that is ``open`` was not.
    """
    reference = intent.order_refs[-1]
    if isinstance(working, str):
        if intent.state == "open":
            raise Refused(f"{reference} may work, IB cannot be asked: nothing was settled", next_step="v6 health")
    elif any(one.order_ref in intent.order_refs for one in working):
        raise Refused(f"{reference} works at IB: nothing was settled", next_step="v6 orders cancel ID, then look again")
