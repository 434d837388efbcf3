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
@click.option("--start", is_flag=True, help="Then start the services that do not run.")
@options.changes(dry_run=False, asks=True)
def command(app: App, reason: str, to: str, start: bool, yes: bool) -> None:
    """Loosen the trading state: take back the halts that are shown, after asking.

    When to use: once you know why trading was halted and that the reason is gone. It removes exactly the halts that it shows: one that
    comes meanwhile stands.

    \b
    It shows first: who halted, when and why; what is recorded since of positions,
    orders, alerts and acts; which services do not run, and the line that starts
    them. Look at positions and orders before you answer.

    \b
    If it fails: nothing was loosened; v6 trading-state shows what stands. A
    service that does not start is named (69): trading is resumed by then.

    \b
    Exit codes: 0; 64 no reason given; 69 a service did not start;
    74 cannot write; 77 not confirmed, or --start while a closing runs.

    \b
    Examples:
      v6 resume --reason "quotes are back"
      v6 resume --reason "gateway is back" --start
      v6 resume --to reducing --reason "exits only until the close" --yes
    """
    halt.check_reason(reason)
    if start:
        app.halts.check_nothing_closes()
    seen = latch.read(app.home)
    halt.check_loosens(seen, TradingState(to.upper()))
    app.halts.show_before_resuming(seen)
    app.output.confirm(f"trading state {seen.state.value}: go to {to.upper()}?", yes=yes)
    after = latch.resume(app.home, seen, TradingState(to.upper()), reason, app.operator)
    app.output.note(halt.said(after))
    if start:
        app.halts.start_what_is_stopped()
