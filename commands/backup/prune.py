"""v6 backup prune."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.backup import carrying, render, retention


@options.command()
@click.option(
    "--keep", type=options.Range(min=0, min_open=True), metavar="DAYS", help="Keep those of so many days.  [default: backup.keep]"
)
@options.changes()
def command(app: App, keep: float | None, dry_run: bool) -> None:
    """Remove backups that are old enough, 30 days unless backup.keep says otherwise.

    When to use: by schedule, or when the disk fills. The newest backup and the newest
    verified one are never removed, however old they are. The same holds of the copies in
    backup.remote; those that another home sent there, or this one before it was moved, or
    nobody knows who, are left alone.

    \b
    Exit codes: 0; 69 the place of the copies does not answer; 74 one cannot be
    removed; 77 a backup is being made.

    \b
    Examples:
      v6 backup prune --dry-run
      v6 backup prune --keep 14
    """
    days = keep or app.settings.backup.keep
    copies, error = carrying.prune(app.home, app.settings.backup, days, dry_run=dry_run)
    here = retention.prune(app.home, days, dry_run=dry_run)
    app.output.show(render.pruned(here, copies, days, dry_run=dry_run))
    if error:
        raise error
