"""Results as text: rich for a terminal, tabulate for markdown, a few lines of our own for plain, JSON and CSV."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from v6cli import clock
from v6cli.results import Column, Group, Record, Result, Table, as_table, cells, to_json, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment
    from rich.table import Table as RichTable

LEAST_OF_A_LONG_CELL = 24  # columns that a cell which wraps can count on before others are left out for it

STATUS_STYLES = {
    "ok": "green",
    "healthy": "green",
    "running": "green",
    "active": "green",
    "model": "green",
    "degraded": "yellow",
    "warning": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "near": "yellow",
    "cut": "yellow",
    "unhealthy": "bold red",
    "critical": "bold red",
    "failed": "bold red",
    "over": "bold red",
    "halted": "bold red",
    "unknown": "bold magenta",
    "missing": "bold magenta",
    "stale": "bold magenta",
    "stopped": "dim",
}


def draw(result: Result, format: str, *, color: bool, width: int, to: TextIO | None = None) -> None:
    """Write ``result`` to stdout (or ``to``)."""
    stream = to or sys.stdout
    if format == "json":
        _draw_json(result, stream)
    elif format == "csv":
        _draw_csv(result, stream)
    elif format == "markdown":
        _draw_markdown(result, stream)
    elif format == "plain":
        _draw_plain(result, stream)
    else:
        _draw_rich(result, stream, color=color, width=width)


def _draw_json(result: Result, stream: TextIO) -> None:
    import msgspec

    stream.write(msgspec.json.format(msgspec.json.encode(to_json(result)), indent=2).decode() + "\n")


def _draw_csv(result: Result, stream: TextIO) -> None:
    import csv

    table = _raw_table(result)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([["" if value is None else _raw(value) for value in row] for row in table.rows])


def _raw_table(result: Result) -> Table:
    if isinstance(result, Table):
        return result
    return Table(result.schema, result.title, (Column("name"), Column("value")), [(column.name, value) for column, value in result.items])


def _raw(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _draw_markdown(result: Result, stream: TextIO) -> None:
    from tabulate import tabulate

    table = _shown(result)
    rows = list(zip(*cells(_rows_with_totals(table), table.columns), strict=True))
    align = ["right" if column.right_aligned else "left" for column in table.columns]
    stream.write(f"### {_heading(table)}\n\n")
    if rows:
        stream.write(
            tabulate(rows, [column.heading for column in table.columns], tablefmt="github", disable_numparse=True, colalign=align) + "\n"
        )
    else:
        stream.write(table.empty + "\n")
    stream.writelines(f"\n{note}\n" for note in table.notes)


def _draw_plain(result: Result, stream: TextIO) -> None:
    table = _shown(result)
    lines = [_heading(table)]
    if table.rows:
        columns = cells(_rows_with_totals(table), table.columns)
        for column, texts in zip(table.columns, columns, strict=True):
            texts.insert(0, column.heading)
        widths = [max(map(len, texts)) for texts in columns]
        line = "  ".join([f"%{'' if column.right_aligned else '-'}{width}s" for column, width in zip(table.columns, widths, strict=True)])
        lines.extend([(line % row).rstrip() for row in zip(*columns, strict=True)])
    else:
        lines.append(table.empty)
    lines += table.notes
    stream.write("\n".join(lines) + "\n")


def _rows_with_totals(table: Table) -> list[tuple[Any, ...]]:
    return [*table.rows, table.totals] if table.totals else table.rows


def _heading(table: Table) -> str:
    parts = [table.title]
    if table.as_of:
        parts.append(f"as of {clock.show(table.as_of)}")
    if table.verdict:
        parts.append(table.verdict)
    return " · ".join(parts)


def _shown(result: Result) -> Table:
    """A table to be read by people: its words command no terminal. Those of its cells and groups see to that as they are drawn."""
    import msgspec

    table = as_table(result) if isinstance(result, Record) else result
    return msgspec.structs.replace(
        table,
        title=visible(table.title),
        verdict=visible(table.verdict),
        empty=visible_lines(table.empty),
        notes=[visible_lines(note) for note in table.notes],
    )


def _draw_rich(result: Result, stream: TextIO, *, color: bool, width: int) -> None:
    from rich.console import Console
    from rich.text import Text

    table = _shown(result)
    terminal = stream.isatty()
    console = Console(
        file=stream,
        no_color=not color,
        force_terminal=terminal,
        color_system="auto" if terminal else None,
        width=width,
        highlight=False,
        emoji=False,
    )
    heading = Text(table.title, style="bold")
    if table.as_of:
        heading.append(f"  as of {clock.show(table.as_of)}", style="dim")
    if table.verdict:
        heading.append(f"  {table.verdict}", style=STATUS_STYLES.get(table.verdict.lower(), ""))
    console.print(heading)
    if table.rows:
        fitting, hidden = _fit(table, width)
        if fitting.groups:
            _print_grouped(console, fitting, width)
        else:
            console.print(_rich_table(fitting, width))
        if hidden:
            console.print(f"not shown at {width} columns: {', '.join(hidden)} (widen the terminal, or -o plain)", style="dim")
    else:
        console.print(table.empty)
    for note in table.notes:
        console.print(note, style="dim", markup=False)


def _fit(table: Table, width: int) -> tuple[Table, list[str]]:
    """Leave out the columns of the highest rank until the rest fits; a column that wraps can take any width."""
    columns = cells([*_rows_with_totals(table), *(group.subtotal for group in table.groups if group.subtotal)], table.columns)
    natural = [_natural(column, texts) for column, texts in zip(table.columns, columns, strict=True)]
    shown = list(range(len(table.columns)))
    while sum(natural[i] for i in shown) + len(shown) - 1 > width:
        index = max(shown, key=lambda i: (table.columns[i].rank, i))
        if table.columns[index].rank == 0:
            break
        shown.remove(index)
    hidden = [column.heading for i, column in enumerate(table.columns) if i not in shown]
    return (_only(table, shown), hidden) if hidden else (table, hidden)


def _natural(column: Column, texts: list[str]) -> int:
    width = max(len(column.heading), *map(len, texts))
    return min(LEAST_OF_A_LONG_CELL, width) if column.wraps else width


def _widths(columns: Sequence[Column], texts: Sequence[list[str]], width: int) -> list[int | None]:
    """How wide each column that wraps may be, None for one that takes what it needs.

    The widest give way first, but none becomes narrower than its longest word: shared out by length alone, a column of few long words
    would break inside them while its neighbour has room. A word longer than any column can count on, such as a path, is broken.
    """
    whole = [max(len(column.heading), *map(len, cells)) for column, cells in zip(columns, texts, strict=True)]
    wrapping = [i for i, column in enumerate(columns) if column.wraps]
    room = width - (len(columns) - 1) - sum(whole[i] for i in range(len(columns)) if i not in wrapping)
    least = {i: max(map(len, _words(columns[i], texts[i])), default=1) for i in wrapping}
    if sum(whole[i] for i in wrapping) <= room or sum(least.values()) > room:
        return [None] * len(columns)
    shares = {i: whole[i] for i in wrapping}
    while sum(shares.values()) > room:
        widest = max((i for i in wrapping if shares[i] > least[i]), key=lambda i: shares[i])
        shares[widest] -= 1
    return [shares.get(i) for i in range(len(columns))]


def _words(column: Column, texts: list[str]) -> Iterator[str]:
    for text in (column.heading, *texts):
        yield from (word for word in text.split() if len(word) <= LEAST_OF_A_LONG_CELL)


def _only(table: Table, shown: list[int]) -> Table:
    import msgspec

    def pick(row: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return tuple(row[i] for i in shown) if row else None

    return msgspec.structs.replace(
        table,
        columns=pick(table.columns) or (),
        rows=[row for row in map(pick, table.rows) if row],
        groups=[msgspec.structs.replace(group, subtotal=pick(group.subtotal)) for group in table.groups],
        totals=pick(table.totals),
    )


def _rich_table(table: Table, width: int) -> RichTable:
    from rich.table import Table as RichTable

    rows = list(_drawn_rows(table))
    texts = cells([row for row, _ in rows], table.columns)
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold underline")
    for column, share in zip(table.columns, _widths(table.columns, texts, width), strict=True):
        drawn.add_column(
            column.heading,
            justify="right" if column.right_aligned else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            width=share,
        )
    columns = [_styled([row[number] for row, _ in rows], texts[number], column) for number, column in enumerate(table.columns)]
    for number, (_, style) in enumerate(rows):
        drawn.add_row(*[column[number] for column in columns], style=style)
    return drawn


def _drawn_rows(table: Table) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Rows in the order they are drawn, each with its style; a group begins with a row for its title and subtotal."""
    blank = ("",) * len(table.columns)
    groups = _groups_by_row(table)
    for index, row in enumerate(table.rows):
        for group in groups.get(index, ()):
            yield ("", *(group.subtotal or blank)[1:]), "bold" if group.depth == 0 else ""
        yield row, ""
    if table.totals:
        yield table.totals, "bold"


