"""v6 emergency shutdown."""

from __future__ import annotations

import click

from v6cli import latch, options
from v6cli.app import App
from v6cli.runbook import halt, shutdown
from v6cli.runbook.shutdown_wish import Wish


@options.command()
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the halt and in the proof record.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. It replaces no account id.")
@click.option("--account", default="", metavar="ID", help="The account, where one has to be typed.")
@click.option("--keep-orders", is_flag=True, help="Cancel no order.")
@click.option("--keep-dashboard", is_flag=True, help="Leave the dashboard running.")
@click.option("--close-all", is_flag=True, help="Then close every position, as v6 close-all does.")
def command(app: App, reason: str, yes: bool, account: str, keep_orders: bool, keep_dashboard: bool, close_all: bool) -> None:
    """Emergency shutdown: halt, cancel every order, end what trades, and prove it.

    When to use: runaway trading, critical failure, damaged data. When in doubt, v6 halt first: that needs no decision and cancels
    nothing.

    Trading is halted before anything is asked, and stays halted until v6 resume, whatever you answer. It works with a dead or silent
    gateway, broken settings, a damaged lake or state file, hung services, a full or read-only disk.

    \b
    Steps: halt; list and save every working order; ask; cancel them all, those by
    hand and protective ones too, while v6-trading and a running close are ended;
    prove under their client ids that nothing works; stop v6-position-sync and the
    dashboard; positions left; logs of 24 hours; other homes of this machine.
    Positions are closed with --close-all alone, once the rest is done: one
    question for both, one record of each, and the worse exit code.

    \b
    If it fails: each row says what is not proven and when it will be known. Look
    in TWS, and run it again: it asks and proves anew, and does no harm.

    \b
    Exit codes: 0 all proven; 74 the halt, the record or the logs could not be
    written; 75 something is not proven; 77 declined, or nobody to ask, or an
    account must be typed: no order was cancelled.

    \b
    Examples:
      v6 emergency shutdown
      v6 emergency shutdown --yes --reason "orders run away"
      v6 emergency shutdown --yes --account U1234567
      v6 emergency shutdown --close-all
      v6 emergency-stop
    """
    wish = Wish(reason, account, keep_orders, keep_dashboard, close_all)
    app.outlive_terminal()
    app.output.hurry()
    latched = shutdown.halt_first(app.home, wish, app.operator, app.halts.silence)
    app.output.note(halt.said(latch.read(app.home)))
    shutdown.check(wish, latched)
    with app.act.journaled(emergency=True):
        app.say_where(emergency=True)
        under_way = app.emergencies.shutdown(latched, wish)
        app.emergencies.show_at_stake(under_way, yes=yes)
        closing = app.emergencies.closing_everything() if close_all else None
        app.emergencies.show_what_closes(closing, yes=yes)
        under_way.agree(app.output.ask_or_no, yes=yes)
        app.emergencies.shut_down(under_way)
        app.emergencies.flatten_after(under_way, closing, yes=yes)
    app.output.note(shutdown.NEXT)
