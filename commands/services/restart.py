"""v6 services restart."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.backup import restoration
from v6cli.completion import services
from v6cli.runbook.services import table


@options.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=services)
@options.changes()
def command(app: App, names: tuple[str, ...], dry_run: bool) -> None:
    """Stop services, then start them.

    When to use: a service hangs, or a check says so.

    \b
    If it fails: the service that did not stop or come up is named.

    \b
    Exit codes: 0 all run; 64 no such service; 69 one did not come up;
    75 one still runs.

    \b
    Examples:
      v6 services restart ib-gateway
      v6 services restart
    """
    if names != ("ib-gateway",):
        restoration.check_finished(app.home)
    if not dry_run:
        with app.output.live("services restart") as report:
            app.services.restart(names, report)
    app.output.show(table(app.services.status(names)))
