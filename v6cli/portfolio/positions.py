"""Positions as the operator sees them: grouped by underlying and strategy, with greeks of the whole position and totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any

from v6cli.errors import UsageError
from v6cli.models import Greeks, Position
from v6cli.portfolio.greeks import is_known, source, values_of
from v6cli.portfolio.grouping import Leg, group
from v6cli.results import Column, Group, Table

COLUMNS = (
    Column("symbol"),
    Column("expiry", kind="expiry"),
    Column("strike", kind="strike", missing=""),
    Column("right", title="R"),
    Column("quantity", title="qty", kind="quantity", sign=True, unit="contracts or shares"),
    Column("price", kind="price", unit="currency per share"),
    Column("value", kind="money", unit="currency", rank=3),
    Column("pnl", title="P&L", kind="money", sign=True, unit="currency"),
    Column("dte", title="DTE", kind="integer", missing="", unit="calendar days"),
    Column("delta", kind="greek", unit="share equivalents"),
    Column("gamma", kind="greek", unit="share equivalents per 1.00 of the underlying", rank=1),
    Column("theta", kind="greek", unit="currency per calendar day", rank=1),
    Column("vega", kind="greek", unit="currency per volatility point", rank=2),
    Column("strategy", rank=9),
    Column("greeks", kind="status", rank=7),
    Column("greeks_age", title="age", kind="seconds", missing="", unit="seconds", rank=8),
)
SORTS = ("group", "symbol", "expiry", "strike", "quantity", "value", "pnl", "dte", "delta", "gamma", "theta", "vega")
_INDEX = {column.name: number for number, column in enumerate(COLUMNS)}
_SUMMED = tuple(_INDEX[name] for name in ("value", "pnl", "delta", "gamma", "theta", "vega"))
_UNKNOWN = (None,) * 4  # greeks


def table(
    positions: Sequence[Position],
    greeks: Mapping[int, Greeks],
    today: date,
    as_of: datetime,
    *,
    symbols: Sequence[str] = (),
    sort: str = "group",
) -> Table:
    """The positions as a table; ``symbols`` picks underlyings, all of them where none is named. Raises UsageError for an unknown way to sort."""
    if sort not in SORTS:
        raise UsageError(f"cannot sort by {sort!r}; there are: {', '.join(SORTS)}")
    chosen = [one for one in positions if not symbols or one.contract.symbol in symbols]
    rows: list[tuple[Any, ...]] = []
    groups: list[Group] = []
    for symbol, strategies in groupby(group(chosen), key=lambda one: one.symbol):
        first = len(rows)
        inner = []
        for one in strategies:
            start = len(rows)
            rows += [_row(one.name, leg, greeks.get(leg.position.contract.con_id), today, as_of) for leg in one.legs]
            subtotal = _total(rows[start:]) if len(rows) - start > 1 else None
            inner.append(Group(one.name, start, len(rows), depth=1, subtotal=subtotal))
        groups += [Group(symbol, first, len(rows), depth=0, subtotal=_total(rows[first:])), *inner]
    totals = _total(rows) if rows else None
    if sort != "group":
        rows.sort(key=lambda row: _sortable(row[_INDEX[sort]]))
        groups = []
    notes = [*_not_held(positions, symbols), *(_notes(chosen, greeks) if totals and None in totals else ())]
    empty = "none of these is held" if symbols and positions else "no open positions"
    return Table("v6.positions/1", "positions", COLUMNS, rows, groups, totals, as_of, notes, empty)


def _not_held(positions: Sequence[Position], symbols: Sequence[str]) -> list[str]:
    """Which of the symbols asked for are not in the book, and which are: a slip of the finger must not look like a flat book."""
    held = dict.fromkeys(sorted(one.contract.symbol for one in positions))
    missing = [symbol for symbol in symbols if symbol not in held]
    return [f"no position in {', '.join(missing)}; held: {', '.join(held) or 'none'}"] if missing else []


def _row(name: str, leg: Leg, greeks: Greeks | None, today: date, as_of: datetime) -> tuple[Any, ...]:
    position, own, share = leg.position, leg.position.contract, leg.share
    value = None if position.value is None else position.value * share
    pnl = None if position.unrealized is None else position.unrealized * share
    dte = (own.expiry - today).days if own.expiry else None
    age = (as_of - greeks.at).total_seconds() if greeks and own.is_option else None
    return (
        own.symbol,
        own.expiry,
        own.strike,
        own.right,
        leg.quantity,
        position.price,
        value,
        pnl,
        dte,
        *(values_of(position, greeks, leg.quantity) or _UNKNOWN),
        name,
        source(position, greeks),
        age,
    )


def _total(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Sums of value, P&L and greeks; a sum with an unknown part is unknown."""
    total: list[Any] = [""] * len(COLUMNS)
    total[0] = "total"
    columns = tuple(zip(*rows, strict=True))
    for number in _SUMMED:
        try:
            total[number] = sum(columns[number])
        except TypeError:  # a None among them
            total[number] = None
    return tuple(total)


def _notes(positions: Sequence[Position], greeks: Mapping[int, Greeks]) -> list[str]:
    unknown = [one for one in positions if not is_known(one, greeks.get(one.contract.con_id))]
    unpriced = [one for one in positions if one.value is None]
    notes = []
    if unknown:
        notes.append(f"{len(unknown)} of {len(positions)} positions have no greeks: sums with them are unknown (?)")
    if unpriced:
        notes.append(f"{len(unpriced)} of {len(positions)} positions have no price, such as {unpriced[0].contract}")
    return notes


def _sortable(value: Any) -> tuple[bool, Any]:
    """Unknown values last."""
    return (value is None, str(value) if isinstance(value, date) else value if value is not None else 0)
