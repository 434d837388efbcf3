"""One answer, many formats: what a command found, before anyone decides how it looks.

A Table or a Record carries raw values with the kind and unit of each column; the terminal, ``-o json`` and the web API draw
from the same object. ``cell`` is the one place that turns a value into text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from msgspec import Struct, field

from v6cli import clock

NUMERIC = frozenset({"integer", "identity", "quantity", "strike", "price", "money", "percent", "greek", "number", "seconds", "bytes"})
UNKNOWN = "?"
#: What moves the cursor, colours, begins a line or turns the direction of writing, and halves of letters, which nothing can print.
_COMMANDS = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


class Column(Struct, frozen=True):
    """What one column means.

    ``kind``: text, status, date, expiry, time, integer, identity (a number to copy), quantity, strike, price, money (whole
    units), percent (of a fraction), greek, number, seconds (an age), bytes. ``unit`` is for machines and help. ``sign`` colours by
    sign. A None is shown as ``missing``: ``?`` where a number is unknown, nothing where there is none to have. Where the
    screen is too narrow, columns of the highest ``rank`` give way first.
    """

    name: str
    title: str = ""
    kind: str = "text"
    unit: str = ""
    sign: bool = False
    missing: str | None = None
    rank: int = 0
    wraps: bool = False

    @property
    def heading(self) -> str:
        """The title as shown."""
        return self.title or self.name.replace("_", " ")

    @property
    def right_aligned(self) -> bool:
        """Numbers stand to the right."""
        return self.kind in NUMERIC


class Group(Struct, frozen=True):
    """Consecutive rows ``start`` to ``stop`` under one ``title``, at ``depth`` 0 or 1, with their ``subtotal``."""

    title: str
    start: int
    stop: int
    subtotal: tuple[Any, ...] | None = None
    depth: int = 0


class Table(Struct):
    """Rows of the same kind. ``schema`` names and versions the shape for machines; ``as_of`` is when it was true, in UTC.

    ``facts`` say for machines what the title says in words.
    """

    schema: str
    title: str
    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    groups: list[Group] = field(default_factory=list)
    totals: tuple[Any, ...] | None = None
    as_of: datetime | None = None
    notes: list[str] = field(default_factory=list)
    empty: str = "nothing to show"
    verdict: str = ""
    facts: list[tuple[Column, Any]] = field(default_factory=list)


class Record(Struct):
    """Named values of one thing."""

    schema: str
    title: str
    items: list[tuple[Column, Any]]
    as_of: datetime | None = None
    notes: list[str] = field(default_factory=list)
    verdict: str = ""


Result = Table | Record


def cell(value: Any, column: Column) -> str:
    """The text of one value. An unknown number is ``?``, never 0; an empty text in a total has no meaning there."""
    if value == "":
        return ""
    if value is None:
        return column.missing if column.missing is not None else (UNKNOWN if column.kind in NUMERIC or column.kind == "time" else "")
    formatter = _FORMATS.get(column.kind)
    return visible(str(value)) if formatter is None else formatter(value)


def visible(text: str) -> str:
    """``text`` with what would command a terminal written out, as ``\\x1b``: whoever typed it does not say what the reader sees."""
    if text.isprintable():
        return text
    return re.sub(_COMMANDS, lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """As ``visible``, of a text in lines, which stay lines."""
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))


def bar(used: float | None, width: int = 10) -> str:
    """A share of a limit as a bar; beyond the limit it ends in an arrow."""
    if used is None:
        return "?" * width
    full = min(width, round(used * width))
    return "█" * full + "░" * (width - full) + (">" if used > 1 else "")


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 alert``, ``2 alerts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def compact(value: float, decimals: int) -> str:
    """A number with at most ``decimals`` decimals and no trailing zeros; a rounded zero carries no sign."""
    if value % 1 == 0:
        return str(int(value))
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def bytes_text(size: float) -> str:
    """A size in decimal units, as disks are sold: ``999 bytes``, ``26.4 kB``, ``648 MB``."""
    if size < 1000:
        return f"{size:.0f} bytes"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.{0 if size >= 99.95 else 1}f} {unit}"


def _greek(value: float) -> str:
    size = abs(value)
    if size >= 10:
        return f"{value:.1f}" if size < 1000 else f"{value:,.0f}"
    if size >= 0.095:
        return f"{value:.2f}"
    return "0.00" if size < 0.0005 else f"{value:.3f}"


@lru_cache(maxsize=256)
def _expiry(value: date) -> str:
    return value.strftime("%d%b%y").lstrip("0")


_FORMATS: dict[str, Callable[[Any], str]] = {
    "date": date.isoformat,
    "expiry": _expiry,
    "time": clock.show,
    "integer": lambda value: f"{value:,}",
    "identity": str,
    "quantity": lambda value: compact(value, 4),
    "strike": lambda value: compact(value, 3),
    "price": lambda value: f"{value:z,.2f}",  # z: a rounded zero carries no sign
    "money": lambda value: f"{value:z,.0f}",
    "percent": lambda value: f"{value * 100:z.1f}%",
    "greek": _greek,
    "number": lambda value: compact(value, 2),
    "seconds": clock.show_age,
    "bytes": bytes_text,
}


def cells(rows: Sequence[tuple[Any, ...]], columns: tuple[Column, ...]) -> list[list[str]]:
    """The texts of many rows, column by column: a thousand rows want one look-up of a format, not a thousand."""
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return [_column_texts(own, column) for own, column in zip(values, columns, strict=True)]


def _column_texts(values: Sequence[Any], column: Column) -> list[str]:
    unknown = cell(None, column)
    formatter = _FORMATS.get(column.kind)
    if formatter is None:
        words = [unknown if value is None else str(value) for value in values]
        return words if "".join(words).isprintable() else [visible(word) for word in words]
    # Strikes, expiries, quantities repeat: each value is formatted once.
    texts = {value: formatter(value) for value in set(values) - {None, ""}} | {None: unknown, "": ""}
    return [texts[value] for value in values]


def as_table(record: Record) -> Table:
    """A record as two columns, for formats that know only tables."""
    rows = [(column.heading, cell(value, column)) for column, value in record.items]
    columns = (Column("name"), Column("value", wraps=True))
    return Table(record.schema, record.title, columns, rows, as_of=record.as_of, notes=record.notes, verdict=record.verdict)


def to_json(result: Result) -> dict[str, Any]:
    """The result for machines: ``schema`` first, every unit named, times as ISO 8601 in UTC."""
    answer: dict[str, Any] = {"schema": result.schema, "title": result.title}
    if result.as_of:
        answer["as_of"] = _plain(result.as_of)
    if result.verdict:
        answer["verdict"] = result.verdict
    if isinstance(result, Record):
        answer["units"] = {column.name: column.unit for column, _ in result.items if column.unit}
        answer["values"] = {column.name: _plain(value) for column, value in result.items}
    else:
        if result.facts:
            answer["facts"] = {column.name: _plain(value) for column, value in result.facts}
        answer["units"] = {column.name: column.unit for column in (*(own for own, _ in result.facts), *result.columns) if column.unit}
        answer["rows"] = [_named(row, result.columns) for row in result.rows]
        if result.groups:
            answer["groups"] = [
                {"title": group.title, "depth": group.depth, "rows": [group.start, group.stop]}
                | ({"subtotal": _sums(group.subtotal, result.columns)} if group.subtotal else {})
                for group in result.groups
            ]
        if result.totals:
            answer["totals"] = _sums(result.totals, result.columns)
    answer["notes"] = result.notes
    return answer


def _named(row: tuple[Any, ...], columns: tuple[Column, ...]) -> dict[str, Any]:
    return {column.name: _plain(value) for column, value in zip(columns, row, strict=True)}


def _sums(row: tuple[Any, ...], columns: tuple[Column, ...]) -> dict[str, Any]:
    """A total, without the columns that cannot be added."""
    return {column.name: value for column, value in zip(columns, row, strict=True) if value != "" and column.kind in NUMERIC}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return value
