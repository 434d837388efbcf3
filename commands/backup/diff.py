"""v6 backup diff."""

from __future__ import annotations

import click

from v6cli import completion, options
from v6cli.app import App
from v6cli.backup import catalogue, compare, extract, render


@options.command()
@click.argument("before", metavar="A", shell_complete=completion.backups)
@click.argument("after", metavar="[B]", default=catalogue.LATEST, shell_complete=completion.backups)
def command(app: App, before: str, after: str) -> None:
    """What changed from backup A to backup B: tables, rows, schemas, settings, state.

    When to use: to find out when something changed, and what a restore would bring back.
    Both are read to their ends, and every sum is checked. Without B it is the latest.

    \b
    Exit codes: 0; 65 no such backup, or one that is damaged.

    \b
    Examples:
      v6 backup diff backup_20261123_163000
      v6 backup diff backup_20261123_163000 backup_20261124_163000
    """
    old, new = catalogue.resolve(app.home, before), catalogue.resolve(app.home, after)
    with app.output.live("reading both") as report:
        found = compare.compare(extract.check(old, report).manifest, extract.check(new, report).manifest)
    app.output.show(render.compared(old, new, found))
