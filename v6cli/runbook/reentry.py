"""What an emergency shutdown cancelled, as lines to enter into TWS again. Nothing is sent."""

from __future__ import annotations

from typing import Any

from v6cli.results import Column, Table, count
from v6cli.runbook.emergency_record import Record, SavedOrder
from v6cli.runbook.protection import origin, stops

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
    """The orders of a record that are gone, each with what of it was left; protective ones first."""
    gone = [saved for saved in record.orders if saved.left is not True and _rest(saved) > 0]
    rows = [_row(saved) for saved in sorted(gone, key=lambda saved: (not stops(saved.order), saved.order.contract.symbol))]
    filled = sum(1 for saved in record.orders if saved.left is not True and _rest(saved) <= 0)
    notes = [f"{count(filled, 'order')} filled in full and not listed"] if filled else []
    if any(not listing.complete for listing in record.lists):
        notes.append("a list of open orders had no end: there may have been more")
    if left := [saved for saved in record.orders if saved.left]:
        notes.append(f"{count(len(left), 'order')} still worked when the shutdown ended, and not listed")
    notes.append("nothing was sent; check the positions before you enter any of it")
    return Table(
        "v6.reentry/1", "cancelled by the shutdown", COLUMNS, rows, as_of=record.began, notes=notes, empty="no order was cancelled"
    )


def _rest(saved: SavedOrder) -> float:
    return saved.order.quantity - saved.order.filled - (saved.filled_after or 0.0)


def _row(saved: SavedOrder) -> tuple[Any, ...]:
    own, full = saved.order, saved.in_full.get("order", {})
    return (
        own.action,
        _rest(saved),
        _contract(saved),
        own.order_type,
        own.limit_price or None,
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
    said = [origin(saved.order)]
    if saved.filled_after is None:
        said.append("fills since then UNKNOWN")
    if saved.left is None:
        said.append("whether it is gone is UNKNOWN")
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
