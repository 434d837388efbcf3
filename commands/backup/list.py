"""v6 backup list."""

from __future__ import annotations

import click

from v6cli import clock, options
from v6cli.app import App
from v6cli.backup import carrying, catalogue, render, retention, whose


@options.command()
@click.option("--remote", is_flag=True, help="The copies in backup.remote instead.")
def command(app: App, remote: bool) -> None:
    """The backups of this home, the newest first, and the sessions of which there is none.

    When to use: every week, and to choose what to restore. verified says what the last
    v6 backup verify of exactly this file found; never, where it was changed since. A session
    has a backup when one was taken after its close and before the next one's. --remote shows
    the copies of every home that keeps them there, and whose they are where that is known.

    \b
    Exit codes: 0; with --remote, 69 the place of the copies does not answer, 78
    it cannot be used, or there is none.

    \b
    Examples:
      v6 backup list
      v6 backup list --remote
    """
    app.look_anyway()
    kept, now = catalogue.backups(app.home), clock.now()
    if remote:
        copies = carrying.copies(app.settings.backup)
        found = copies.found()
        homes = copies.homes(found, whose.known(app.home))
        app.output.show(render.copies(found, homes, {one.path.name for one in kept}, copies.where, now))
        return
    app.output.show(render.listed([catalogue.describe(one) for one in kept], retention.gaps(kept, now), now))
