"""v6 scheduler run."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import trading

RUNS = {"trading": trading.run}


@options.command()
@click.argument("name", type=click.Choice(list(RUNS)), metavar="trading")
@options.changes(dry_run=False)
def command(app: App, name: str) -> None:
    """Be a service, for ever: trading is the service v6-trading.

    When to use: hardly ever by hand; v6 services start runs it. It executes orders on request, follows each to its proven end, and
    cancels its own orders that open positions while the trading state is not ACTIVE. It starts and runs in any trading state.

    \b
    If it fails: v6 logs --service v6-trading, then v6 health.

    \b
    Exit codes: 0 ended as asked; 74 cannot write; 77 it runs already.

    \b
    Examples:
      v6 services start v6-trading
      v6 scheduler run trading
    """
    RUNS[name](app.home, app.settings, app.state)
