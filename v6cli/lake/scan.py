"""Rows out of a Delta table, by deltalake's own engine.

``to_pandas`` and ``to_pyarrow_table`` are never used: they abort the interpreter at its exit in about one run of five.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from v6cli.lake import rows
from v6cli.lake.arrow import microseconds
from v6cli.lake.errors import LakeUnreadable, first_line
from v6cli.lake.rows import Row, SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS, TABLES

if TYPE_CHECKING:
    from deltalake import DeltaTable


def select(
    table: DeltaTable, name: str, where: str = "", *, columns: Sequence[str] = (), order: str = "", limit: int | None = None
) -> list[Row]:
    """Rows of ``table``, which is the lake's table ``name`` at some version. ``where`` and ``order`` are SQL. Raises LakeUnreadable."""
    from deltalake import QueryBuilder

    wanted = list(columns) or [column.name for column in TABLES[name].columns]
    quoted = ", ".join(f'"{column}"' for column in wanted)
    text = f"select {quoted} from {name}"  # noqa: S608  names are the schema's own, values come as literals made below
    text += f" where {where}" if where else ""
    text += f" order by {order}" if order else ""
    text += f" limit {limit}" if limit is not None else ""
    try:
        found = QueryBuilder().register(name, table).execute(text).read_all()
    except Exception as error:
        raise LakeUnreadable(f"the lake's table {name} cannot be read: {first_line(error)}") from error
    values = [found.column(column).to_pylist() for column in wanted]
    return [dict(zip(wanted, row, strict=True)) for row in zip(*values, strict=True)]


def last_sync_run(table: DeltaTable) -> SyncRunRecord | None:
    """The last row of ``sync_runs``, None where it has none. Reads one file, however many there are. Raises LakeUnreadable."""
    number = _highest_number(table)
    if number is None:
        return None
    found = select(table, SYNC_RUNS, f"number >= {number}", order="number desc", limit=1)
    return rows.sync_run(found[0]) if found else None


def text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def moment(value: datetime) -> str:
    """A moment as an SQL literal."""
    return f"to_timestamp_micros({microseconds(value)})"


def day(value: date) -> str:
    """A day as an SQL literal."""
    return f"date '{value.isoformat()}'"


def _highest_number(table: DeltaTable) -> int | None:
    """The highest ``number`` by the log's statistics alone; a file that has none makes every row count."""
    if not table.file_uris():
        return None
    actions = table.get_add_actions(flatten=True)
    if "max.number" not in actions.schema.names:
        return 0
    highest = actions.column("max.number").to_pylist()
    return 0 if None in highest else max(highest)
