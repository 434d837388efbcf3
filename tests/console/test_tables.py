"""Tables as they are drawn: whole outputs, at 80 columns."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from random import Random

import pytest

from v6cli.console.tables import draw
from v6cli.models import Account, Contract, Greeks, GreekSource, Position
from v6cli.portfolio import account, positions
from v6cli.results import Column, Record, Table, cell, cells

AT = datetime(2026, 11, 24, 14, 31, 5, tzinfo=UTC)
TODAY = date(2026, 11, 24)


def option(con_id: int, strike: float, right: str, quantity: float, price: float, unrealized: float) -> Position:
    own = Contract(con_id, "SPY", "OPT", date(2026, 12, 18), strike, right, 100.0, trading_class="SPY")
    return Position("DU1", own, quantity, 100.0, price, price * quantity * 100, unrealized)


BOOK = [
    option(1, 643, "P", -2, 1.6, 302.0),
    option(2, 633, "P", 2, 0.94, -221.5),
    option(3, 706, "C", -2, 0.61, 351.0),
    option(4, 716, "C", 2, 0.18, -190.0),
    Position("DU1", Contract(9, "IWM", "STK"), 100, 241.0, 244.17, 24417.0, 313.0),
]
GREEKS = {
    one.contract.con_id: Greeks(one.contract.con_id, GreekSource.MODEL, AT, 0.1 * n, 0.01, -0.05, 0.2) for n, one in enumerate(BOOK[:4], 1)
}


def drawn(result, format="table", width=80) -> str:
    stream = io.StringIO()
    draw(result, format, color=True, width=width, to=stream)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def book(greeks=GREEKS, **choice) -> Table:
    return positions.table(BOOK, greeks, TODAY, AT, **choice)


def test_positions_at_80_columns() -> None:
    assert (
        drawn(book())
        == """\
positions  as of 2026-11-24 09:31:05 EST
symbol expiry  strike R qty  price  value  P&L DTE delta gamma theta  vega
IWM                                24,417  313     100.0  0.00  0.00  0.00
  stock
IWM                     100 244.17 24,417  313     100.0  0.00  0.00  0.00
SPY                                  -218  242      40.0  0.00  0.00  0.00
  iron condor 18Dec26                -218  242      40.0  0.00  0.00  0.00
SPY    18Dec26    643 P  -2   1.60   -320  302  24 -20.0 -2.00  10.0 -40.0
SPY    18Dec26    633 P   2   0.94    188 -222  24  40.0  2.00 -10.0  40.0
SPY    18Dec26    706 C  -2   0.61   -122  351  24 -60.0 -2.00  10.0 -40.0
SPY    18Dec26    716 C   2   0.18     36 -190  24  80.0  2.00 -10.0  40.0
total                              24,199  554     140.0  0.00  0.00  0.00
not shown at 80 columns: strategy, greeks, age (widen the terminal, or -o plain)"""
    )


def test_an_unknown_greek_is_a_question_mark_in_every_sum_above_it() -> None:
    shown = drawn(book({con_id: one for con_id, one in GREEKS.items() if con_id != 3}, symbols=["SPY"]))
    assert (
        shown
        == """\
positions  as of 2026-11-24 09:31:05 EST
symbol expiry  strike R qty price value  P&L DTE delta gamma theta  vega greeks
SPY                                -218  242         ?     ?     ?     ?
  iron condor 18Dec26              -218  242         ?     ?     ?     ?
SPY    18Dec26    643 P  -2  1.60  -320  302  24 -20.0 -2.00  10.0 -40.0 model
SPY    18Dec26    633 P   2  0.94   188 -222  24  40.0  2.00 -10.0  40.0 model
SPY    18Dec26    706 C  -2  0.61  -122  351  24     ?     ?     ?     ? missing
SPY    18Dec26    716 C   2  0.18    36 -190  24  80.0  2.00 -10.0  40.0 model
total                              -218  242         ?     ?     ?     ?
not shown at 80 columns: strategy, age (widen the terminal, or -o plain)
1 of 4 positions have no greeks: sums with them are unknown (?)"""
    )


def test_sorting_takes_the_groups_away_and_puts_the_unknown_last() -> None:
    table = book({con_id: one for con_id, one in GREEKS.items() if con_id != 3}, sort="delta")
    assert table.groups == []
    deltas = [row[9] for row in table.rows]
    assert deltas == [pytest.approx(-20), pytest.approx(40), pytest.approx(80), 100.0, None]


def test_plain_and_csv_have_every_column_and_every_row() -> None:
    plain = drawn(book(), "plain")
    assert len(plain.splitlines()) == 1 + 1 + 5 + 1
    assert plain.splitlines()[1].split()[-2:] == ["greeks", "age"]
    rows = list(csv.DictReader(io.StringIO(drawn(book(), "csv"))))
    assert len(rows) == 5
    assert rows[1]["strike"] == "643" and rows[1]["expiry"] == "2026-12-18" and rows[0]["strike"] == ""


def test_json_names_schema_units_and_utc() -> None:
    answer = json.loads(drawn(book(), "json"))
    assert answer["schema"] == "v6.positions/1"
    assert answer["as_of"] == "2026-11-24T14:31:05+00:00"
    assert answer["units"]["delta"] == "share equivalents"
    assert answer["rows"][1]["delta"] == pytest.approx(-20.0)
    assert answer["totals"] == {
        "value": pytest.approx(24199),
        "pnl": pytest.approx(554.5),
        "delta": pytest.approx(140),
        "gamma": pytest.approx(0),
        "theta": pytest.approx(0),
        "vega": pytest.approx(0),
    }


def test_unknown_is_null_in_json() -> None:
    answer = json.loads(drawn(book({}), "json"))
    assert answer["rows"][1]["delta"] is None
    assert answer["totals"]["delta"] is None


def test_markdown_is_a_table() -> None:
    lines = drawn(book(), "markdown").splitlines()
    assert lines[0].startswith("### positions")
    assert lines[2].startswith("| symbol")
    assert set(lines[3]) <= set("|-: ")


def test_an_empty_table_says_so() -> None:
    assert drawn(positions.table([], {}, TODAY, AT)) == "positions  as of 2026-11-24 09:31:05 EST\nno open positions"


def test_a_symbol_that_is_not_held_is_named_with_those_that_are() -> None:
    none = drawn(positions.table(BOOK, GREEKS, TODAY, AT, symbols=["QQQ", "SPX"]), "plain")
    assert none.endswith("none of these is held\nno position in QQQ, SPX; held: IWM, SPY")
    some = json.loads(drawn(positions.table(BOOK, GREEKS, TODAY, AT, symbols=["SPY", "QQQ"]), "json"))
    assert {row["symbol"] for row in some["rows"]} == {"SPY"} and some["notes"] == ["no position in QQQ; held: IWM, SPY"]
    assert drawn(positions.table([], {}, TODAY, AT, symbols=["SPY"]), "plain").endswith("no open positions\nno position in SPY; held: none")


def test_a_record_at_80_columns() -> None:
    known = Account("DU1", "USD", AT, net_liquidation=288721.4, cash=250000.0, unrealized=-1454.6)
    assert (
        drawn(account.record(known))
        == """\
