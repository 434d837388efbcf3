"""The journal as the operator reads it: one row for each act, or everything about one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from v6cli.results import Column, Record, Table, count
from v6cli.state.journal import Entry

Lives = Callable[[str], bool]

COLUMNS = (
    Column("id", kind="identity"),
    Column("began", kind="time"),
    Column("user", rank=1),
    Column("outcome", kind="status"),
    Column("exit", kind="integer", missing=""),
    Column("duration", kind="seconds", unit="seconds", missing="", rank=2),
    Column("command_line", title="command line", wraps=True),
)


def table(entries: Sequence[Entry], lives: Lives, spare: Path) -> Table:
    """Acts, the newest first."""
    rows = [(one.id, one.began, one.user, outcome(one, lives), one.exit_code, one.duration, _line(one)) for one in entries]
    return Table("v6.journal/1", "journal", COLUMNS, list(rows), empty="no act that fits", notes=_beside(spare))


def record(entry: Entry, lives: Lives) -> Record:
    """One act with its steps."""
    items = [
        (Column("command_line", title="command line", wraps=True), _line(entry)),
        (Column("began", kind="time"), entry.began),
        (Column("ended", kind="time", missing=""), entry.ended),
        (Column("duration", kind="seconds", unit="seconds", missing=""), entry.duration),
        (Column("user"), f"{entry.user} on {entry.host}"),
        (Column("outcome", kind="status"), outcome(entry, lives)),
        (Column("exit", kind="integer", missing=""), entry.exit_code),
        (Column("error", wraps=True), entry.error or ""),
        *(
            (Column(f"step_{number}", kind="text", wraps=True), f"{step.at:%H:%M:%S} UTC  {step.text}")
            for number, step in enumerate(entry.steps, 1)
        ),
    ]
    return Record("v6.journal-entry/1", f"journal entry {entry.id}", items)


def outcome(entry: Entry, lives: Lives) -> str:
    """How an act ended. One that never said so was interrupted, unless its run goes on."""
    return entry.outcome or ("running" if lives(entry.run) else "interrupted")


def _line(entry: Entry) -> str:
    return "v6 " + shlex.join(entry.argv)


def _beside(spare: Path) -> list[str]:
    try:
        lines = spare.read_bytes().count(b"\n")
    except OSError:
        return []
    return [f"{count(lines, 'act')} beside it, from when the journal could not be written: {spare}"]
