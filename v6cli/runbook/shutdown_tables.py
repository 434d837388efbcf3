"""What an emergency shutdown shows: the orders that work before it, and a row for each of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from v6cli import clock
from v6cli.models import Position
from v6cli.procedure import Outcome, Status
from v6cli.results import Column, Table
from v6cli.runbook import checklist
from v6cli.runbook.protection import closes, limit, origin, stops

if TYPE_CHECKING:
    from v6cli.broker.orders import Listed


def working(found: Listed, held: Sequence[Position]) -> Table:
    """Working orders with who placed each, and which of them close or protect what is held."""
    columns = (
        Column("from"),
        Column("purpose"),
        Column("action"),
        Column("quantity", kind="quantity"),
        Column("contract"),
        Column("type"),
        Column("limit", kind="price", missing=""),
        Column("stop", kind="price", missing="", rank=1),
        Column("status", rank=2),
        Column("reference", rank=3),
        Column("account", rank=4),
    )
    rows: list[tuple[Any, ...]] = [
        (
            origin(one),
            "protective" if stops(one) else ("closing" if closes(one, held) else ""),
            one.action,
            one.quantity - one.filled,
            str(one.contract),
            one.order_type,
            limit(one),
            one.stop_price or None,
            one.status,
            one.order_ref,
            one.account,
        )
        for one in found.orders
    ]
    notes = [] if found.complete else ["the list has no end: there may be more"]
    return Table("v6.working-orders/2", "working at the gateway", columns, rows, empty="no order works at the gateway", notes=notes)


def steps(kind: str, outcomes: Iterable[Outcome], verdict: str, notes: list[str]) -> Table:
    """One row a step, and one for each finding that is not green; below it ``notes``: what is left and what else there is to know."""
    rows: list[tuple[Any, ...]] = []
    for outcome in outcomes:
        green = "; ".join(one.text for one in outcome.findings if one.status is Status.OK)
        lines = [(Status.OK.value, green, "")] if green else []
        lines += [(one.status.value, one.text, checklist.next_step(one)) for one in outcome.findings if one.status is not Status.OK]
        rows += [(outcome.step.title if number == 0 else "", *line) for number, line in enumerate(lines)]
    columns: tuple[Column, ...] = checklist.COLUMNS[:3]
    if any(row[3] for row in rows):
        columns = (*columns, Column("next", title="next step", wraps=True))
    cut = [row[: len(columns)] for row in rows]
    return Table(f"v6.{kind}/1", "Emergency shutdown", columns, cut, as_of=clock.now(), verdict=verdict, notes=notes)
