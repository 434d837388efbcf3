"""v6 logs."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.completion import services
from v6cli.runbook import logs


@options.command()
@click.option("--service", "names", multiple=True, metavar="NAME", shell_complete=services, help="Only this service; may be repeated.")
@click.option("--since", metavar="WHEN", help="24h, 30m, 7d, today, or a time in New York.")
@click.option("-n", "count", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="At most so many lines.")
@click.option("-p", "level", type=click.Choice(("debug", "info", "warning", "error", "critical")), help="This level and above.")
@click.option("-f", "follow", is_flag=True, help="Go on showing new lines, until ^C.")
@click.option("--grep", metavar="PATTERN", help="Only lines that match this regular expression.")
def command(app: App, names: tuple[str, ...], since: str | None, count: int, level: str | None, follow: bool, grep: str | None) -> None:
    """Logs of the services, merged by time.

    When to use: when a check names errors, or to see what a service is doing. Settings that are broken do not keep it from that.

    \b
    Exit codes: 0; 64 no such service; 65 a time or pattern that cannot be read.

    \b
    Examples:
      v6 logs -p error --since 24h
      v6 logs --service v6-position-sync -f
      v6 logs --grep reject
    """
    if follow:
        app.output.require_format("table", "plain")
    app.look_anyway()
    sources = logs.sources(app.services, names)
    chosen = logs.Choice(since=logs.since(since), level=level, grep=grep, count=count)
    app.output.show(logs.table(sources, chosen))
    if follow:
        for line in logs.follow(sources, chosen):
            app.output.text(line)