account DU1 in USD  as of 2026-11-24 09:31:05 EST
name                 value
net liquidation      288,721
cash                 250,000
buying power         ?
excess liquidity     ?
initial margin       ?
maintenance margin   ?
gross position value ?
unrealized P&L       -1,455
realized P&L         ?
daily P&L            ?"""
    )


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "money", "?"),
        (None, "text", ""),
        (None, "time", "?"),
        (-0.4, "money", "0"),
        (-0.001, "price", "0.00"),
        (-0.0001, "percent", "0.0%"),
        (-0.0001, "greek", "0.00"),
        (-0.0123, "greek", "-0.012"),
        (float("nan"), "greek", "nan"),
        (0.0, "greek", "0.00"),
        (1234567.8, "money", "1,234,568"),
        (0.4137, "quantity", "0.4137"),
        (-2.0, "quantity", "-2"),
        (7135.0, "strike", "7135"),
        (0.289, "percent", "28.9%"),
        (3725, "seconds", "1h 02m"),
        ("", "expiry", ""),
    ],
)
def test_a_cell_never_shows_an_unknown_as_zero(value, kind: str, text: str) -> None:
    assert cell(value, Column("x", kind=kind)) == text


def test_square_brackets_are_shown_and_not_taken_for_markup() -> None:
    table = Table("v6.x/1", "x", (Column("text", wraps=True),), [("[red]not markup[/red] [0m",)])
    assert "[red]not markup[/red]" in drawn(table)
    assert "[red]" in drawn(Record("v6.x/1", "x", [(Column("a"), "[red]")]))


WORDS = ("a", "trading", "unacknowledged", "order", "is", "127.0.0.1:4102", "of")
LONGER_WORDS = ("v6", "restart", "gateway.reset_time_zone", "v6-position-sync", "completed-orders,")


def phrase(random: Random, words: Sequence[str], most: int) -> str:
    return " ".join(random.choice(words) for _ in range(random.randrange(1, most)))


@pytest.mark.seeds(100, 2000)
def test_a_cell_breaks_between_words_where_there_is_room_for_each(seed: int) -> None:
    random = Random(seed)
    texts = (Column("subject", wraps=True), Column("finding", wraps=True), Column("next", title="next step", wraps=True))
    columns = (Column("step"), Column("status", kind="status"), *texts)
    rows = [
        ("risk limits", "unhealthy", phrase(random, WORDS, 9), phrase(random, WORDS, 30), phrase(random, LONGER_WORDS, 9))
        for _ in range(random.randrange(1, 4))
    ]
    shown = drawn(Table("v6.x/1", "x", columns, rows))
    assert max(map(len, shown.splitlines())) <= 80
    left = Counter(shown.split())
    left.subtract(word for row in rows for cell in row for word in cell.split())
    assert min(left.values()) >= 0, shown


def test_a_word_that_no_column_can_hold_is_broken_and_whole() -> None:
    path = "/opt/v6-trading/" + "x" * 100
    columns = (Column("finding", wraps=True), Column("next", wraps=True))
    shown = drawn(Table("v6.x/1", "x", columns, [(f"cannot write {path}: no space is left", "v6 services restart v6-position-sync")]))
    assert max(map(len, shown.splitlines())) <= 80 and "v6-position-sync" in shown
    assert shown.count("x") > 100


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_width_breaks_a_table(width: int) -> None:
    for line in drawn(book(), width=width).splitlines():
        if not line.startswith(("not shown", "positions")):
            assert len(line) <= max(width, 60), line


@pytest.mark.parametrize("kind", ["text", "price", "money", "percent", "greek", "number", "quantity", "strike", "seconds"])
def test_a_column_of_cells_is_each_cell(kind: str) -> None:
    column = Column("x", kind=kind)
    values = [1, 1.0, -0.0, 0.0, None, "", 1, 1234.5, -0.001, 0.0, 3 if kind == "seconds" else float("nan"), None]
    assert cells([(value, value) for value in values], (column, column)) == [[cell(value, column) for value in values]] * 2
    assert cells([], (column, column)) == [[], []]
