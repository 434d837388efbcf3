"""v6 orders reentry."""

from __future__ import annotations

from pathlib import Path

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import emergency_record, reentry


@options.command()
@click.argument("record", type=click.Path(path_type=Path))
def command(app: App, record: Path) -> None:
    """What an emergency shutdown cancelled, as lines to enter into TWS again.

    When to use: after v6 emergency shutdown, once the cause is gone, for the orders that protected what is still held. RECORD is the
    proof record that the shutdown named, logs/emergency_<time>.json. Each line has what was left of the order; what filled since is
    taken off.

    Nothing is sent: each order is entered by you. What is not proven gone comes last: look in TWS whether it still works. Where
    the shutdown sent no cancel at all, the heading says so.

    \b
    If it fails: look at the record itself, it is JSON; its orders are there in
    full.

    \b
    Exit codes: 0 shown; 65 no such record, or none that can be read.

    \b
    Examples:
      v6 orders reentry logs/emergency_20261124_031205.json
      v6 orders reentry logs/emergency_20261124_031205.json -o csv
    """
    app.output.show(reentry.table(emergency_record.read(record)))
