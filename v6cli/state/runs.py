"""Runs of checks, jobs and drills, each with the evidence for its outcome."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from v6cli import clock
from v6cli.state.moments import from_text, to_text

if TYPE_CHECKING:
    from v6cli.state.database import State

TABLES = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,       -- as `morning-check`
        began TEXT NOT NULL,      -- UTC
        ended TEXT,               -- UTC; NULL while running, and where it never said
        outcome TEXT,             -- NULL likewise
        exit_code INTEGER,
        evidence TEXT NOT NULL    -- JSON
    ) STRICT
    """,
    "CREATE INDEX runs_kind ON runs (kind, number)",
)

_COLUMNS = "run, kind, began, ended, outcome, exit_code, evidence"


class RecordedRun(Struct, frozen=True):
    """One run. ``outcome`` is None until it ended; ``evidence`` is whatever JSON it left. Times are UTC."""

    run: str
    kind: str
    began: datetime
    ended: datetime | None
    outcome: str | None
    exit_code: int | None
    evidence: Any


def begun(state: State, run: str, kind: str) -> None:
    """A run begins. Raises CannotWrite."""
    state.write("INSERT INTO runs (run, kind, began, evidence) VALUES (?, ?, ?, 'null')", (run, kind, to_text(clock.now())))


def ended(state: State, run: str, outcome: str, exit_code: int, evidence: object = None) -> None:
    """A run has ended; ``evidence`` is anything msgspec can write as JSON. Raises CannotWrite."""
    state.write(
        "UPDATE runs SET ended = ?, outcome = ?, exit_code = ?, evidence = ? WHERE run = ?",
        (to_text(clock.now()), outcome, exit_code, msgspec.json.encode(evidence).decode(), run),
    )


def last(state: State, kind: str) -> RecordedRun | None:
    """The newest run of its kind, ended or not; None where there was none."""
    found = recent(state, kind, 1)
    return found[0] if found else None


def recent(state: State, kind: str, limit: int = 20) -> list[RecordedRun]:
    """Runs of one kind, the newest first."""
    found = state.rows(f"SELECT {_COLUMNS} FROM runs WHERE kind = ? ORDER BY number DESC LIMIT ?", (kind, limit))  # noqa: S608
    return [_recorded(row) for row in found]


def _recorded(row: Any) -> RecordedRun:
    run, kind, began, ended_at, outcome, exit_code, evidence = row
    return RecordedRun(run, kind, from_text(began), from_text(ended_at), outcome, exit_code, msgspec.json.decode(evidence))
