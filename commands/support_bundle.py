"""v6 support-bundle."""

from __future__ import annotations

from functools import partial

import click

from v6cli import clock, options
from v6cli.app import App
from v6cli.runbook import logs, support


@options.command()
@click.option("--to", metavar="DIR|FILE", help="Where it goes.  [default: the home's support folder]")
@click.option(
    "--since", metavar="WHEN", default="24h", show_default=True, help="How far back logs go: 24h, 7d, today, or a time in New York."
)
@click.option("--dry-run", is_flag=True, help="Show what would go in, and its size; write nothing.")
def command(app: App, to: str | None, since: str, dry_run: bool) -> int:
    """What a supporter needs to see, in one archive without account numbers and secrets.

    When to use: when the runbook does not help and you contact somebody. It needs nothing
    that may be broken: each part that is not to be had leaves its reason in its place.

    \b
    What goes in: status, health, versions, settings, trading state, services,
    logs and errors, alerts, journal, checks, syncs, versions of the lake's
    tables, figures of this machine; a manifest with the hash of each. Accounts,
    users and hosts become placeholders (ACCOUNT-1). It is sent nowhere. Look into
    it before you send it.

    \b
    If it fails: --to puts it into a folder that can be written.

    \b
    Exit codes: 0 whole; 1 some parts are missing; 65 no such time; 74 cannot
    write.

    \b
    Examples:
      v6 support-bundle
      v6 support-bundle --since 7d --to /tmp
      v6 support-bundle --dry-run
    """
    app.look_anyway()
    at, from_when = clock.wall(), logs.back_to(since)
    if dry_run:
        app.output.show(support.planned(app.facts(), from_when))
        return 0
    target = support.place(app.home, to, at)
    with support.opened(target) as file, app.output.live("v6 support-bundle") as report:
        gained = app.run(app.on_facts(partial(support.collect, since=from_when, report=report)))
        members = support.write(file, target, app.home, app.settings, gained, from_when, at)
    bundle = support.finished(target, members)
    app.output.show(support.table(bundle))
    app.record(support.KIND, bundle.exit_code, support.evidence(bundle))
    for line in support.escalation(app.settings):
        app.output.note(line)
    return bundle.exit_code
