"""v6 close-all."""

from __future__ import annotations

from typing import Any

import click

from v6cli import latch, options
from v6cli.app import App
from v6cli.latch import TradingState
from v6cli.runbook import close_all, close_tables, halt


@options.command()
@click.option("--symbol", default="", metavar="SYMBOL", help="Positions of this symbol alone.")
@click.option("--strategy", default="", metavar="NAME", help="Strategies whose name has this in it, such as condor.")
@options.closing
def command(app: App, symbol: str, strategy: str, account: str, yes: bool, dry_run: bool, **how: Any) -> None:
    """Close every position, and prove that nothing is left.

    When to use: when everything has to go, or the bot cannot close by itself. Combos go first, at prices that walk from the middle of the
    market to a cap; what does not fill so goes leg by leg, shorts before the longs that cover them. Closing never opens.

    \b
    Steps: reduce-only; the plan, from IB; ask; halt, which v6-trading does not
    survive; cancel every order; close; positions asked for anew; sync.
    A dry run shows the plan, and neither halts nor sends anything.

    \b
    If it fails: run it again, at any point; it goes on where it was. What could
    not be closed is named, with why; exit 75. Another halt stops it.

    \b
    Exit codes: 0 flat; 65 nothing fits; 69 no gateway; 74 cannot write;
    75 something is left or unknown; 77 declined, or another closing runs.

    \b
    Examples:
      v6 close-all --dry-run
      v6 close-all --symbol SPY --yes
      v6 close-all --market --yes --account U1234567
    """
    wish = close_all.wish(app.settings.closing, "v6 close-all", symbol=symbol, strategy=strategy, **how)
    if dry_run:
        app.show_plan(app.closing(wish, ""))
        return
    halt.tighten(app.home, TradingState.REDUCING, wish.what, app.operator, app.silence)
    app.output.note(halt.said(latch.read(app.home)))
    with app.journaled(), app.alone("close-all"):
        app.say_where()
        closing = app.closing(wish, app.run_of_this)
        app.show_plan(closing)
        closing.agree(app.output.ask, yes=yes, typed=account)
        halted = halt.tighten(app.home, TradingState.HALTED, wish.what, app.operator, app.silence)
        closing.permit([halted.mark])
        app.output.note(closing.end_what_trades(app.services_in_need()))
        left = app.close_positions(closing)
        app.output.show(close_tables.left_table(left, wish.what))
        app.output.note(halt.said(latch.read(app.home)))
        close_tables.check_flat(left, wish.what)
    app.output.note(close_all.NEXT)
