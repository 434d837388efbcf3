"""v6 backup create."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.backup import carrying, create, render, scratch


@options.command()
@click.option("--include-secrets", is_flag=True, help="Take files of config/ along that hold secrets.")
@options.changes()
def command(app: App, include_secrets: bool, dry_run: bool) -> None:
    """Back up lake, state and settings of this home, while it goes on working.

    When to use: after the close, and before anything that may break. v6 backup, typed bare,
    is the same. Files of config/ that hold secrets are left out, and named.

    \b
    Steps: pin every table to the versions of the last sync; hold their files
    open; copy the state; write backups/backup_<time>.tar.gz and its .sha256; list
    what is in it; where backup.remote names a place, send there every backup that
    it lacks, and read it back.

    \b
    If it fails: nothing is left behind. A table that cannot be read is named, and
    the rest is backed up all the same. tar -xzf reads what it writes. A copy that
    does not arrive leaves the backup as it is; the next v6 backup sends what is
    missing.

    \b
    Exit codes: 0; 69 made, but a table is missing in it, or its copy did not
    arrive; 74 no room, or cannot write; 77 another backup runs; 78 made, but
    backup.remote cannot be used.

    \b
    Examples:
      v6 backup
      v6 backup --dry-run
    """
    if dry_run:
        plan = create.preview(app.home, app.settings, include_secrets=include_secrets)
        app.output.show(render.planned(plan, create.estimate(plan), scratch.free(app.home.backups)))
        return
    with app.output.live("backup") as report:
        backup = create.create(app.home, app.settings, app.state, report, include_secrets=include_secrets)
    app.output.show(render.made(backup))
    with app.output.live("copying") as report:
        carried = carrying.carry(app.home, app.settings.backup, report)
    for name in carried.names:
        app.output.note(f"{name} is in {carried.where}, read back")
    create.check_whole(backup)
    carrying.check_carried(carried)
