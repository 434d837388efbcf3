"""v6 services status."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.completion import services
from v6cli.runbook.services import table


@options.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=services)
def command(app: App, names: tuple[str, ...]) -> None:
    """State, uptime, restarts and last log line of each service.

    When to use: first, when something does not answer.

    \b
    Exit codes: 0 shown; 64 no such service; 69 the service manager does not
    answer.

    \b
    Examples:
      v6 services status
      v6 services status v6-position-sync -o json
    """
    app.output.show(table(app.services.status(names)))
