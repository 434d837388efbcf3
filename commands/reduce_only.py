"""v6 reduce-only."""

from __future__ import annotations

import click

from v6cli import latch, options
from v6cli.app import App
from v6cli.latch import TradingState
from v6cli.runbook import halt


@options.command()
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with it and shown until trading resumes.")
@options.in_a_hurry
def command(app: App, reason: str) -> None:
    """Allow closing orders only: no position is opened or enlarged any more.

    When to use: to stop taking risk while exits go on. It works typed bare, never asks, and needs neither settings nor gateway nor
    services. It loosens nothing: a halt that stands goes on standing.

    It cancels nothing: it ends by showing the orders that still work at the gateway, or that this is unknown, and the other homes of
    this machine, which go on as they are.

    \b
    If it fails: exit 74 means that it could NOT be recorded; whatever sends
    orders was ended instead. Exit 75 names a stopped process that may still let
    one go.

    \b
    Exit codes: 0 recorded; 74 not recorded; 75 a sender does not leave the gate;
    77 the home is another user's: type the line that is shown.

    \b
    Examples:
      v6 reduce-only
      v6 reduce-only --reason "FOMC at 14:00"
    """
    tightened = halt.tighten(app.home, TradingState.REDUCING, reason, app.operator, app.halts.silence)
    app.output.note(halt.said(latch.read(app.home), asked=TradingState.REDUCING))
    with app.act.journaled(emergency=True):
        app.say_where(emergency=True)
        app.halts.show_still_working()
        app.halts.name_other_homes()
        halt.check_gate(tightened.kept)
    app.output.note(halt.NEXT)
