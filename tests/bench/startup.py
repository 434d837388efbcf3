"""How long v6 takes to answer: help and version, a thousand positions as plain text and as a table on a terminal.

The yardstick of the table draws the same rows with rich and nothing else: they lie ready as strings in a compiled module, with
the columns, styles and console that v6 uses. What v6 reads, groups, sums and formats is v6's own cost.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import books
import measuring
from measuring import V6, Bound, program

from v6cli import clock
from v6cli.console import tables
from v6cli.home import Home
from v6cli.portfolio import positions
from v6cli.results import cell
from v6cli.state import mirror
from v6cli.state.database import open_read_only

SHORT_TURNS = 25
LONG_TURNS = 9

RICH = """
import sys
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rows import COLUMNS, ROWS
console = Console(file=sys.stdout, width=WIDTH, highlight=False, emoji=False)
table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold underline")
for heading, justify in COLUMNS:
    table.add_column(heading, justify=justify, no_wrap=True)
for cells, style in ROWS:
    table.add_row(*[Text(text, style=own) if own else text for text, own in cells], style=style)
console.print(table)
"""


def measure() -> list[Bound]:
    """Every bound of this module, measured."""
    click = [sys.executable, "-c", "import click"]
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir="/tmp") as name:
        home = books.home(Path(name) / "home")
        yardstick = rich_alone(home, Path(name))
        short = measuring.in_turns(
            SHORT_TURNS,
            {
                "click": program(click),
                "help": program([V6, "--help"]),
                "version": program([V6, "--version"]),
                "plain": program([V6, "positions", "-o", "plain"], cwd=home.root),
            },
        )
        long = measuring.in_turns(
            LONG_TURNS,
            {
                "rich": program([sys.executable, str(yardstick)], terminal=True),
                "table": program([V6, "positions", "-o", "table"], cwd=home.root, terminal=True),
            },
        )
    return [
        Bound("v6 --help", "import click", 1.3, short["help"], short["click"]),
        Bound("v6 --version", "import click", 1.3, short["version"], short["click"]),
        Bound("v6 positions -o plain, 1,000", "import click", 2.0, short["plain"], short["click"]),
        Bound("v6 positions -o table, 1,000", "rich alone, same rows", 1.15, long["table"], long["rich"]),
    ]


def rich_alone(home: Home, folder: Path) -> Path:
    """The yardstick of the table: a program in ``folder`` that draws the rows which v6 draws of this home."""
    with open_read_only(home) as state:
        seen = mirror.read(state)
    assert seen is not None
    table = positions.table(seen.positions, seen.greeks, clock.today(), seen.at)
    columns = [(column.heading, "right" if column.right_aligned else "left") for column in table.columns]
    rows = []
    for row, style in tables._drawn_rows(table):
        texts = [cell(value, column) for value, column in zip(row, table.columns, strict=True)]
        styles = [tables._style(value, text, column) for value, text, column in zip(row, texts, table.columns, strict=True)]
        rows.append((list(zip(texts, styles, strict=True)), style))
    assert len(rows) > 1000
    (folder / "rows.py").write_text(f"COLUMNS = {columns!r}\nROWS = {rows!r}\n")
    script = folder / "rich_alone.py"
    script.write_text(RICH.replace("WIDTH", str(measuring.COLUMNS)))
    return script


if __name__ == "__main__":
    sys.exit(measuring.judged(measure()))
