"""v6 resume."""

from __future__ import annotations

import click

from v6cli import latch, options
from v6cli.app import App
from v6cli.latch import TradingState
from v6cli.runbook import halt


@options.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why it is safe again; kept in the journal.")
@click.option("--to", type=click.Choice(["active", "reducing"]), default="active", help="How far to loosen.")
@options.changes(dry_run=False, asks=True)
def command(app: App, reason: str, to: str, yes: bool) -> None:
    """Loosen the trading state: take back the halts that are shown, after asking.

    When to use: once you know why trading was halted and that the reason is gone. It removes exactly the halts that it shows: one that
    comes meanwhile stands.

    \b
    If it fails: nothing was loosened; v6 trading-state shows what stands.

    \b
    Exit codes: 0; 64 no reason given; 74 cannot write; 77 not confirmed.

    \b
    Examples:
      v6 resume --reason "quotes are back"
      v6 resume --to reducing --reason "exits only until the close" --yes
    """
    halt.check_reason(reason)
    seen = latch.read(app.home)
    halt.check_loosens(seen, TradingState(to.upper()))
    app.output.show(halt.table(seen))
    app.output.confirm(f"trading state {seen.state.value}: go to {to.upper()}?", yes=yes)
    after = latch.resume(app.home, seen, TradingState(to.upper()), reason, app.operator)
    app.output.note(halt.said(after))
