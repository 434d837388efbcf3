"""Alerts: raised, counted, acknowledged, resolved. An alert is open until it is resolved; acknowledging only quiets it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadInput
from v6cli.models import Alert, Severity
from v6cli.state.moments import from_text, to_text

if TYPE_CHECKING:
    from v6cli.state.database import State

TABLES = (
    """
    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
        text TEXT NOT NULL,
        next_step TEXT NOT NULL,
        first_at TEXT NOT NULL,      -- UTC, like every time here
        last_at TEXT NOT NULL,
        count INTEGER NOT NULL,      -- how often it was raised
        acknowledged_at TEXT,
        acknowledged_by TEXT,
        resolved_at TEXT             -- NULL while open
    ) STRICT
    """,
    "CREATE UNIQUE INDEX alerts_open ON alerts (key) WHERE resolved_at IS NULL",
    "CREATE INDEX alerts_last ON alerts (last_at)",
)

_COLUMNS = "id, key, severity, text, next_step, first_at, last_at, count, acknowledged_at, acknowledged_by, resolved_at"
_LOUDNESS = "CASE {} WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END"
_LOUDER = f"{_LOUDNESS.format('excluded.severity')} > {_LOUDNESS.format('alerts.severity')}"


class RaisedAlert(Struct, frozen=True):
    """An alert as it stands. ``count`` is how often it was raised; ``resolved_at`` is None while it is open. Times are UTC."""

    id: int
    key: str
    severity: Severity
    text: str
    next_step: str
    first_at: datetime
    last_at: datetime
    count: int
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None


def raise_alert(state: State, alert: Alert) -> RaisedAlert:
    """Raise it, or count it up where one of its key is open. One that got louder is no longer acknowledged. Raises CannotWrite."""
    now = to_text(clock.now())
    found = state.row(
        f"""
        INSERT INTO alerts (key, severity, text, next_step, first_at, last_at, count) VALUES (?, ?, ?, ?, ?, ?, 1)
        ON CONFLICT (key) WHERE resolved_at IS NULL DO UPDATE SET
            acknowledged_at = CASE WHEN {_LOUDER} THEN NULL ELSE acknowledged_at END,
            acknowledged_by = CASE WHEN {_LOUDER} THEN NULL ELSE acknowledged_by END,
            severity = excluded.severity, text = excluded.text, next_step = excluded.next_step,
            last_at = excluded.last_at, count = count + 1
        RETURNING {_COLUMNS}
        """,  # noqa: S608
        (alert.key, alert.severity.value, alert.text, alert.next_step, now, now),
    )
    return _raised(found)


def resolve(state: State, key: str) -> RaisedAlert | None:
    """What it warned of is over; None where none of that key is open. Raises CannotWrite."""
    found = state.rows(
        f"UPDATE alerts SET resolved_at = ? WHERE key = ? AND resolved_at IS NULL RETURNING {_COLUMNS}",  # noqa: S608
        (to_text(clock.now()), key),
    )
    return _raised(found[0]) if found else None


def acknowledge(state: State, which: int | str | None, who: str) -> list[RaisedAlert]:
    """``who`` has seen it: one open alert by id or key, or with None all of them; those this acknowledged, by id.

    One that was acknowledged before keeps its first name. Raises BadInput where no open alert is meant, CannotWrite.
    """
    with state.transaction():
        open_ids = [alert.id for alert in open_alerts(state) if which is None or _is_meant(alert, which)]
        if which is not None and not open_ids:
            raise BadInput(f"no open alert {which}", next_step="v6 alerts list")
        acknowledged: list[Any] = []
        for identity in sorted(open_ids):
            acknowledged += state.rows(
                f"UPDATE alerts SET acknowledged_at = ?, acknowledged_by = ? WHERE id = ? AND acknowledged_at IS NULL RETURNING {_COLUMNS}",  # noqa: S608
                (to_text(clock.now()), who, identity),
            )
    return [_raised(row) for row in acknowledged]


def open_alerts(state: State) -> list[RaisedAlert]:
    """Every alert not yet resolved, acknowledged or not: the loudest first, then the newest."""
    loudness = _LOUDNESS.format("severity")
    found = state.rows(f"SELECT {_COLUMNS} FROM alerts WHERE resolved_at IS NULL ORDER BY {loudness} DESC, last_at DESC, id DESC")  # noqa: S608
    return [_raised(row) for row in found]


def recent(state: State, since: datetime) -> list[RaisedAlert]:
    """Every alert raised or resolved at or after ``since``, open or not, the newest first."""
    found = state.rows(
        f"SELECT {_COLUMNS} FROM alerts WHERE last_at >= ?1 OR resolved_at >= ?1 ORDER BY last_at DESC, id DESC",  # noqa: S608
        (to_text(since),),
    )
    return [_raised(row) for row in found]


def _is_meant(alert: RaisedAlert, which: int | str) -> bool:
    return alert.key == which or str(alert.id) == str(which)


def _raised(row: Any) -> RaisedAlert:
    identity, key, severity, text, next_step, first_at, last_at, count, acknowledged_at, acknowledged_by, resolved_at = row
    return RaisedAlert(
        identity,
        key,
        Severity(severity),
        text,
        next_step,
        from_text(first_at),
        from_text(last_at),
        count,
        from_text(acknowledged_at),
        acknowledged_by,
        from_text(resolved_at),
    )
