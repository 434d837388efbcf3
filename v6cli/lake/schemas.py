"""Every table of the lake: its columns with type, unit and meaning, and how it is stored.

A *current* table is overwritten as one file by each sync. A *history* is appended to, and partitioned by ``date``, the
New York day. Types are words (text, integer, real, timestamp, date); ``tables`` turns them into Arrow's.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Type = Literal["text", "integer", "real", "timestamp", "date"]


class Column(Struct, frozen=True):
    """One column. ``unit`` is empty where none applies; ``required`` columns are never null."""

    name: str
    type: Type
    meaning: str
    unit: str = ""
    required: bool = False


class TableSchema(Struct, frozen=True):
    """One table. ``statistics`` names the columns whose minimum and maximum are kept per file, for skipping files."""

    name: str
    kind: Literal["current", "history"]
    meaning: str
    columns: tuple[Column, ...]
    statistics: tuple[str, ...]

    @property
    def partitions(self) -> list[str]:
        """The columns that name folders: ``date`` for a history, none for a current table."""
        return ["date"] if self.kind == "history" else []


def _text(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name, "text", meaning, required=required)


def _integer(name: str, meaning: str, unit: str = "", *, required: bool = False) -> Column:
    return Column(name, "integer", meaning, unit, required)


def _real(name: str, meaning: str, unit: str = "", *, required: bool = False) -> Column:
    return Column(name, "real", meaning, unit, required)


def _moment(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name, "timestamp", meaning, "UTC", required)


_RUN = _text("run", "the run that wrote the row", required=True)
_DATE = Column("date", "date", "the New York day the row belongs to", required=True)
_SEEN_AT = _moment("at", "when the gateway showed this", required=True)

_CONTRACT = (
    _integer("con_id", "IB's contract id", required=True),
    _text("symbol", "the underlying's symbol", required=True),
    _text("kind", "IB's security type: STK, OPT, IND, BAG", required=True),
    Column("expiry", "date", "last trading day of an option"),
    _real("strike", "strike of an option", "contract currency"),
    _text("right", "C or P"),
    _real("multiplier", "shares per contract", "shares", required=True),
    _text("currency", "the contract's currency", required=True),
    _text("exchange", "IB's exchange", required=True),
    _text("local_symbol", "IB's local symbol", required=True),
    _text("trading_class", "IB's trading class, SPXW beside SPX", required=True),
)

_POSITION = (
    _RUN,
    _SEEN_AT,
    _text("account", "the account that holds it", required=True),
    *_CONTRACT,
    _real("quantity", "contracts or shares held, negative when short", "contracts", required=True),
    _real("average_cost", "IB's average cost, multiplier included", "currency per contract", required=True),
    _real("price", "market price; null is unknown", "currency per share"),
    _real("value", "market value; null is unknown", "contract currency"),
    _real("unrealized", "unrealized profit; null is unknown", "contract currency"),
    _real("realized", "realized profit of the day; null is unknown", "contract currency"),
)

_GREEKS = (
    _RUN,
    _SEEN_AT,
    _text("account", "the account whose sync asked for them", required=True),
    _integer("con_id", "IB's contract id", required=True),
    _text("symbol", "the underlying's symbol; null where the contract is not held"),
    _text("source", "model, computed, as of close, stale or missing", required=True),
    _moment("greeks_at", "when these greeks were true", required=True),
    _real("delta", "delta of one share", "shares of the underlying"),
    _real("gamma", "gamma of one share", "delta per 1.00 of the underlying"),
    _real("theta", "decay of one share", "currency per calendar day"),
    _real("vega", "for one volatility point", "currency per point"),
    _real("implied_volatility", "implied volatility", "fraction a year"),
    _real("price", "option price they belong to", "currency per share"),
    _real("underlying_price", "underlying price they belong to", "currency per share"),
)

_ACCOUNT = (
    _RUN,
    _text("account", "the account", required=True),
    _text("currency", "currency of every amount in the row", required=True),
    _SEEN_AT,
    _real("net_liquidation", "net liquidation value; null is unknown", "account currency"),
    _real("cash", "cash; null is unknown", "account currency"),
    _real("buying_power", "buying power; null is unknown", "account currency"),
    _real("excess_liquidity", "excess liquidity; null is unknown", "account currency"),
    _real("initial_margin", "initial margin; null is unknown", "account currency"),
    _real("maintenance_margin", "maintenance margin; null is unknown", "account currency"),
    _real("gross_position_value", "gross value of all positions; null is unknown", "account currency"),
    _real("unrealized", "unrealized profit; null is unknown", "account currency"),
    _real("realized", "realized profit of the day; null is unknown", "account currency"),
    _real("daily", "profit of the day; null is unknown", "account currency"),
)

_EXECUTION = (
    _RUN,
    _moment("recorded", "when this row was written; of several rows with one exec_id the latest counts", required=True),
    _text("exec_id", "IB's execution id, the key", required=True),
    _text("account", "the account that traded", required=True),
    *_CONTRACT,
    _text("side", "BOT or SLD", required=True),
    _real("quantity", "contracts or shares filled, always positive", "contracts", required=True),
    _real("price", "fill price", "currency per share", required=True),
    _moment("at", "when it was filled", required=True),
    _integer("order_id", "order id of the client that placed it", required=True),
    _integer("perm_id", "IB's permanent order id", required=True),
    _integer("client_id", "the client that placed it", required=True),
    _text("order_ref", "intent and attempt; empty for orders of others", required=True),
    _real("commission", "commission; null until IB reports it", "account currency"),
    _real("realized", "realized profit; null until IB reports it", "account currency"),
)

_SYNC_RUN = (
    _integer("number", "counts the rows; the highest is the last", required=True),
    _RUN,
    _moment("began", "when the sync began", required=True),
    _moment("ended", "when its other tables were written", required=True),
    _moment("at", "when the gateway showed the picture; null where the sync has none"),
    _text("outcome", "how the sync ended, in the word of its writer", required=True),
    _text("account", "the account it was for", required=True),
    _integer("positions", "positions written; null where the sync has no picture", "rows"),
    _integer("greeks_known", "greeks that may enter a sum", "rows"),
    _integer("greeks_unknown", "options held whose greeks are unknown", "rows"),
    _integer("executions", "executions added or completed", "rows", required=True),
    _text("differences", "what changed since the sync before it, JSON", required=True),
    _text("versions", "table to the Delta version this row stands for, JSON", required=True),
    _integer("carried", "last row of state carried to the lake"),
    _text("note", "anything worth telling", required=True),
)


def _current(name: str, meaning: str, columns: tuple[Column, ...], statistics: tuple[str, ...]) -> TableSchema:
    return TableSchema(name, "current", meaning, columns, statistics)


def _history(name: str, meaning: str, columns: tuple[Column, ...], statistics: tuple[str, ...]) -> TableSchema:
    return TableSchema(name, "history", meaning, (*columns, _DATE), statistics)


SYNC_RUNS = "sync_runs"

TABLES: dict[str, TableSchema] = {
    table.name: table
    for table in (
        _current("positions", "what the account holds, as the last sync saw it", _POSITION, ("con_id",)),
        _history("position_history", "what each sync saw held", _POSITION, ("run", "at")),
        _history("greeks_history", "the greeks each sync saw", _GREEKS, ("run", "at")),
        _history("account_history", "the account as each sync saw it", _ACCOUNT, ("run", "at")),
        _history("executions", "every fill, keyed by exec_id", _EXECUTION, ("exec_id", "at")),
        _history(SYNC_RUNS, "each sync, written last: it names the versions that belong together", _SYNC_RUN, ("number", "run", "at")),
    )
}
