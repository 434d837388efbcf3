"""v6 risk."""

from __future__ import annotations

from v6cli import options
from v6cli.app import App
from v6cli.health import examine
from v6cli.portfolio import limits
from v6cli.procedure import Status, exit_code


@options.command()
def command(app: App) -> int:
    """The portfolio against its limits: delta, gamma, largest symbol.

    When to use: before new entries. It judges what the last sync saw; a book that is too old, or a leg without greeks, makes
    the answer unknown, and unknown is not green.

    \b
    Exit codes: 0 inside, 1 near a limit, 2 over a limit or unknown.

    \b
    Examples:
      v6 risk
      v6 risk -o json
    """
    risk = app.run(app.on_facts(examine.measured_risk))
    app.output.show(limits.table(risk.measures, risk.findings, risk.at))
    for fix in dict.fromkeys(str(one.fix) for one in risk.findings if one.fix is not None and one.status is not Status.OK):
        app.output.note(f"next: {fix}")
    return exit_code(risk.findings)