def _groups_by_row(table: Table) -> dict[int, list[Group]]:
    groups: dict[int, list[Group]] = {}
    for group in table.groups:
        groups.setdefault(group.start, []).append(group)
    return groups


def _print_grouped(console: Console, table: Table, width: int) -> None:
    """A table whose groups have titles: they are laid over the blank cells that begin their row, so that no column has to be
    as wide as a title.
    """
    from rich.segment import Segment

    lines = console.render_lines(_rich_table(table, width), pad=False)
    titles: list[Group | None] = [None]
    groups = _groups_by_row(table)
    for index in range(len(table.rows)):
        titles += [*groups.get(index, ()), None]
    if table.totals:
        titles.append(None)
    drawn: list[Segment] = []
    for line, group in zip(lines, titles, strict=True):
        drawn += line if group is None else _titled(console, line, group)
        drawn.append(Segment.line())
    console.print(_Drawn(drawn), end="")


def _titled(console: Console, line: list[Segment], group: Group) -> list[Segment]:
    """The line with the group's title where it was blank; a title that finds no room before its subtotal is cut."""
    from rich.segment import Segment
    from rich.text import Text

    text = "".join(segment.text for segment in line)
    room = len(text) - len(text.lstrip())
    title = Text("  " * group.depth + visible(group.title), style="bold cyan" if group.depth == 0 else "cyan", no_wrap=True)
    title.truncate(max(room - 1, 1) if group.subtotal else console.width, overflow="ellipsis")
    rest = list(Segment.divide(line, [min(title.cell_len, room), Segment.get_line_length(line)]))[1:]
    return [*title.render(console), *(rest[0] if rest else [])]


class _Drawn:
    """Segments as rich prints them."""

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments

    def __rich_console__(self, _console: Console, _options: object) -> list[Segment]:
        return self._segments


def _styled(values: list[Any], texts: list[str], column: Column) -> list[Any]:
    """The cells of one column: text, with a style where the value calls for one."""
    from rich.markup import escape
    from rich.text import Text

    styles = [_style(value, text, column) for value, text in zip(values, texts, strict=True)]
    return [Text(text, style=style) if style else escape(text) if "[" in text else text for text, style in zip(texts, styles, strict=True)]


def _style(value: Any, text: str, column: Column) -> str:
    if text == "?":
        return "bold magenta"
    if column.sign and isinstance(value, int | float):
        return "red" if value < 0 else "green" if value > 0 else ""
    if column.kind == "status":
        return STATUS_STYLES.get(text.lower(), "")
    return ""
