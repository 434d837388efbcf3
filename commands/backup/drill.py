"""v6 backup drill."""

from __future__ import annotations

import click

from v6cli import completion, options
from v6cli.app import App
from v6cli.backup import catalogue
from v6cli.runbook import restore_drill


@options.command()
@click.argument("which", metavar="[NAME|PATH|URL|latest]", default=catalogue.LATEST, shell_complete=completion.backups)
def command(app: App, which: str) -> int:
    """Rehearse a restore: would this backup bring this lake back, and how fast?

    When to use: every month, and after whatever changed the backups. Nothing of the home
    is replaced and nothing is sent; the result is recorded.

    \b
    Steps: take the newest backup out to scratch; open every table; see that each
    is an earlier version of the table in the lake; ask IB for positions and hold
    them against those of the backup and what was executed since; say how long a
    restore would take.

    \b
    If it fails: make a new backup and rehearse again. A backup of another lake is
    no backup of this one, however whole it is.

    \b
    Exit codes: 0 healthy; 1 degraded: something differs, or IB could not be
    asked; 2 unhealthy; 65 no such backup; 69 a copy cannot be fetched; 74 no
    room.

    \b
    Examples:
      v6 backup drill
      v6 backup drill backup_20261124_163000
    """
    return app.restores.rehearse(restore_drill.NAME, which)
