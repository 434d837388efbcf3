"""Services as a table."""

from __future__ import annotations

from collections.abc import Sequence

from v6cli import clock
from v6cli.results import Column, Table
from v6cli.services.backend import ServiceState

COLUMNS = (
    Column("service"),
    Column("state", kind="status"),
    Column("pid", kind="identity", missing=""),
    Column("uptime", kind="seconds", missing="", unit="seconds"),
    Column("restarts", kind="integer"),
    Column("last", title="last log line", wraps=True),
)


def table(states: Sequence[ServiceState]) -> Table:
    """The states, in dependency order."""
    rows = [(one.name, one.state, one.pid, one.uptime, one.restarts, one.detail or one.last_line) for one in states]
    return Table("v6.services/1", "services", COLUMNS, list(rows), as_of=clock.now(), empty="no services in this home")
