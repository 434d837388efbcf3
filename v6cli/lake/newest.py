"""How new the rows of a table are, from its log alone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from v6cli.lake.errors import LakeUnreadable, first_line
from v6cli.lake.tables import open_table

MOMENTS = ("at", "ended", "began")


def newest(lake: Path, name: str) -> datetime | date | None:
    """The latest moment (UTC), or else day, that the log of a table knows of its rows; None where it knows none. Raises LakeUnreadable."""
    from deltalake.exceptions import DeltaError

    table = open_table(lake, name)
    try:
        actions = table.get_add_actions(flatten=True)
        known = set(actions.schema.names)
        for column in (*(f"max.{moment}" for moment in MOMENTS), "partition.date"):
            if column in known:
                found = [value for value in actions.column(column).to_pylist() if value is not None]
                return _with_zone(max(found)) if found else None
    except (DeltaError, OSError, ValueError) as error:
        raise LakeUnreadable(f"the lake's table {name} cannot be read: {first_line(error)}") from error
    return None


def _with_zone(value: datetime | date) -> datetime | date:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
