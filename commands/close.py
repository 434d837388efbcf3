"""v6 close."""

from __future__ import annotations

from typing import Any

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import close_tables, close_wish


@options.command()
@click.argument("position", metavar="POSITION|SYMBOL")
@options.closing
def command(app: App, position: str, account: str, yes: bool, dry_run: bool, **how: Any) -> None:
    """Close one position, or all of one symbol, and leave everything else as it is.

    When to use: to get out of one thing. It works in any trading state and leaves it as it found it; only orders that rest on this very
    position are cancelled, by whoever placed them. POSITION is a contract id, or its name as v6 positions and TWS show it.
    Of a strategy every leg is closed, whichever of them POSITION names.

    \b
    If it fails: run it again. What is left is named, with why; exit 75. A halt
    that comes meanwhile stops it, as ^C does: its orders are taken back, and what
    filled and what is left is shown. Where orders cannot be recorded (a full
    disk, a damaged state file), none is sent: what to type into TWS is shown.

    \b
    Exit codes: 0 closed; 64 empty name; 65 nothing fits; 69 no gateway;
    74 cannot write; 75 something is left or unknown; 77 declined, halted, or
    another closing runs.

    \b
    Examples:
      v6 close SPY --dry-run
      v6 close 756733 --yes
    """
    wish = close_wish.wish_for_position(app.settings.closing, position, home=app.flags.get("home"), **how)
    if dry_run:
        app.emergencies.show_plan(app.emergencies.closing(wish))
        return
    with app.emergencies.typed_instead(wish), app.act.journaled():
        app.say_where()
        closing = app.emergencies.closing(wish)
        app.emergencies.show_plan(closing)
        closing.agree(app.output.ask_or_no, yes=yes, typed=account)
        closing.begin(app.state, app.act.run)
        closing.permit()
        left = app.emergencies.close_positions(closing)
        app.output.show(close_tables.left_table(left, wish.what))
        close_tables.check_flat(left, wish.line)
