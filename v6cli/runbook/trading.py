"""Being the service v6-trading."""

from __future__ import annotations

from v6cli.home import Home
from v6cli.runbook import service
from v6cli.settings import Settings
from v6cli.state.database import State
from v6cli.trading.loop import SERVICE, Trading


def run(home: Home, settings: Settings, state: State) -> None:
    """Trade until SIGTERM. Raises Refused where it runs already, CannotWrite."""
    service.run(home, settings, SERVICE, lambda: Trading(home, settings, state).run())
