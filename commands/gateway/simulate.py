"""v6 gateway simulate."""

from __future__ import annotations

from pathlib import Path

import click

from v6cli import logs, options, settings
from v6cli.app import App
from v6cli.completion import scenarios
from v6cli.simulator import control, daemon, scenario


@options.command()
@click.option("--scenario", "name", shell_complete=scenarios, help="What the account holds: a packaged name or a TOML file.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port on loopback; 0 takes a free one.")
@click.option("--control", "socket", metavar="PATH", type=click.Path(path_type=Path), help="Where v6 gateway fault reaches it.")
@click.option("--state", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Where its account outlives it.")
@click.option("--rate", type=options.Range(0, 1440), help="Seconds that pass in one: 390 is a trading day in a minute, 0 none.")
@click.option("--at", "begins", metavar="TIME", help="What time it is when the gateway starts, New York's or with an offset.")
def command(
    app: App, name: str | None, port: int | None, socket: Path | None, state: Path | None, rate: float | None, begins: str | None
) -> None:
    """Run the simulated IB gateway on loopback until stopped.

    When to use: to try v6, or any IB client, without IB. A demo home runs it as the service ib-gateway. It speaks the TWS
    socket protocol; the market is made up, or replayed from quotes that a scenario names, and no order leaves this machine.
    In a home it lives by the home's clock; outside one --rate and --at set it. With --state FILE the account, its orders and
    every id go on where the last gateway with that file ended, however it ended; without it the scenario starts anew.

    \b
    If it fails: the port may be in use; --port 0 takes a free one.

    \b
    Exit codes: 0 stopped; 64 --rate or --at in a home; 65 --at cannot be;
    69 the port is in use; 74 the state cannot be written;
    77 another gateway has the socket, or the state, or a file is there;
    78 the scenario, a quote it replays, or the state cannot be used.

    \b
    Examples:
      v6 gateway simulate --scenario default --port 4102
      v6 gateway simulate --scenario awkward --port 0
      v6 gateway simulate --port 4102 --control /tmp/mine/gateway.sock
      v6 gateway simulate --port 4102 --state /tmp/mine/gateway.json
      v6 gateway simulate --port 4102 --at "2026-11-24 09:30" --rate 390
    """
    home = app.home_if_any()
    own = app.settings if home else settings.builtin("demo")
    if home:
        logs.as_daemon(home, "ib-gateway")
    daemon.run_clock(rate, begins, home)
    chosen = scenario.load(name or own.gateway.scenario)
    # Without a port of its own it is the home's gateway, and listens where the home looks for it.
    own_place = home.control_socket("ib-gateway") if home and own.gateway.simulated and port is None else None
    place = control.own_socket(socket) if socket else own_place
    app.run(daemon.serve(chosen, own.gateway.port if port is None else port, place, state, app.output.report))
