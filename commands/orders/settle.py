"""v6 orders settle."""

from __future__ import annotations

import click

from v6cli import options
from v6cli.app import App
from v6cli.runbook import orders, settling
from v6cli.state import intents


@options.command()
@click.argument("order_ref", metavar="ORDERREF")
@click.option("--filled", type=float, metavar="N", help="It filled N of its quantity, and works no more.")
@click.option("--dead", is_flag=True, help="It filled nothing, and works no more.")
@options.changes(asks=True)
def command(app: App, order_ref: str, filled: float | None, dead: bool, yes: bool, dry_run: bool) -> None:
    """Say what became of an order that no list of IB can tell any more.

    When to use: an order is unknown since the gateway's day ended before its end was heard, and blocks its contract. Look in TWS
    under Trades and Orders first. It shows what IB says, asks, and keeps your word in the journal.

    \b
    If it fails: nothing was settled. An order that IB lists as working is never
    settled by word: cancel it first. Nor is one whose sender still runs, or one
    that is open while IB cannot be asked: v6-trading settles those itself.

    \b
    Exit codes: 0; 64 not said what; 65 no such order, or not so much of it; 77
    known already, working, or its sender runs.

    \b
    Examples:
      v6 orders settle v6-dm3k9x1-4.1 --dead
      v6 orders settle v6-dm3k9x1-4.1 --filled 2
    """
    settling.check_said(filled, dead=dead)
    state = app.state_for(dry_run=dry_run)
    intent = intents.find(state, order_ref)
    settling.check_open(app.home, intent)
    settling.check_possible(intent, filled)
    working = app.ask(orders.listed(app.gateway))
    app.output.text(settling.said_of(intent, working))
    settling.check_not_working(intent, working)
    if dry_run:
        return
    app.output.confirm(f"settle it as {'dead' if dead else f'filled {filled:g}'}?", yes=yes)
    intents.end(state, intent.intent, "settled", filled or 0.0, f"said by {app.operator}")
    app.output.note("settled: its contract is free again")
