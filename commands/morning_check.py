"""v6 morning-check."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import checklist, morning_check


@options.command()
@click.option("--fix", is_flag=True, help="Run the suggested commands, after asking.")
@click.option("--explain", is_flag=True, help="What each step looks at, and why.")
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@options.excludes("--explain", "--fix", "--yes")
def command(app: App, fix: bool, explain: bool, yes: bool) -> int:
    """The morning checklist: is everything ready to trade?

    When to use: an hour before the open. Looking changes nothing.

    \b
    Steps: gateway, login and buying power; services; positions synced, greeks,
    alerts and age of the data; health; risk limits; errors of the last 24 hours.
    They run side by side and share one session with the gateway.

    \b
    If it fails: each row that is not green names the command that mends it; --fix
    runs those, and looks again. Unknown is not green. Alerts stay open until you
    have read them: --fix acknowledges none.

    \b
    Exit codes: 0 healthy, 1 degraded, 2 unhealthy (or gateway, account, positions
    or risk unknown).

    \b
    Examples:
      v6 morning-check
      v6 morning-check --fix
      v6 morning-check -o json
    """
    if explain:
        app.output.show(checklist.explanation(morning_check.procedure(app.facts())))
        return 0
    outcomes = app.check(morning_check.procedure)
    if fix and (found := checklist.fixes(outcomes)):
        app.output.show(checklist.table(morning_check.procedure(app.facts()), outcomes, every=app.output.verbose))
        app.mend(found, yes=yes)
        outcomes = app.check(morning_check.procedure)
    app.output.show(checklist.table(morning_check.procedure(app.facts()), outcomes, every=app.output.verbose))
    return checklist.code(outcomes)
