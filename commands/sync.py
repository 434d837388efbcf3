"""v6 sync."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.backup import restoration
from v6cli.runbook import sync as procedure
from v6cli.sync import render


@options.command()
@click.option("--force", is_flag=True, help="Sync even where the last one is fresh.")
@click.option("--watch", is_flag=True, help="Sync for ever: the service v6-position-sync.")
@options.changes()
def command(app: App, force: bool, watch: bool, dry_run: bool) -> None:
    """Bring positions, account, executions and greeks from IB into lake and state.

    When to use: before relying on what is shown, after closing something by hand, or when the sync lags. A plain sync does
    nothing while the last one is fresh.

    \b
    Steps: ask the gateway for everything and wait for each answer to end; ask
    again where positions disappeared; compare with the last sync and name the
    cause of each difference; write each table once; show the differences.

    \b
    If it fails: an answer that did not come is unknown, and nothing was written.
    Check the gateway with v6 health.

    \b
    Exit codes: 0; 69 the gateway does not answer; 74 cannot write; 77 wrong
    account.

    \b
    Examples:
      v6 sync --force
      v6 sync --dry-run
    """
    if not dry_run:
        restoration.check_finished(app.home)
    if watch:
        procedure.watch(app.home, app.settings, app.state, dry_run=dry_run, force=force)
        return
    if not force and not dry_run and (age := procedure.fresh_for(app.state, app.settings)) is not None:
        app.output.note(f"the last sync is {age} old: nothing to do (--force syncs all the same)")
        return
    with app.output.live("position sync") as report:
        done = app.run(procedure.once(app.home, app.settings, app.state_for(dry_run=dry_run), report, dry_run=dry_run, force=force))
    app.output.show(render.table(done, dry_run=dry_run))
