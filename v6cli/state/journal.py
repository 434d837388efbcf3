"""The journal: every act that changes something, before it begins and after it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadInput, CannotWrite
from v6cli.files import append_durably, legible
from v6cli.home import Home
from v6cli.state.moments import from_text, to_text

if TYPE_CHECKING:
    from v6cli.state.database import State

Outcome = Literal["done", "failed", "refused", "interrupted", "unknown"]

TABLES = (
    """
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        began TEXT NOT NULL,      -- UTC
        ended TEXT,               -- UTC; NULL while running, and where it never said
        user TEXT NOT NULL,
        host TEXT NOT NULL,
        command TEXT NOT NULL,    -- as `emergency shutdown`
        argv TEXT NOT NULL,       -- JSON array, secrets masked
        steps TEXT NOT NULL,      -- JSON array of {at, text}
        outcome TEXT CHECK (outcome IN ('done', 'failed', 'refused', 'interrupted', 'unknown')),  -- NULL while running
        exit_code INTEGER,
        error TEXT,
        duration REAL             -- seconds
    ) STRICT
    """,
    "CREATE INDEX journal_began ON journal (began)",
    "CREATE INDEX journal_running ON journal (run) WHERE outcome IS NULL",
)

_COLUMNS = "id, run, began, ended, user, host, command, argv, steps, outcome, exit_code, error, duration"


class Step(Struct, frozen=True):
    """Something an act did, and when (UTC)."""

    at: datetime
    text: str


class Entry(Struct, frozen=True):
    """One act. ``outcome`` is None while it runs; times are UTC, ``duration`` is in seconds."""

    id: int
    run: str
    began: datetime
    ended: datetime | None
    user: str
    host: str
    command: str
    argv: list[str]
    steps: list[Step]
    outcome: Outcome | None
    exit_code: int | None
    error: str | None
    duration: float | None


def begin(state: State, run_id: str, command: str, argv: Sequence[str]) -> Entry:
    """An act is about to begin. ``argv`` must carry no secret. Raises CannotWrite: then the act must not begin."""
    found = state.row(
        f"INSERT INTO journal (run, began, user, host, command, argv, steps) VALUES (?, ?, ?, ?, ?, ?, '[]') RETURNING {_COLUMNS}",  # noqa: S608
        (run_id, to_text(clock.now()), operator(), os.uname().nodename, command, msgspec.json.encode(list(argv)).decode()),
    )
    return _entry(found)


def step(state: State, entry: Entry, text: str) -> None:
    """The act did something worth keeping. Raises CannotWrite."""
    did = msgspec.json.encode({"at": to_text(clock.now()), "text": text}).decode()
    state.write("UPDATE journal SET steps = json_insert(steps, '$[#]', json(?)) WHERE id = ?", (did, entry.id))


def end(state: State, entry: Entry, outcome: Outcome, exit_code: int, error: str | None = None) -> None:
    """The act has ended. Raises CannotWrite."""
    now = clock.now()
    duration = (now - entry.began).total_seconds()
    state.write(
        "UPDATE journal SET ended = ?, outcome = ?, exit_code = ?, error = ?, duration = ? WHERE id = ?",
        (to_text(now), outcome, exit_code, error, duration, entry.id),
    )


def note_beside(home: Home, argv: Sequence[str]) -> str:
    """Note an act in a file beside a journal that cannot be written; where it is noted, or that it is not."""
    line = {"at": to_text(clock.now()), "user": operator(), "host": os.uname().nodename, "argv": list(argv)}
    try:
        append_durably(home.spare_journal, msgspec.json.encode(line))
    except CannotWrite as error:
        return f"nor is it noted beside it: {error.message}"
    return f"noted in {home.spare_journal}"


def mark_interrupted(state: State, lives: Callable[[str], bool]) -> list[Entry]:
    """Mark the acts whose run has ended without saying so; those marked. When they ended stays unknown. Raises CannotWrite."""
    running = state.rows("SELECT DISTINCT run FROM journal WHERE outcome IS NULL ORDER BY run")
    marked: list[Entry] = []
    for (run,) in running:
        if not lives(run):
            found = state.rows(f"UPDATE journal SET outcome = 'interrupted' WHERE run = ? AND outcome IS NULL RETURNING {_COLUMNS}", (run,))  # noqa: S608
            marked += [_entry(row) for row in found]
    return sorted(marked, key=lambda entry: entry.id)


def entries(
    state: State, since: datetime | None = None, command: str | None = None, *, failed: bool = False, limit: int = 50
) -> list[Entry]:
    """Acts, the newest first. ``command`` matches its leading words; ``failed`` leaves those that did not end as done."""
    where: list[str] = ["1"]
    parameters: list[str | int] = []
    if since is not None:
        where.append("began >= ?")
        parameters.append(to_text(since))
    if command is not None:
        where.append("(command = ? OR substr(command, 1, ?) = ?)")
        parameters += [command, len(command) + 1, command + " "]
    if failed:
        where.append("outcome IS NOT 'done'")
    found = state.rows(f"SELECT {_COLUMNS} FROM journal WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*parameters, limit))  # noqa: S608
    return [_entry(row) for row in found]


def entry(state: State, identity: int) -> Entry:
    """One act by its id. Raises BadInput."""
    found = state.row(f"SELECT {_COLUMNS} FROM journal WHERE id = ?", (identity,))  # noqa: S608
    if found is None:
        raise BadInput(f"the journal has no entry {identity}", next_step="use an id that the journal lists")
    return _entry(found)


def _entry(row: Any) -> Entry:
    identity, run, began, ended, user, host, command, argv, steps, *rest = row
    return Entry(
        identity,
        run,
        from_text(began),
        from_text(ended),
        user,
        host,
        command,
        msgspec.json.decode(argv, type=list[str]),
        msgspec.json.decode(steps, type=list[Step]),
        *rest,
    )


def operator() -> str:
    """The user this process acts for: whoever called sudo, else the owner of the process."""
    import pwd

    if called := os.environ.get("SUDO_USER"):
        return legible(called)
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
