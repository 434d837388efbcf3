"""v6 backup list."""

from __future__ import annotations

from v6cli import clock, options
from v6cli.app import App
from v6cli.backup import catalogue, render, retention


@options.command()
def command(app: App) -> None:
    """The backups of this home, the newest first, and the sessions of which there is none.

    When to use: every week, and to choose what to restore. verified says what the last
    v6 backup verify of exactly this file found; never, where it was changed since. A session
    has a backup when one was taken after its close and before the next one's.

    \b
    Exit codes: 0.

    \b
    Examples:
      v6 backup list
      v6 backup list -o json
    """
    app.look_anyway()
    kept, now = catalogue.backups(app.home), clock.now()
    app.output.show(render.listed([catalogue.describe(one) for one in kept], retention.gaps(kept, now), now))
