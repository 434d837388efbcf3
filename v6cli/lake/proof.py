"""Is a table in a folder what it is said to be? For tables that came from elsewhere, whose log is not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from v6cli.lake.errors import LakeUnreadable, first_line
from v6cli.lake.footers import Footers
from v6cli.lake.table_files import Vanished, check_deletion_vectors, check_log, data_files, schema_of
from v6cli.lake.tables import open_table


class Found(Struct, frozen=True):
    """A table as it opens: its version, its schema, its data files by path in its folder with their sizes, its rows."""

    version: int
    schema: dict[str, Any]
    files: list[tuple[str, int]]
    rows: int


def open_and_count(lake: Path, name: str) -> Found:
    """Open the table at its latest version and count its rows at the ends of its files. Raises LakeUnreadable.

    No file outside of the table's folder is opened, whatever its log names, and none whose size is not the log's.
    """
    from deltalake.exceptions import DeltaError

    table = open_table(lake, name)
    try:
        files, said = data_files(table)
        schema, version = schema_of(table), table.version()
    except (DeltaError, OSError, ValueError) as error:
        raise LakeUnreadable(f"the lake's table {name} cannot be read: {first_line(error)}") from error
    check_log(lake / name, version)
    try:
        check_deletion_vectors(table, lake / name)
    except (Vanished, OSError) as error:
        raise LakeUnreadable(f"the log of the lake's table {name} cannot be read: {first_line(error)}") from error
    del table
    footers = Footers()
    counted = sum(footers.rows(f"{lake}/{name}/{path}", size) for path, size in files)
    if said is not None and said != counted:
        raise LakeUnreadable(f"the lake's table {name} has {counted:,} rows in its files, its log says {said:,}")
    return Found(version, schema, files, counted)
