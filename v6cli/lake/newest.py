"""How new the rows of a table are, from its log alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from v6cli.lake.errors import LakeUnreadable, first_line
from v6cli.lake.tables import open_table

MOMENTS = ("at", "ended", "began")  # columns that say when a row was true, the best first


def newest(lake: Path, name: str) -> datetime | None:
    """The latest moment (UTC) that the log of a table knows of its rows; None where it knows none. Raises LakeUnreadable."""
    from deltalake.exceptions import DeltaError

    table = open_table(lake, name)
    try:
        actions = table.get_add_actions(flatten=True)
        known = set(actions.schema.names)
        column = next((f"max.{moment}" for moment in MOMENTS if f"max.{moment}" in known), None)
        values = list(actions.column(column).to_pylist()) if column else []
    except (DeltaError, OSError, ValueError) as error:
        raise LakeUnreadable(f"the lake's table {name} cannot be read: {first_line(error)}") from error
    found = [value for value in values if isinstance(value, datetime)]
    return max(value if value.tzinfo else value.replace(tzinfo=UTC) for value in found) if found else None
