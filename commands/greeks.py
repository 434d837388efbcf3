"""v6 greeks."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.portfolio import greeks


@options.command()
@click.option("--by", type=click.Choice(("symbol", "expiry", "strategy")), default="symbol", show_default=True, help="What to sum by.")
def command(app: App, by: str) -> None:
    """Greeks by symbol, expiry or strategy, with how much of each limit they use.

    When to use: to see where delta and gamma come from. It shows what the last sync saw, with its age; a sum with an unknown
    leg is unknown.

    \b
    Exit codes: 0; 69 nothing is recorded yet.

    \b
    Examples:
      v6 greeks
      v6 greeks --by strategy
    """
    seen = app.recorded()
    app.output.show(greeks.table(greeks.roll_up(seen.positions, seen.greeks, by), app.settings.limits, seen.at))
