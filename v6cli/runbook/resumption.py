"""What whoever resumes trading should know first: what has happened since it was halted, and which services do not run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.errors import ServiceUnavailable, V6Error
from v6cli.procedure import Fix
from v6cli.results import Column, Table, compact, count

if TYPE_CHECKING:
    from v6cli.latch import Latch
    from v6cli.models import Order, Position
    from v6cli.services.backend import ServiceState
    from v6cli.state.database import State

MOST = 10  # rows of one kind
COLUMNS = (Column("what"), Column("at", kind="time", missing=""), Column("text", title="since the halt", wraps=True))

Row = tuple[str, datetime | None, str]


def since(latch: Latch) -> datetime | None:
    """When the first of the marks was set, in home time; None where none says so."""
    set_at = min((mark.at for mark in latch.marks if mark.at is not None), default=None)
    return None if set_at is None else clock.now() - (clock.wall() - set_at) * clock.rate()


def table(state: State | None, held_then: Callable[[datetime], Sequence[Position]], at: datetime) -> Table:
    """What is recorded since ``at`` of positions, orders, alerts and acts; ``held_then`` is what was held at a time.

    What cannot be told is UNKNOWN, and stops nothing.
    """
    rows = [("state", None, "nothing is recorded yet")] if state is None else _recorded(state, held_then, at)
    return Table("v6.since-halt/1", f"since {clock.show(at)}", COLUMNS, rows, as_of=clock.now())


def _recorded(state: State, held_then: Callable[[datetime], Sequence[Position]], at: datetime) -> list[Row]:
    from v6cli.state import mirror

    seen = mirror.read(state)
    synced = "no sync has ended yet" if seen is None else f"as of {clock.show_age((clock.now() - seen.at).total_seconds())} ago"
    rows: list[Row] = [("last sync", seen.at if seen else None, synced)]
    if seen is None or seen.at < at:
        rows.append(("position", None, "UNKNOWN: no sync has ended since; v6 sync --force"))
    else:
        rows += _cut([("position", None, text) for text in _changed(held_then, seen.positions, at)], "v6 positions")
    rows += _cut(_orders(state, at), "v6 orders") or [("orders", None, "none of v6 was sent or ended")]
    rows += _cut(_alerts(state, at), "v6 alerts list --all") or [("alerts", None, "none")]
    return rows + _cut(_acts(state, at), "v6 journal")


def _changed(held_then: Callable[[datetime], Sequence[Position]], now: Sequence[Position], at: datetime) -> list[str]:
    try:
        then = held_then(at)
    except V6Error as error:
        return [f"what was held then is UNKNOWN: {error.message}"]
    contracts = {one.contract.con_id: one.contract for one in (*then, *now)}
    before, after = ({one.contract.con_id: one.quantity for one in held} for held in (then, now))
    changed = [own for own in contracts.values() if before.get(own.con_id, 0.0) != after.get(own.con_id, 0.0)]
    return [f"{own}: {compact(before.get(own.con_id, 0.0), 4)} -> {compact(after.get(own.con_id, 0.0), 4)}" for own in changed] or [
        f"unchanged: {count(len(now), 'position')}"
    ]


def _orders(state: State, at: datetime) -> list[Row]:
    from v6cli.state import intents

    open_ = intents.unsettled(state)
    ended = [one for one in intents.recent(state, 200) if one.ended is not None and one.ended >= at and one not in open_]
    return [
        (
            "order",
            one.ended or one.minted,
            f"{one.state.upper() if one in open_ else one.state}: {_wanted(one.order)}, {one.order_refs[-1]}",
        )
        for one in (*open_, *ended)
    ]


def _wanted(order: Order) -> str:
    return f"{order.action} {compact(order.quantity, 4)} {order.contract}"


def _alerts(state: State, at: datetime) -> list[Row]:
    from v6cli.state import alerts

    return [
        ("alert", one.last_at, f"{one.severity}, {'open' if one.resolved_at is None else 'resolved'}: {one.text}")
        for one in alerts.recent(state, at)
    ]


def _acts(state: State, at: datetime) -> list[Row]:
    from v6cli.state import journal

    acts = [one for one in journal.entries(state, at, limit=50) if one.outcome is not None]
    return [("act", one.began, f"v6 {one.command}, {one.user}: {one.outcome} ({one.exit_code})") for one in acts]


def _cut(rows: list[Row], all_of_them: str) -> list[Row]:
    if len(rows) <= MOST:
        return rows
    return [*rows[:MOST], (rows[0][0], None, f"and {len(rows) - MOST} more: {all_of_them}")]


def stopped(states: Sequence[ServiceState]) -> list[str]:
    """The services that do not run and are not on their way up, in dependency order."""
    return [one.name for one in states if one.state not in {"running", "starting"}]


def said_of_services(names: Sequence[str], *, of: int) -> str:
    """Which services do not run, with the line that starts them."""
    if not names:
        return "every service runs"
    return f"not running: {', '.join(names)}; {line_to_start(names, of=of)} starts {'it' if len(names) == 1 else 'them'}"


def line_to_start(names: Sequence[str], *, of: int) -> Fix:
    """The command that starts these services, ``of`` so many that the home has."""
    return Fix(("services", "start", *(names if len(names) < of else ())))


def check_running(states: Sequence[ServiceState]) -> None:
    """Raise ServiceUnavailable where one of them does not run."""
    if down := stopped(states):
        raise ServiceUnavailable(f"trading was resumed, but {', '.join(down)} did not stay up", next_step=f"v6 logs --service {down[0]}")
