"""Intents: every order is durable before it is sent, with its claim on what it closes, and stays open until its end is proven.

An intent is what v6 wants done; an attempt is one order sent for it, named by its orderRef. A claim says how much of a position an
intent may close: while it stands no other intent may close that contract, so that two closing orders never add up to an opening
one. Intents are ended by ``trading.execution`` and ``trading.resolve``, or by a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadInput, Refused
from v6cli.models import Order, RecordedIntent
from v6cli.state.moments import from_text, to_text

if TYPE_CHECKING:
    from v6cli.state.database import State

#: ``open``: its end is not known yet. ``unknown``: nobody can say any more what became of it. ``not sent``: it never left.
Ending = Literal["filled", "cancelled", "rejected", "not sent", "absent", "unknown", "settled"]

TABLES = (
    """
    CREATE TABLE intents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        intent TEXT NOT NULL UNIQUE,
        run TEXT NOT NULL,
        client_id INTEGER NOT NULL,   -- under which its orders are sent
        purpose TEXT NOT NULL,        -- as `close-all`
        closing INTEGER NOT NULL,
        account TEXT NOT NULL,
        wanted TEXT NOT NULL,         -- the order, JSON
        minted TEXT NOT NULL,         -- UTC
        state TEXT NOT NULL DEFAULT 'open'
            CHECK (state IN ('open', 'filled', 'cancelled', 'rejected', 'not sent', 'absent', 'unknown', 'settled')),
        filled REAL,                  -- of the order's quantity; NULL where that is not known
        ended TEXT,                   -- UTC; NULL while open
        turn INTEGER,                 -- the how manieth end it was; positions asked for before it do not count after it
        code INTEGER,                 -- IB's, where it refused or cancelled
        note TEXT NOT NULL DEFAULT ''
    ) STRICT
    """,
    "CREATE INDEX intents_open ON intents (number) WHERE state IN ('open', 'unknown')",
    "CREATE INDEX intents_turn ON intents (turn)",
    """
    CREATE TABLE attempts (
        order_ref TEXT PRIMARY KEY,
        intent TEXT NOT NULL REFERENCES intents (intent),
        order_id INTEGER NOT NULL,
        limit_price REAL,             -- as last sent, or about to be
        recorded TEXT NOT NULL,       -- UTC
        changed TEXT                  -- UTC; when it was last modified
    ) STRICT
    """,
    "CREATE INDEX attempts_intent ON attempts (intent)",
    """
    CREATE TABLE claims (
        con_id INTEGER NOT NULL,
        intent TEXT NOT NULL REFERENCES intents (intent),
        quantity REAL NOT NULL,       -- signed: what the order would change
        released INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (con_id, intent)
    ) STRICT
    """,
)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_COLUMNS = "intent, run, client_id, purpose, closing, wanted, minted, state, filled, ended, code, note"


class Intent(Struct, frozen=True):
    """One intent. ``order`` has the limit that was sent last, or was about to be; ``order_refs`` are its attempts, the last one last;
    times are UTC. ``filled`` None is unknown.
    """

    intent: str
    run: str
    client_id: int
    purpose: str
    closing: bool
    order: Order
    minted: datetime
    state: str
    filled: float | None
    ended: datetime | None
    code: int | None
    note: str
    order_refs: tuple[str, ...]


class Claimed(Refused):
    """Another intent may close this contract already, or what became of one is not known."""


class Stale(Refused):
    """The positions were asked for before an order on them came to its end: ask again."""


def turn(state: State) -> int:
    """How many intents have ended so far. Positions that are asked for after this know of all of them."""
    return _largest(state, "SELECT max(turn) FROM intents")


def claim_close(
    state: State, order: Order, run: str, client_id: int, order_id: int, purpose: str, held: Mapping[int, float], asked: int
) -> RecordedIntent:
    """Record an order that closes what is held, with its claim, in one transaction.

    ``held`` are the positions by contract id, confirmed; ``asked`` is the `turn` before they were asked for. Raises Claimed, Stale,
    Refused where the order would open or enlarge a position, CannotWrite.
    """
    for con_id, change in order.changes.items():
        _check_closes(order, con_id, change, held.get(con_id, 0.0))
    with state.transaction():
        for con_id in order.changes:
            _check_unclaimed(state, con_id, str(order.contract))
            _check_not_stale(state, con_id, asked)
        return _mint(state, order, run, client_id, order_id, purpose, closing=True)


def record(state: State, order: Order, run: str, client_id: int, order_id: int, purpose: str) -> RecordedIntent:
    """Record an order that may open a position. Raises Claimed where what became of an earlier one on its contracts is not known."""
    with state.transaction():
        for con_id in order.changes:
            _check_unclaimed(state, con_id, str(order.contract))
        return _mint(state, order, run, client_id, order_id, purpose, closing=False)


def resumed(intent: Intent, order_id: int) -> RecordedIntent:
    """An open intent whose last order was found working, under this order id."""
    return RecordedIntent(intent.intent, intent.order_refs[-1], order_id, intent.client_id, intent.closing, intent.order)


def modified(state: State, recorded: RecordedIntent, limit: float) -> RecordedIntent:
    """Record another limit of an order that works, before it is written. Order id and orderRef stay. Raises CannotWrite."""
    changed = msgspec.structs.replace(recorded, order=msgspec.structs.replace(recorded.order, limit=limit))
    state.write("UPDATE attempts SET limit_price = ?, changed = ? WHERE order_ref = ?", (limit, to_text(clock.now()), recorded.order_ref))
    return changed


def end(state: State, intent: str, ending: Ending, filled: float | None, note: str = "", code: int | None = None) -> None:
    """An intent has come to its end, and its claim with it; one that is ``unknown`` keeps its claim. Raises CannotWrite."""
    with state.transaction():
        state.write(
            "UPDATE intents SET state = ?, filled = ?, ended = ?, note = ?, code = ?, turn = (SELECT coalesce(max(turn), 0) + 1 FROM intents) "
            "WHERE intent = ? AND state IN ('open', 'unknown')",
            (ending, filled, to_text(clock.now()), note, code, intent),
        )
        if ending != "unknown":
            release(state, intent)


def release(state: State, intent: str) -> None:
    """Let others close what this intent would have closed: a fill of it would be in the position already. Raises CannotWrite."""
    state.write("UPDATE claims SET released = 1 WHERE intent = ?", (intent,))


def unsettled(state: State) -> list[Intent]:
    """The intents whose end is not known, open and unknown ones, the oldest first."""
    return _read(state, "state IN ('open', 'unknown')")


def recent(state: State, limit: int = 20) -> list[Intent]:
    """The last intents, whatever became of them, the newest first."""
    return _read(state, "number > (SELECT coalesce(max(number), 0) - ? FROM intents)", limit)[::-1]


def of_run(state: State, run: str) -> list[Intent]:
    """What a run wanted done, the oldest first."""
    return _read(state, "run = ?", run)


def find(state: State, order_ref: str) -> Intent:
    """The intent that an orderRef names. Raises BadInput."""
    found = _read(state, "intent = (SELECT intent FROM attempts WHERE order_ref = ?)", order_ref)
    if not found:
        raise BadInput(f"no order of v6 has the reference {order_ref!r}", next_step="v6 orders shows the references")
    return found[0]


def last_order_id(state: State, client_id: int) -> int:
    """The highest order id that was ever recorded under a client id; 0 where none was."""
    return _largest(state, "SELECT max(a.order_id) FROM attempts a JOIN intents i USING (intent) WHERE i.client_id = ?", client_id)


def known(state: State, order_ref: str) -> bool:
    """Whether v6 recorded an order with this reference."""
    return state.row("SELECT 1 FROM attempts WHERE order_ref = ?", (order_ref,)) is not None


def _mint(state: State, order: Order, run: str, client_id: int, order_id: int, purpose: str, *, closing: bool) -> RecordedIntent:
    if not order.account:
        raise Refused("this home names no account: it sends nothing", next_step="v6 config set account ID")
    now = clock.now()
    number = 1 + _largest(state, "SELECT max(number) FROM intents")
    intent = f"v6-{_short(int(clock.wall().timestamp() * 1e6))}-{_short(number)}"
    state.write(
        "INSERT INTO intents (intent, run, client_id, purpose, closing, account, wanted, minted) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (intent, run, client_id, purpose, int(closing), order.account, msgspec.json.encode(order).decode(), to_text(now)),
    )
    state.write_many(
        "INSERT INTO claims (con_id, intent, quantity) VALUES (?, ?, ?)",
        [(con_id, intent, change) for con_id, change in order.changes.items()],
    )
    return _attempt(state, RecordedIntent(intent, f"{intent}.1", order_id, client_id, closing, order))


def _attempt(state: State, recorded: RecordedIntent) -> RecordedIntent:
    state.write(
        "INSERT INTO attempts (order_ref, intent, order_id, limit_price, recorded) VALUES (?, ?, ?, ?, ?)",
        (recorded.order_ref, recorded.intent, recorded.order_id, recorded.order.limit, to_text(clock.now())),
    )
    return recorded


def _check_closes(order: Order, con_id: int, change: float, held: float) -> None:
    if change * held >= 0 or abs(change) > abs(held):
        raise Refused(
            f"{order.action} {order.quantity:g} {order.contract} does not close: contract {con_id} is held {held:+g}, "
            f"the order changes it by {change:+g}",
            next_step="v6 positions --from-gateway",
        )


def _check_unclaimed(state: State, con_id: int, contract: str) -> None:
    row = state.row(
        "SELECT i.intent, i.state, i.purpose FROM claims c JOIN intents i USING (intent) WHERE c.con_id = ? AND NOT c.released", (con_id,)
    )
    if row is not None:
        intent, found, purpose = row
        raise Claimed(
            f"{contract}: the order {intent} of {purpose} on contract {con_id} is {found}",
            next_step="v6 orders, then v6 orders settle ORDERREF if nobody else can say",
        )


def _check_not_stale(state: State, con_id: int, asked: int) -> None:
    if _largest(state, "SELECT max(i.turn) FROM claims c JOIN intents i USING (intent) WHERE c.con_id = ?", con_id) > asked:
        raise Stale(f"an order on contract {con_id} has ended since the positions were asked for")


def _largest(state: State, sql: str, *parameters: Any) -> int:
    """The number that the statement returns; 0 where there is none."""
    row = state.row(sql, parameters)
    return int(row[0] or 0) if row else 0


def _short(number: int) -> str:
    """A number in as few characters as letters and digits allow: IB keeps an orderRef of limited length."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"


def _read(state: State, where: str, *parameters: Any) -> list[Intent]:
    rows = state.rows(f"SELECT {_COLUMNS} FROM intents WHERE {where} ORDER BY number", parameters)  # noqa: S608
    return [_intent(state, row) for row in rows]


def _intent(state: State, row: Sequence[Any]) -> Intent:
    intent, run, client_id, purpose, closing, wanted, minted, found, filled, ended, code, note = row
    attempts = state.rows("SELECT order_ref, limit_price FROM attempts WHERE intent = ? ORDER BY rowid", (intent,))
    order = msgspec.structs.replace(msgspec.json.decode(wanted, type=Order), limit=attempts[-1][1])
    return Intent(
        intent,
        run,
        client_id,
        purpose,
        bool(closing),
        order,
        from_text(minted),
        found,
        filled,
        from_text(ended),
        code,
        note,
        tuple(ref for ref, _ in attempts),
    )
