"""v6 backup verify."""

from __future__ import annotations

from pathlib import Path

import click

from v6cli import completion, options
from v6cli.app import App
from v6cli.backup import carrying, catalogue, render, verify


@options.command()
@click.argument("which", metavar="[NAME|PATH|URL|latest]", default=catalogue.LATEST, shell_complete=completion.backups)
@click.option("--all", "everything", is_flag=True, help="Every backup of this home.")
@click.option("--scratch", metavar="DIR", type=click.Path(path_type=Path), help="Where it is taken out to.  [default: backups/]")
def command(app: App, which: str, everything: bool, scratch: Path | None) -> int:
    """Prove that a backup can be restored: every sum, then every table opened and counted.

    When to use: after a backup, every week, and before you rely on one. It takes the
    archive out to a scratch folder, compares each table's version, schema, files and rows
    with the manifest, looks through the state, and removes the folder again. A name that
    only backup.remote knows, or the address of a copy, is fetched first.

    \b
    If it fails: the backup is not to be relied on. Make a new one with v6 backup,
    and keep the bad one until the new one is verified.

    \b
    Exit codes: 0 healthy; 1 degraded: whole, but something was left out, or has
    no sum beside it; 2 unhealthy; 65 no such backup; 69 a copy cannot be fetched;
    74 no room for the scratch folder.

    \b
    Examples:
      v6 backup verify
      v6 backup verify backup_20261124_163000
      v6 backup verify --all
    """
    into = scratch or app.home.backups
    with app.output.live("verifying") as report, carrying.chosen(app.home, app.settings.backup, which, into, report, everything) as paths:
        found = [verify.verify(path, into, report) for path in paths]
    app.output.show(render.verified(found))
    for problem in catalogue.record_all(app.home, found):
        app.output.note(problem)
    return max(one.code for one in found)
