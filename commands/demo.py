"""v6 demo."""

from __future__ import annotations

import shlex

import click

from v6cli import options
from v6cli.app import App
from v6cli.completion import scenarios
from v6cli.home import Home
from v6cli.runbook import checklist, demo, morning_check


@options.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(), required=False)
@click.option("--scenario", shell_complete=scenarios, help="What the simulated account holds.  [default: default]")
@click.option("--check", is_flag=True, help="Stop everything afterwards and exit with the check's code.")
@click.option("--stop", is_flag=True, help="Stop the demo.")
@options.excludes("--stop", "--check", "--scenario")
def command(app: App, folder: str | None, scenario: str | None, check: bool, stop: bool) -> int:
    """A running system to try things in: simulated gateway, position sync, morning checklist.

    When to use: first. Nothing of it touches IB or money; everything it shows came over the same socket protocol that IB
    speaks. Without DIR it lives in your user data folder; running it twice is fine. --stop
    ends the demo whose folder you are in, else that one.

    \b
    Steps: make a demo home; start gateway and sync; wait for the first sync; run
    the morning checklist; print what to try next.

    \b
    If it fails: v6 demo --stop, then v6 demo again. Logs are in the
    demo's logs folder. After ^C what was started goes on; the line to end it is
    shown.

    \b
    Exit codes: those of the checklist: 0 healthy, 1 degraded, 2 unhealthy.

    \b
    Examples:
      v6 demo
      v6 demo --scenario degraded
      v6 demo --stop
    """
    place = demo.place(folder, around=stop)
    app.as_owner(Home(place))
    if stop:
        app.enter(demo.existing(place))
        app.say_where(emergency=True)
        with app.act.journaled(emergency=True):
            demo.stop(app.services_in_need(), app.output.report)
        app.output.text(f"the demo in {place} is stopped")
        return 0
    app.enter(demo.prepare(place, scenario))
    demo.adjust(app.home, app.services, scenario, app.output.report)
    app.enter(app.home)
    with demo.left_running(app.home, app.services, app.output.report):
        try:
            with app.act.journaled(), app.output.live("v6 demo") as report:
                demo.start(app.home, app.services, report)
            outcomes = app.check(morning_check.procedure)
            app.output.show(checklist.table(morning_check.procedure(app.facts()), outcomes, every=app.output.verbose))
        finally:
            if check:
                demo.stop(app.services, app.output.report)
    if not check:
        app.output.note(demo.NEXT.format(place=shlex.quote(str(place))))
    return checklist.code(outcomes)
