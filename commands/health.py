"""v6 health."""

from __future__ import annotations

from v6cli import options
from v6cli.app import App
from v6cli.health import examine
from v6cli.health.render import table
from v6cli.procedure import exit_code


@options.command()
def command(app: App) -> int:
    """Judge gateway, account, sync, services, machine and lake.

    When to use: at any time, and from a monitor: the exit code tells. A link to IB that is
    lost while IB resets its servers (gateway.resets) is degraded, at any other time unhealthy.

    \b
    Looks at: gateway process and login, whether its API may write, account,
    positions and sync lag (healthy below 5 minutes, degraded to 15, unhealthy
    above), age of the greeks, services, disk and memory (at most 90 %), clock
    against the gateway's, whether the lake can be read, trading state.

    \b
    Exit codes: 0 healthy, 1 degraded, 2 unhealthy (or gateway, account or
    positions unknown).

    \b
    Examples:
      v6 health
      v6 health -o json
    """
    found = app.run(app.on_facts(examine.everything))
    app.output.show(table(found))
    return exit_code(found)
