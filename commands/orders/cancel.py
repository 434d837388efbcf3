"""v6 orders cancel."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import orders


@options.command()
@click.argument("which", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every order of every client, those entered by hand too.")
@options.changes(asks=True, emergency=True)
def command(app: App, which: str | None, everything: bool, yes: bool, dry_run: bool) -> None:
    """Cancel one working order, or all of them, and wait until it is gone.

    When to use: when something rests that must not fill. ID is the number that v6 orders shows, or the reference. One order is
    cancelled by whoever placed it: by v6-trading where that runs, else in its place. --all takes everything, protective stops included.

    \b
    If it fails: exit 75 names what is not cancelled yet; where the market is
    closed IB answers at the open. A program that is connected cancels its own
    orders.

    \b
    Exit codes: 0 gone; 65 no such order; 69 the gateway does not answer;
    75 not answered yet; 77 not confirmed, or somebody else's.

    \b
    Examples:
      v6 orders cancel 1234567890
      v6 orders cancel --all --yes
    """
    orders.check_choice(which, everything=everything)
    found = app.run(orders.listed(app.gateway) if which is None else orders.one(app.gateway, which))
    app.output.show(orders.table(found, ()))
    if dry_run or not found:
        return
    app.output.confirm(f"cancel {'all of them' if everything else 'this order'}?", yes=yes)
    app.output.text(app.run(orders.cancel_all(app.gateway) if everything else orders.cancel(app.home, app.gateway, found[0])))
