"""What an emergency shutdown cancelled, as lines to enter into TWS again. Nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v6cli.results import Column, Table, count
from v6cli.runbook.emergency_record import Record, SavedOrder
from v6cli.runbook.protection import limit, origin, stops

COLUMNS = (
    Column("action"),
    Column("quantity", kind="quantity"),
    Column("contract"),
    Column("type"),
    Column("limit", kind="price", missing=""),
    Column("stop", kind="price", missing=""),
    Column("tif"),
    Column("remark", wraps=True),
    Column("reference", rank=1),
    Column("account", rank=2),
)


def table(record: Record) -> Table:
    """The orders of a record that are gone, each with what of it was left; protective ones first. What may still work comes last."""
    rest = [saved for saved in record.orders if saved.left is not True and _rest(saved) > 0]
    rows = [_row(saved) for saved in sorted(rest, key=_place)]
    title = "NOTHING WAS CANCELLED by the shutdown" if record.nothing_cancelled else "cancelled by the shutdown"
    return Table("v6.reentry/1", title, COLUMNS, rows, as_of=record.began, notes=_notes(record, rest), empty="no order was cancelled")


def _place(saved: SavedOrder) -> tuple[bool, bool, str]:
    return saved.left is None, not stops(saved.order), saved.order.contract.symbol


def _notes(record: Record, rest: Sequence[SavedOrder]) -> list[str]:
    notes = []
    if unproven := [saved for saved in rest if saved.left is None]:
        notes.append(f"{count(len(unproven), 'order')} NOT PROVEN GONE: an order that is entered again beside one that works fills twice")
    if filled := sum(1 for saved in record.orders if saved.left is not True and _rest(saved) <= 0):
        notes.append(f"{count(filled, 'order')} filled in full and not listed")
    if any(not listing.complete for listing in record.lists):
        notes.append("a list of open orders had no end: there may have been more")
    if left := [saved for saved in record.orders if saved.left]:
        notes.append(f"{count(len(left), 'order')} still worked when the shutdown ended, and not listed")
    return [*notes, "nothing was sent; check the positions before you enter any of it"]


def _rest(saved: SavedOrder) -> float:
    return saved.order.quantity - saved.order.filled - (saved.filled_after or 0.0)


def _row(saved: SavedOrder) -> tuple[Any, ...]:
    own, full = saved.order, saved.in_full.get("order", {})
    return (
        own.action,
        _rest(saved),
        _contract(saved),
        own.order_type,
        limit(own),
        own.stop_price or None,
        full.get("tif", "DAY"),
        "; ".join(_remarks(saved, full)),
        own.order_ref,
        own.account,
    )


def _contract(saved: SavedOrder) -> str:
    legs = saved.in_full.get("contract", {}).get("comboLegs", [])
    if not legs:
        return str(saved.order.contract)
    named = ", ".join(f"{leg.get('action', '?')} {leg.get('ratio', 1)} contract {leg.get('conId', '?')}" for leg in legs)
    return f"{saved.order.contract.symbol} combo: {named}"


def _remarks(saved: SavedOrder, full: dict[str, Any]) -> list[str]:
    """What the columns do not say and an order is not the same without."""
    said = ["MAY STILL WORK: look in TWS first"] if saved.left is None else []
    said.append(origin(saved.order))
    if saved.filled_after is None:
        said.append("fills since then UNKNOWN")
    for name, words in _WORDS.items():
        if name in full:
            said.append(f"{words} {full[name]}" if full[name] is not True else words)
    return said


_WORDS = {
    "parentId": "child of order",
    "ocaGroup": "OCA group",
    "outsideRth": "outside regular hours",
    "goodTillDate": "until",
    "goodAfterTime": "not before",
    "trailStopPrice": "trailing stop at",
    "trailingPercent": "trailing by percent",
    "allOrNone": "all or none",
    "hidden": "hidden",
}
