"""The trading state: ACTIVE, REDUCING or HALTED.

A folder beside the SQLite file, in which each halt and each reduce-only is a file of its own; that it exists is what counts.
Any halt means HALTED, else any reduce-only means REDUCING. A folder that is missing or unreadable means HALTED: what cannot
be read is not permission to trade.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from v6cli.files import private_folder, sync_folder
from v6cli.home import Home


class TradingState(StrEnum):
    """What may leave for the gateway: anything, closing orders only, or cancels only."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Latch(Struct, frozen=True):
    """The state with why it holds and since when (UTC)."""

    state: TradingState
    reason: str = ""
    since: datetime | None = None


def make_open(home: Home) -> None:
    """Make the latch of a new home, with nothing halted. Raises CannotWrite."""
    private_folder(home.latch)
    sync_folder(home.latch.parent)


def read(home: Home) -> Latch:
    """The trading state as it stands."""
    try:
        files = sorted(home.latch.iterdir())
    except OSError as error:
        return Latch(TradingState.HALTED, f"the latch {home.latch} cannot be read: {error.strerror}")
    for prefix, state in (("halt", TradingState.HALTED), ("reduce", TradingState.REDUCING)):
        for path in files:
            if path.name.startswith(prefix):
                return Latch(state, _reason(path), _since(path))
    return Latch(TradingState.ACTIVE)


def _reason(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip() or "no reason recorded"
    except OSError:
        return "no reason readable"


def _since(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
