"""v6 positions."""

from __future__ import annotations

import click

from v6cli import clock, options
from v6cli.app import App
from v6cli.completion import symbols
from v6cli.portfolio import positions


@options.command()
@click.option(
    "--symbol",
    "wanted",
    default="",
    metavar="SYMBOL[,...]",
    callback=lambda _ctx, _parameter, value: [one.strip() for one in value.upper().split(",") if one.strip()],
    shell_complete=symbols,
    help="Only these underlyings.",
)
@click.option(
    "--sort",
    type=click.Choice(positions.SORTS),
    metavar="COLUMN",
    default="group",
    show_default=True,
    help=f"Order of the rows: {', '.join(positions.SORTS)}.",
)
@click.option("--watch", is_flag=True, help="Show again after each sync, until ^C.")
@click.option("--from-gateway", is_flag=True, help="Ask IB now instead of showing the last sync.")
@options.excludes("--watch", "--from-gateway")
def command(app: App, wanted: list[str], sort: str, watch: bool, from_gateway: bool) -> None:
    """Open positions by underlying and strategy, with value, P&L and greeks.

    When to use: to see the book. Without --from-gateway it shows what the last sync saw, with its age. Greeks are those of
    the whole position: delta in share equivalents, theta per day, vega per volatility point. A ? is unknown, not zero.

    \b
    Exit codes: 0; 69 nothing is recorded, or the gateway does not answer.

    \b
    Examples:
      v6 positions
      v6 positions --symbol SPY --sort delta
      v6 positions --symbol SPY,QQQ
      v6 positions --from-gateway -o json
    """
    if watch:
        app.watch_mirror(lambda seen: positions.table(seen.positions, seen.greeks, clock.today(), seen.at, symbols=wanted, sort=sort))
        return
    seen = app.run(app.seen_at_gateway()) if from_gateway else app.recorded()
    app.output.show(positions.table(seen.positions, seen.greeks, clock.today(), seen.at, symbols=wanted, sort=sort))
