"""What a closing shows: the plan before it, with what it brings and what it cancels, and afterwards what is left, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum

import msgspec
from msgspec import Struct

from v6cli import clock
from v6cli.errors import CannotWrite, OutcomeUnknown, V6Error
from v6cli.models import WorkingOrder
from v6cli.results import Column, Table, count
from v6cli.state.intents import Intent
from v6cli.state.mirror import Mirror
from v6cli.trading.flatten import Left
from v6cli.trading.parts import Plan

INTERRUPTED = 130  # exit code


class Stage(Struct, frozen=True):
    """What is there before anything is closed: the plan, and the orders that are in its way. ``limits`` are typed prices by contract id."""

    plan: Plan
    resting: tuple[WorkingOrder, ...]
    accounts: tuple[str, ...]
    limits: Mapping[int, float] = {}


def plan_table(stage: Stage, what: str, seen: Mirror | None) -> Table:
    """What would be closed, what it would bring or cost by the values of the last sync, and the orders that would be cancelled for it."""
    values = {one.contract.con_id: (one.value, one.quantity) for one in seen.positions} if seen else {}
    columns = (
        Column("strategy"),
        Column("contract"),
        Column("id", kind="identity", rank=1),
        Column("quantity", kind="quantity"),
        Column("closes", title="closes by"),
        Column("cash", title="cash, about", kind="money", sign=True),
    )
    rows: list[tuple[object, ...]] = []
    cash: list[float | None] = []
    for part in stage.plan.parts:
        for number, (own, quantity) in enumerate(part.legs):
            name = f"{part.symbol} {part.name}" if number == 0 else ""
            cash.append(_share(values.get(own.con_id), quantity))
            rows.append(
                (
                    name,
                    str(own),
                    own.con_id,
                    quantity,
                    f"{'buying' if quantity < 0 else 'selling'} {abs(quantity):g}{_at(stage.limits.get(own.con_id))}",
                    cash[-1],
                )
            )
    notes = [f"cancelled first: {_order(one)}" for one in stage.resting]
    notes += [f"expired, left to IB: {one.quantity:+g} {one.contract}" for one in stage.plan.expired]
    if seen is not None and seen.account.maintenance_margin is not None:
        age = clock.show_age((clock.now() - seen.at).total_seconds())
        notes.append(f"margin as last recorded, {age} ago: {seen.account.maintenance_margin:,.0f} {seen.account.currency}")
    known = [one for one in cash if one is not None]
    totals = ("", "", "", "", "total", fsum(known) if len(known) == len(cash) else None) if rows else None
    return Table(
        "v6.close-plan/1", f"{what}: the plan", columns, rows, totals=totals, as_of=clock.now(), notes=notes, empty="nothing is held"
    )


def left_table(left: Sequence[Left], what: str) -> Table:
    """What came of it."""
    columns = (Column("contract"), Column("id", kind="identity", rank=1), Column("quantity", kind="quantity"), Column("why", wraps=True))
    rows = [(str(one.contract), one.contract.con_id, one.quantity, one.why) for one in left]
    return Table(
        "v6.close-outcome/1", what, columns, rows, as_of=clock.now(), verdict=_verdict(left), empty="nothing of it is held any more"
    )


def stopped_table(left: Sequence[Left] | str, sent: Sequence[Intent], what: str, state: str) -> Table:
    """What came of a closing that was stopped: what is left of it, or why that is unknown, and what each of its orders filled."""
    filled = [_filled(one) for one in sent if one.filled != 0]
    notes = [*(filled or ["none of its orders filled"]), state]
    if isinstance(left, str):
        table = left_table([], what)
        return msgspec.structs.replace(table, verdict="stopped: WHAT IS LEFT IS UNKNOWN", empty=f"UNKNOWN: {left}", notes=notes)
    return msgspec.structs.replace(left_table(left, what), verdict=f"stopped: {_verdict(left)}", notes=notes)


def _filled(one: Intent) -> str:
    own = one.order
    size = f"{own.quantity:g} {own.contract}, {one.order_refs[-1]}"
    return f"UNKNOWN what filled of {own.action} {size}" if one.filled is None else f"filled: {own.action} {one.filled:g} of {size}"


def _verdict(left: Sequence[Left]) -> str:
    held = sum(1 for one in left if one.quantity)
    said = [f"{count(held, 'position')} left"] if held else []
    if len(left) > held:
        said.append(f"{count(len(left) - held, 'order')} may still work")
    return ", ".join(said) or "flat"


def code(left: Sequence[Left]) -> int:
    """The exit code of a closing that came to its end."""
    return OutcomeUnknown.exit_code if left else 0


def code_of_stop(stop: BaseException) -> int:
    """The exit code of a closing that did not."""
    if isinstance(stop, KeyboardInterrupt):
        return INTERRUPTED
    return stop.exit_code if isinstance(stop, V6Error) else CannotWrite.exit_code


def evidence(left: Sequence[Left] | str) -> list[dict[str, object]]:
    """What is kept of what is left, or of why that is unknown."""
    if isinstance(left, str):
        return [{"why": left}]
    return [{"contract": str(one.contract), "id": one.contract.con_id, "quantity": one.quantity, "why": one.why} for one in left]


def check_flat(left: Sequence[Left], what: str) -> None:
    """Raise OutcomeUnknown where something is left open."""
    if left:
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        first = f"STILL HELD: {left[0].quantity:+g} {left[0].contract}" if left[0].quantity else f"NOT SETTLED: {left[0].contract}"
        raise OutcomeUnknown(f"{first}: {left[0].why}{more}", next_step=f"{what} again, or close it in TWS")


def _share(recorded: tuple[float | None, float] | None, quantity: float) -> float | None:
    """What closing so much of a position brings, by its recorded value; None where that is not known."""
    if recorded is None or recorded[0] is None or not recorded[1]:
        return None
    return recorded[0] * quantity / recorded[1]


def _at(limit: float | None) -> str:
    return "" if limit is None else f" at {limit:.10g}"


def _order(one: WorkingOrder) -> str:
    who = "by hand" if not one.client_id else f"client {one.client_id}"
    return f"{one.action} {one.quantity - one.filled:g} {one.contract} {one.order_type} ({who}, id {one.perm_id})"
