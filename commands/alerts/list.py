"""v6 alerts list."""

from __future__ import annotations

import click

from v6cli import clock, options, sessions
from v6cli.app import App
from v6cli.results import Column, Table
from v6cli.state import alerts
from v6cli.state.alerts import RaisedAlert
from v6cli.state.database import open_read_only

COLUMNS = (
    Column("id", kind="identity"),
    Column("severity", kind="status"),
    Column("last", kind="time", rank=1),
    Column("count", kind="integer"),
    Column("state", kind="status"),
    Column("text", wraps=True),
    Column("next", title="next step", wraps=True),
)


@options.command()
@click.option("--all", "everything", is_flag=True, help="Resolved ones of the last 7 sessions too.")
def command(app: App, everything: bool) -> None:
    """Open alerts, the loudest first.

    When to use: in the morning, and whenever a check says that alerts are open.

    \b
    Exit codes: 0; 69 nothing is recorded yet.

    \b
    Examples:
      v6 alerts list
      v6 alerts list --all -o json
    """
    with open_read_only(app.home) as state:
        found = alerts.recent(state, sessions.last_sessions(7, clock.today())[0].opens) if everything else alerts.open_alerts(state)
    rows = [(one.id, one.severity.value, one.last_at, one.count, _state(one), one.text, one.next_step) for one in found]
    app.output.show(Table("v6.alerts/1", "alerts", COLUMNS, list(rows), empty="no open alerts"))


def _state(alert: RaisedAlert) -> str:
    if alert.resolved_at is not None:
        return "resolved"
    return "acknowledged" if alert.acknowledged_at is not None else "open"
