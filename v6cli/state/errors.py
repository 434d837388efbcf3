"""What can be wrong with the state file.

::

    Unavailable               69
    ├── StateMissing              nothing has been recorded yet
    ├── OtherAccount              what is recorded is of another account than the home's
    └── StateCorrupt              the file is damaged, or no SQLite file

    CannotWrite               74  disk full, read-only, or locked by another process for too long
"""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

from v6cli.errors import CannotWrite, Unavailable, V6Error
from v6cli.home import Home, is_home

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_REFUSED = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
}


class StateMissing(Unavailable):
    """Nothing has been recorded in this home yet."""


class OtherAccount(Unavailable):
    """What is recorded is the book of another account than the one this home is pinned to."""


class StateCorrupt(Unavailable):
    """The state file is damaged, or no SQLite file at all."""


def missing(path: Path) -> StateMissing:
    """There is no state file at ``path``."""
    return StateMissing(f"nothing recorded yet: {path} does not exist", next_step="v6 sync --force")


def other_account(recorded: str, pinned: str) -> OtherAccount:
    """The mirror holds the book of ``recorded``."""
    return OtherAccount(
        f"what is recorded is the book of {recorded}, and this home is pinned to {pinned}: no sync has seen that account",
        next_step="v6 sync --force",
    )


def damaged(path: Path, why: str) -> StateCorrupt:
    """The state file at ``path`` holds what cannot be read."""
    return StateCorrupt(f"the state file {path} is damaged: {why}", next_step=_way_out_of_damage(path))


def translated(error: sqlite3.Error, path: Path, *, writing: bool) -> V6Error | None:
    """The error as v6 says it; None for one that is a bug in v6 (a constraint, a wrong statement)."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code not in _REFUSED:
        return None
    look = f"ls -ld {shlex.quote(str(path))}"
    if writing or code == sqlite3.SQLITE_READONLY:
        # Whose file it is and what lies there says why it does not open; once it is open, the disk and who else has it do.
        step = look if code == sqlite3.SQLITE_CANTOPEN else "free the disk, or see who holds the file"
        return CannotWrite(f"cannot write {path}: {error}", next_step=step)
    return Unavailable(f"cannot read {path}: {error}", next_step=look)


def _way_out_of_damage(path: Path) -> str | None:
    """The line that moves a home's state file aside with what SQLite keeps beside it, once nothing has it open; the next act begins it anew.

    None for a copy of it elsewhere.
    """
    root = path.parents[2] if len(path.parents) > 2 else path.parent
    if Home(root).state != path or not is_home(root):
        return None
    home, state, aside = shlex.quote(str(root)), shlex.quote(str(path)), shlex.quote(str(path.with_name("damaged")))
    return f"v6 --home {home} services stop && mkdir -p {aside} && mv --backup=numbered {state}* {aside}"
