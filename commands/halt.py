"""v6 halt."""

from __future__ import annotations

import click

from v6cli import latch, options
from v6cli.app import App
from v6cli.latch import TradingState
from v6cli.runbook import halt


@options.command()
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the halt and shown until trading resumes.")
@options.in_a_hurry
def command(app: App, reason: str) -> None:
    """Halt trading: from now on nothing leaves for the gateway but cancels.

    When to use: whenever you are not sure. It works typed bare, never asks, and needs neither settings nor gateway nor services. The
    halt is a file of its own, written before anything else; it outlives restarts and stands until v6 resume.

    It cancels nothing: it ends by showing the orders that still work at the gateway, or that this is unknown, and the other homes of
    this machine, which go on as they are.

    \b
    If it fails: exit 74 means that the halt could NOT be recorded; whatever sends
    orders was ended instead. Log out of the account in TWS, or stop the gateway.
    Exit 75 names a stopped process that may still let one order go.

    \b
    Exit codes: 0 halted; 74 not recorded; 75 a sender does not leave the gate;
    77 the home is another user's: type the line that is shown.

    \b
    Examples:
      v6 halt
      v6 halt spreads look wrong
      v6 halt --reason "spreads look wrong"
    """
    tightened = halt.tighten(app.home, TradingState.HALTED, reason, app.operator, app.halts.silence)
    app.output.note(halt.said(latch.read(app.home)))
    with app.act.journaled(emergency=True):
        app.say_where(emergency=True)
        app.halts.show_still_working()
        app.halts.name_other_homes()
        halt.check_gate(tightened.kept)
    app.output.note(halt.NEXT)
