"""v6 account."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.portfolio import account


@options.command()
@click.option("--from-gateway", is_flag=True, help="Ask IB now instead of showing the last sync.")
def command(app: App, from_gateway: bool) -> None:
    """Net liquidation, cash, buying power, margin and P&L.

    When to use: to see what the account can carry. Without --from-gateway it shows what the last sync saw, with its age.

    \b
    Exit codes: 0; 69 nothing recorded of it, or the gateway does not answer.

    \b
    Examples:
      v6 account
      v6 account --from-gateway
    """
    known = app.run(account.from_gateway(app.gateway)) if from_gateway else app.recorded().account
    app.output.show(account.record(known))
