"""Another state file's journal, runs and intents taken into this one, as a restore does: nothing that is known here is lost or reopened.

Rows are the same where their run, or their intent, is the same. What has ended stays so, on whichever side it did; what is open on
both sides stays open; an open intent of another day is UNKNOWN, for no absence at the gateway could prove anything about it any more.
Latch, alerts and the mirror are what is true now: they are never taken from elsewhere.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from msgspec import Struct

from v6cli import clock
from v6cli.state.database import open_in_memory
from v6cli.state.moments import from_text

if TYPE_CHECKING:
    from v6cli.state.database import State

NOTE = "restored from a backup of another day: nobody can say any more what became of it"

_JOURNAL = "run, began, ended, user, host, command, argv, steps, outcome, exit_code, error, duration"
_RUNS = "run, kind, began, ended, outcome, exit_code, evidence"
_INTENTS = "intent, run, client_id, purpose, closing, account, wanted, minted, state, filled, ended, code, note"
_ATTEMPTS = "order_ref, intent, order_id, limit_price, recorded, changed"
_CLAIMS = "con_id, intent, quantity, released"


class United(Struct, frozen=True):
    """How much was taken in: ``ended`` counts intents that were open here and had ended there, ``unknown`` those that are unknown now."""

    journal: int
    intents: int
    ended: int
    unknown: int


def unite(state: State, other: State, zone: tzinfo) -> United:
    """Take in what ``other`` knows and this state does not; ``zone`` is the gateway's, in which its day ends. All of it or nothing.

    Doing it again changes nothing. Raises CannotWrite.
    """
    with state.transaction():
        journal = _take(state, other, "journal", _JOURNAL, "run")
        _take(state, other, "runs", _RUNS, "run")
        ended = _end(state, other)
        intents, unknown = _take_intents(state, other, zone)
    return United(journal, intents, ended, unknown)


def problem(other: State) -> str:
    """Why ``other`` cannot be taken in, found out on a state that knows nothing; empty where it can. Raises StateCorrupt."""
    with open_in_memory() as nothing:
        try:
            unite(nothing, other, UTC)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            return f"it is no state of v6: {error}"
    return ""


def _take(state: State, other: State, table: str, columns: str, key: str) -> int:
    """The rows whose key is not here, in their order; how many."""
    here = {one for (one,) in state.rows(f"SELECT {key} FROM {table}")}  # noqa: S608  the names are this module's own
    place = columns.split(", ").index(key)
    new = [row for row in other.rows(f"SELECT {columns} FROM {table} ORDER BY rowid") if row[place] not in here]  # noqa: S608
    marks = ", ".join("?" * len(columns.split(", ")))
    state.write_many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", new)  # noqa: S608
    return len(new)


def _end(state: State, other: State) -> int:
    """End what is open here and has ended there; how many."""
    open_here = {one for (one,) in state.rows("SELECT intent FROM intents WHERE state IN ('open', 'unknown')")}
    over = other.rows("SELECT intent, state, filled, ended, code, note FROM intents WHERE state NOT IN ('open', 'unknown') ORDER BY turn")
    found = [row for row in over if row[0] in open_here]
    for intent, ending, filled, ended, code, note in found:
        state.write(
            "UPDATE intents SET state = ?, filled = ?, ended = ?, code = ?, note = ?, turn = (SELECT coalesce(max(turn), 0) + 1 FROM intents) "
            "WHERE intent = ?",
            (ending, filled, ended, code, note, intent),
        )
        state.write("UPDATE claims SET released = 1 WHERE intent = ?", (intent,))
    return len(found)


def _take_intents(state: State, other: State, zone: tzinfo) -> tuple[int, int]:
    """Intents that are not here, with their orders and claims; how many, and how many of them are unknown from now on."""
    before = {one for (one,) in state.rows("SELECT intent FROM intents")}
    taken = _take(state, other, "intents", _INTENTS, "intent")
    for table, columns, key in (("attempts", _ATTEMPTS, "order_ref"), ("claims", _CLAIMS, "intent")):
        _take(state, other, table, columns, key)
    today = clock.now().astimezone(zone).date()
    unknown = 0
    for intent, minted, found in state.rows("SELECT intent, minted, state FROM intents WHERE state IN ('open', 'unknown')"):
        if intent not in before and (found == "unknown" or from_text(minted).astimezone(zone).date() != today):
            unknown += 1
            state.write("UPDATE intents SET state = 'unknown', note = ? WHERE intent = ? AND state = 'open'", (NOTE, intent))
    _count_ends(state, before)
    return taken, unknown


def _count_ends(state: State, before: set[str]) -> None:
    """Ends that came from elsewhere count as having come now: positions that were asked for before do not know of them."""
    for (intent,) in state.rows("SELECT intent FROM intents WHERE state != 'open' AND turn IS NULL ORDER BY number"):
        if intent not in before:
            state.write("UPDATE intents SET turn = (SELECT coalesce(max(turn), 0) + 1 FROM intents) WHERE intent = ?", (intent,))
