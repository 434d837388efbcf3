"""v6 gateway fault."""

from __future__ import annotations

from pathlib import Path

import click

from v6cli import options
from v6cli.app import App
from v6cli.completion import fault_parameters, faults
from v6cli.simulator import control
from v6cli.simulator.faults import words


@options.command()
@click.argument("name", required=False, shell_complete=faults)
@click.argument("values", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=fault_parameters)
@click.option("--list", "listing", is_flag=True, help="Every fault, what it means and takes, and which hold.")
@click.option("--clear", is_flag=True, help="Heal this fault, or all of them.")
@click.option("--control", "path", metavar="PATH", type=click.Path(path_type=Path), help="The socket of a gateway outside a home.")
def command(app: App, name: str | None, values: tuple[str, ...], listing: bool, clear: bool, path: Path | None) -> None:
    """Let something go wrong at the running simulated gateway, or heal it.

    When to use: to see what v6, or any IB client, makes of a lost link, a silent gateway, a missing quote. It works on the
    gateway of a demo home, or on one that v6 gateway simulate --control PATH runs; never on a real one. Values of one key
    are separated by commas. Without a name it lists every fault.

    \b
    If it fails: v6 services start ib-gateway, where no gateway runs.

    \b
    Exit codes: 0; 64 no such fault or parameter; 65 a value it cannot have;
    69 no gateway runs; 77 the home is no demo; 78 no home.

    \b
    Examples:
      v6 gateway fault link-lost restored=1101 seconds=30
      v6 gateway fault no-bid of=SPY,QQQ
      v6 gateway fault link-lost --clear
      v6 gateway fault --clear
    """
    wish = words.wish(name, values, listing=listing, clear=clear)
    if wish is None:
        app.output.show(words.table(control.held_if_known(path, app.home_if_any(), lambda: app.settings)))
    elif path is not None:
        app.output.show(words.held_table(control.carry_out_outside(path, wish)))
    else:
        _in_home(app, wish=wish)


@options.changes(dry_run=False)
def _in_home(app: App, wish: words.Wish) -> None:
    app.output.show(words.held_table(control.carry_out(control.socket_of(app.home, app.settings), wish)))
