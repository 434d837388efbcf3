"""v6 status."""

from __future__ import annotations

from v6cli import options
from v6cli.app import App
from v6cli.health import status


@options.command()
def command(app: App) -> int:
    """One screen of everything: trading state, gateway, services, sync, book, risk, alerts.

    When to use: to see where things stand. It shows what is recorded, with its age, beside what the gateway says now.

    \b
    Exit codes: 0 healthy, 1 degraded, 2 unhealthy.

    \b
    Examples:
      v6 status
      v6 status -o json
    """
    screen = app.run(app.on_facts(status.screen))
    app.output.show(screen.record)
    if screen.exit_code:
        app.output.note("next: v6 health names what mends each")
    return screen.exit_code
