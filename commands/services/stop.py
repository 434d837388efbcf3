"""v6 services stop."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.completion import services
from v6cli.runbook.services import table


@options.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=services)
@options.changes(emergency=True)
def command(app: App, names: tuple[str, ...], dry_run: bool) -> None:
    """Stop services, dependants first, and prove that they are gone.

    When to use: before maintenance. Stopping is not an emergency halt: it cancels no order. Without a name everything is
    stopped, the supervisor too. Neither broken settings nor a journal that cannot be written keep it from that.

    \b
    If it fails: what still runs is named.

    \b
    Exit codes: 0 all stopped; 64 no such service; 75 one still runs.

    \b
    Examples:
      v6 services stop
      v6 services stop v6-position-sync --dry-run
    """
    if not dry_run:
        with app.output.live("services stop") as report:
            app.services.stop(names, report) if names else app.services.shutdown(report)
    app.output.show(table(app.services.status(names)))
