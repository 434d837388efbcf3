"""v6 journal."""

from __future__ import annotations

import click

from v6cli import locks, options
from v6cli.app import App
from v6cli.runbook import journal as shown
from v6cli.runbook import logs
from v6cli.state import journal
from v6cli.state.database import LARGEST_ID, open_read_only


@options.command()
@click.argument("identity", metavar="[ID]", type=click.IntRange(1, LARGEST_ID), required=False)
@click.option("--since", metavar="WHEN", help="24h, 30m, 7d, today, or a time in New York.")
@click.option("--command", "words", metavar="WORDS", help="Only commands that begin with these words.")
@click.option("--failed", is_flag=True, help="Only acts that did not end well, or not yet.")
@click.option("-n", "count", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many acts.")
@options.excludes("ID", "--since", "--command", "--failed", "-n")
def command(app: App, identity: int | None, since: str | None, words: str | None, failed: bool, count: int) -> None:
    """What was done in this home: each act that changes something, who typed it, and how it ended.

    When to use: to see what happened, and after a crash, what was interrupted. With an ID: everything about that act.

    \b
    Exit codes: 0; 65 no such entry, or no such time; 69 nothing recorded yet.

    \b
    Examples:
      v6 journal
      v6 journal --since 7d --failed
      v6 journal --command "services stop"
      v6 journal 12
    """
    from_when = logs.since(since)
    with open_read_only(app.home) as state:
        acts = [journal.entry(state, identity)] if identity else journal.entries(state, from_when, words, failed=failed, limit=count)

    def lives(run: str) -> bool:
        return locks.lives(app.home, run)

    app.output.show(shown.record(acts[0], lives) if identity else shown.table(acts, lives, app.home.spare_journal))
