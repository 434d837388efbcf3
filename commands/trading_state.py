"""v6 trading-state."""

from __future__ import annotations

from v6cli import latch, options
from v6cli.app import App
from v6cli.runbook import halt


@options.command()
def command(app: App) -> None:
    """Show the trading state: ACTIVE, REDUCING or HALTED, and each halt behind it.

    When to use: to see what may be sent, and why not. A latch that is missing or cannot be read is HALTED.

    \b
    Exit codes: 0, whatever the state; checks judge it.

    \b
    Examples:
      v6 trading-state
      v6 trading-state -o json
    """
    app.output.show(halt.table(latch.read(app.home)))
