"""v6 close-all."""

from __future__ import annotations

from typing import Any

import click

from v6cli import latch, options
from v6cli.app import App
from v6cli.latch import TradingState
from v6cli.runbook import close_all, close_wish, halt


@options.command()
@click.option("--symbol", metavar="SYMBOL", help="Positions of this symbol alone.")
@click.option("--strategy", metavar="NAME", help="Strategies whose name has this in it, such as condor.")
@options.closing
def command(app: App, symbol: str | None, strategy: str | None, account: str, yes: bool, dry_run: bool, **how: Any) -> None:
    """Close every position, and prove that nothing is left.

    When to use: when everything has to go, or the bot cannot close by itself. Combos go first, at prices that walk from the middle of the
    market to a cap; what does not fill so goes leg by leg, shorts before the longs that cover them. Closing never opens.

    \b
    Steps: reduce-only; the plan, from IB; ask; halt, which v6-trading does not
    survive; cancel every order; what has grown since the plan is shown and asked
    about once more, unless --yes; close; positions asked for anew; sync; other
    homes of this machine named, which go on as they are.
    A dry run shows the plan, and neither halts nor sends anything.

    \b
    If it fails: run it again, at any point; it goes on where it was. What could
    not be closed is named, with why; exit 75. Another halt stops it, as ^C does:
    its orders are taken back, and what filled and what is left is shown.
    Where orders cannot be recorded (a full disk), none is sent: the ones to type
    into TWS are shown; exit 74. A damaged state file is moved aside by itself.

    \b
    Exit codes: 0 flat; 64 empty name; 65 nothing fits; 69 no gateway;
    74 cannot write; 75 something is left or unknown; 77 declined, or another
    closing runs.

    \b
    Examples:
      v6 close-all --dry-run
      v6 close-all --symbol SPY --yes
      v6 close-all --market --yes --account U1234567
    """
    wish = close_wish.wish_for_all(app.settings_in_need.closing, symbol=symbol, strategy=strategy, home=app.flags.get("home"), **how)
    if dry_run:
        app.emergencies.show_plan(app.emergencies.closing(wish))
        return
    with app.halts.naming_other_homes(), app.emergencies.typed_instead(wish):
        reduced = halt.tighten(app.home, TradingState.REDUCING, wish.what, app.operator, app.halts.silence)
        app.output.note(halt.said(latch.read(app.home)))
        if reduced.kept:
            app.output.note(halt.keeps(reduced.kept))
        with app.act.journaled(emergency=True):
            app.say_where(emergency=True)
            closing = app.emergencies.closing(wish)
            app.emergencies.show_plan(closing)
            app.act.check_recordable()
            closing.agree(app.output.ask_or_no, yes=yes, typed=account)
            with app.alone("close-all"):
                app.emergencies.flatten(closing)
    app.output.note(close_all.next_line(latch.read(app.home).state))
