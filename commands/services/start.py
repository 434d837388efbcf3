"""v6 services start."""

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
    """Start services in dependency order and wait until they run.

    When to use: after a stop, or when a check names a service that is down. Starting what runs is fine.

    \b
    If it fails: the service that did not come up is named with its last log line.

    \b
    Exit codes: 0 all run; 64 no such service; 69 one did not come up.

    \b
    Examples:
      v6 services start
      v6 services start v6-position-sync
    """
    if names != ("ib-gateway",):
        restoration.check_finished(app.home)
    if not dry_run:
        with app.output.live("services start") as report:
            app.services.start(names, report)
    app.output.show(table(app.services.status(names)))
