"""A damaged state file is moved aside, whole, and begun anew: in an emergency nothing may depend on what cannot be read."""

from __future__ import annotations

from pathlib import Path

from v6cli.errors import CannotWrite, Unavailable
from v6cli.files import sync_folder
from v6cli.home import Home
from v6cli.state.database import open_read_only, open_state
from v6cli.state.errors import StateCorrupt, StateMissing

PARTS = ("", "-wal", "-shm")


def parts(home: Home) -> list[Path]:
    """The state file and what SQLite keeps beside it, as far as they are there."""
    return [path for part in PARTS if (path := home.state.with_name(home.state.name + part)).exists()]


def damage(home: Home) -> str:
    """What is wrong with the state file; empty where it is whole, or not there. Raises Unavailable where that cannot be told."""
    try:
        with open_read_only(home) as state:
            found = state.row("PRAGMA quick_check(1)")
    except StateMissing:
        return ""
    except StateCorrupt as error:
        return error.message
    except CannotWrite as error:
        raise Unavailable(error.message) from error
    return "" if found == ("ok",) else f"the state file {home.state} is damaged: {found[0] if found else 'it answers nothing'}"


def begin_anew(home: Home, stamp: str) -> list[Path]:
    """Move the state file aside with its -wal and -shm, and make a new one; where the old ones are now.

    No process may have it open. The file itself goes last: until then it is found damaged, and the next attempt moves the rest.
    Raises CannotWrite.
    """
    moved = []
    try:
        for path in reversed(parts(home)):
            aside = path.with_name(f"{home.state.name}.damaged-{stamp}{path.name.removeprefix(home.state.name)}")
            path.rename(aside)
            moved.append(aside)
        sync_folder(home.state.parent)
    except OSError as error:
        raise CannotWrite(f"the damaged state file {home.state} cannot be moved aside: {error.strerror}") from error
    open_state(home).close()
    return moved


def said(moved: list[Path]) -> str:
    """Where the damaged file is now, for the end of a sentence."""
    return f"it lies in {moved[-1].name} beside a new one, which knows neither positions nor orders of before"
