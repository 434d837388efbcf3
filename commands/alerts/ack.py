"""v6 alerts ack."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.state import alerts


@options.command()
@click.argument("which", metavar="[ID]", required=False)
@options.changes(dry_run=False)
def command(app: App, which: str | None) -> None:
    """Acknowledge one alert, or all that are open.

    When to use: once you have read them. An alert stays open until its cause is gone; acknowledged, it no longer makes the
    checks degraded.

    \b
    Exit codes: 0; 65 no such alert; 74 cannot write.

    \b
    Examples:
      v6 alerts ack
      v6 alerts ack 3
    """
    done = alerts.acknowledge(app.state, which, app.operator)
    for alert in done:
        app.output.text(f"acknowledged {alert.id}: {alert.text}")
    if not done:
        app.output.note("no open alert was left to acknowledge")
