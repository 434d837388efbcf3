"""Times as the state file keeps them: UTC text of one width, so that SQL compares and sorts them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


def to_text(moment: datetime) -> str:
    """A moment as stored: ``2026-11-24T14:31:05.000000+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


@overload
def from_text(stored: str) -> datetime: ...
@overload
def from_text(stored: None) -> None: ...
def from_text(stored: str | None) -> datetime | None:
    """The moment in a stored text, None where none was stored."""
    return None if stored is None else datetime.fromisoformat(stored)
