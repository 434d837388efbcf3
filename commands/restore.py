"""v6 restore."""

from __future__ import annotations

import click

from v6cli import completion, options
from v6cli.app import App
from v6cli.backup import catalogue
from v6cli.runbook import restore_asked, restore_tables


@options.command()
@click.argument("which", metavar="[NAME|PATH|URL|latest]", default="", shell_complete=completion.backups)
@click.option("--only", multiple=True, metavar="TABLE", help="This table alone; may be given again.")
@click.option("--config", is_flag=True, help="Take the settings of the backup, too.")
@click.option("--no-start", is_flag=True, help="Leave the services stopped.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with a restore that was interrupted.")
@click.option("--rollback", is_flag=True, help="Bring back the lake from before the restore.")
@click.option("--discard", is_flag=True, help="Let the lake from before the restore go.")
@options.excludes("--continue", "--only", "--config")
@options.excludes("--rollback", "--only", "--config")
@options.excludes("--discard", "--only", "--config", "--no-start")
@options.changes(asks=True)
def command(app: App, which: str, only: tuple[str, ...], config: bool, no_start: bool, yes: bool, dry_run: bool, **instead: bool) -> None:
    """Put the lake of a backup in the place of the lake there is, all at once.

    When to use: the lake is damaged or lost, or wrong data has to go. Intents, journal and
    the trading state are never replaced: what the backup knows of orders is united with
    what is known here, and trading is reduce-only until v6 resume. A name that only
    backup.remote knows, or the address of a copy, is fetched first, and decrypted.

    \b
    Steps: see that the lake can be exchanged; take the backup out beside it,
    checking every sum, and open every table; show what changes; ask; reduce-only;
    stop all services; back up what is there; exchange the two lakes; unite the
    state; sync with IB; start the services. The lake from before is kept until
    --discard.

    \b
    If it fails: before it has asked, nothing has changed. After that the next v6
    says how far it came: --continue goes on from there, --rollback goes back.

    \b
    Exit codes: 0; 65 not to be restored; 69 restored, but not reconciled, or a
    service did not start, or a copy cannot be fetched; 74 no room, cannot write;
    75 a service did not stop; 77 declined, another account, or the lake cannot be
    exchanged; 78 unfinished, and its record is unreadable, or no key opens the
    copy.

    \b
    Examples:
      v6 restore latest --dry-run
      v6 restore backup_20261124_163000
      v6 restore /mnt/usb/backup_20261124_163000.tar.gz --only executions
      v6 restore s3://bucket/prefix/backup_20261124_163000.tar.gz
      v6 restore --rollback --dry-run
    """
    if how := restore_asked.instead(which, **instead):
        own = restore_asked.last(app.home, how, start=not no_start)
        app.output.show(restore_tables.way(how, own, app.home))
        if dry_run:
            return
        with app.alone("restore"), app.restores.restoring(restore_tables.title(how, own)) as restoring:
            app.output.confirm(restore_asked.question(how, own), yes=yes)
            restoring.end(how, own)
            restoring.check_reconciled()
        return
    wish = restore_asked.Wish(app.restores.archive(which or catalogue.LATEST, dry_run=dry_run), only, config, not no_start)
    if dry_run:
        with app.output.live("reading the backup") as report, restore_asked.looked(app.home, wish, app.settings, report) as staged:
            app.output.show(restore_tables.plan(staged, wish, app.home))
        return
    with app.alone("restore"), app.restores.restoring(f"restore of {wish.archive.name}") as restoring:
        with restoring.staged(wish) as staged:
            app.output.show(restore_tables.plan(staged, wish, app.home))
            app.output.confirm(restore_asked.QUESTION, yes=yes)
            begun = restoring.begin(staged, wish)
        restoring.carry_out(begun)
        restoring.check_reconciled()
    app.output.note(restore_tables.still_kept(begun, app.home))
    app.output.note("trading is REDUCING; next: v6 health, then v6 resume --reason TEXT")
