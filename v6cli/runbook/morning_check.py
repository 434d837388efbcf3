"""The morning checklist: six steps before the open, one gateway session for all of them."""

from __future__ import annotations

from functools import partial

from v6cli.health import examine
from v6cli.health.gather import Facts
from v6cli.procedure import Finding, Procedure, Step

KIND = "morning-check"
RECENTLY = 3600.0  # seconds within which an error is one of the running services


def procedure(facts: Facts) -> Procedure:
    """The steps, ready to run."""
    return Procedure(
        KIND,
        "Morning checklist",
        (
            Step(
                "gateway",
                "IB gateway",
                "Logs in at the gateway, as the services do, and asks for the account. Without the gateway nothing else can be trusted; without buying power entries are rejected.",
                partial(examine.gateway, facts),
                "gateway",
            ),
            Step(
                "services",
                "Services",
                "Asks the service manager for every service, and their logs for errors of the last hour. One that is down or keeps restarting does not trade, sync or alert.",
                partial(_services, facts),
                "services",
            ),
            Step(
                "positions",
                "Positions",
                "Compares the recorded positions with the gateway's, and looks at sync lag, greeks and alerts: decisions are made on what is recorded.",
                partial(examine.recorded, facts),
                "positions",
            ),
            Step(
                "health",
                "Health",
                "Disk, memory and lake, where the next sync and the next backup go.",
                partial(examine.machine, facts),
                "health",
            ),
            Step(
                "risk",
                "Risk limits",
                "Portfolio delta, gamma and the largest symbol against their limits. A leg without greeks makes the sum unknown, which is not green.",
                partial(examine.risk, facts),
                "risk",
            ),
            Step(
                "logs",
                "Logs",
                "Errors that the services logged in the last 24 hours, the same ones counted together.",
                partial(examine.errors, facts),
                "logs",
            ),
        ),
    )


async def _services(facts: Facts) -> list[Finding]:
    return [*await examine.services(facts), *await examine.trading(facts), *await examine.errors(facts, RECENTLY)]
