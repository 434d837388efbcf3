"""v6 orders cancel."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import cancelling, orders
from v6cli.runbook.consent import Consent
from v6cli.runbook.shutdown_wish import Wish


@options.command()
@click.argument("which", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every order of every client, those entered by hand too.")
@click.option("--account", default="", metavar="ID", help="With --all: the account, where one has to be typed.")
@options.excludes("--account", "ID")
@options.changes(asks=True, emergency=True)
def command(app: App, which: str | None, everything: bool, account: str, yes: bool, dry_run: bool) -> None:
    """Cancel one working order, or all of them, and wait until it is gone.

    When to use: when something rests that must not fill. ID is the number that v6 orders shows, or the reference. One order is
    cancelled by whoever placed it: by v6-trading where that runs, else in its place. --all takes everything, protective stops
    included, and what other accounts of the login have working: then the account has to be typed.

    What fills before the cancel reaches it is told from executions, and held: look at the positions.

    \b
    If it fails: exit 75 names what is not cancelled yet, or that what filled is
    unknown; where the market is closed IB answers at the open. A program that is
    connected cancels its own orders.

    \b
    Exit codes: 0 gone, and nothing of it filled meanwhile; 65 no such order; 69
    the gateway does not answer; 75 not answered yet, or what filled is unknown;
    77 not confirmed, somebody else's, or it filled before it was cancelled.

    \b
    Examples:
      v6 orders cancel 1234567890
      v6 orders cancel --all --yes
      v6 orders cancel --all --yes --account U1234567
    """
    orders.check_choice(which, everything=everything)
    every = cancelling.Everything(app.gateway, Consent(app.home, Wish(account=account), app.settings))
    found = app.run(every.look() if which is None else orders.one(app.gateway, which))
    app.output.show(orders.to_cancel(found))
    if dry_run or not found:
        return
    if which is None:
        every.agree(app.output.ask, yes=yes)
        gone = app.run(every.cancel())
    else:
        app.output.confirm("cancel this order?", yes=yes)
        gone = [app.run(orders.cancel(app.home, app.gateway, found[0]))]
    app.output.text(cancelling.said_of(gone))
    orders.check_cancelled(gone)
