"""Is a table elsewhere an earlier version of one of this lake? Told by the id that Delta gave it when it was made, and by its history."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

from v6cli.lake.durability import LOG
from v6cli.lake.tables import open_table

_COMMIT = re.compile(r"\d{20}\.json")

Relation = Literal["earlier", "foreign", "parted", "ahead"]


class Lineage(Struct, frozen=True):
    """How a table elsewhere stands to the one here, at versions ``there`` and ``here``.

    ``foreign``: another table. ``parted``: the same once, with another history since commit ``at``. ``ahead``: this lake was set back.
    """

    relation: Relation
    here: int
    there: int
    at: int | None = None


def compare(lake: Path, other: Path, name: str) -> Lineage:
    """How the table in the lake ``other`` stands to that in ``lake``. Raises LakeUnreadable where either does not open, OSError."""
    here, there = open_table(lake, name), open_table(other, name)
    versions = here.version(), there.version()
    if here.metadata().id != there.metadata().id:
        return Lineage("foreign", *versions)
    for commit in sorted(_commits(lake, name) & _commits(other, name)):
        if (lake / name / LOG / commit).read_bytes() != (other / name / LOG / commit).read_bytes():
            return Lineage("parted", *versions, at=int(commit[:20]))
    return Lineage("ahead" if there.version() > here.version() else "earlier", *versions)


def _commits(lake: Path, name: str) -> set[str]:
    return {path.name for path in (lake / name / LOG).iterdir() if _COMMIT.fullmatch(path.name)}
