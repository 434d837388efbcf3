"""v6 orders list."""

from __future__ import annotations

from v6cli import options
from v6cli.app import App
from v6cli.runbook import orders
from v6cli.state import intents


@options.command()
def command(app: App) -> None:
    """Show the orders that work, whoever placed them, and what became of v6's own last ones.

    When to use: whenever you want to know what may still fill, and why something did not. What was rejected comes with IB's words
    and what to do about it. v6 orders, typed bare, is the same.

    \b
    If it fails: what is known is shown, and said what is not: v6's own orders as
    recorded where the gateway is silent, the working ones where the state file
    is damaged.

    \b
    Exit codes: 0; 69 the gateway cannot be asked, or the state file not be read.

    \b
    Examples:
      v6 orders
      v6 orders -o json
    """
    recent = app.look_up_or_say(intents.recent)
    working = app.ask(orders.listed(app.gateway))
    app.output.show(orders.table(working, recent))
    orders.check_known(working, recent)
