"""Which services there are, the v6 command line each one runs, and the order in which they start."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from msgspec import Struct

from v6cli.errors import UsageError


class Service(Struct, frozen=True):
    """One long-lived process of a home.

    ``argv`` is its v6 command line without the program. ``after`` names the services that start before it and stop after it,
    where they are started or stopped together; it does not pull them in. ``role`` is what would be missing without it.
    """

    name: str
    argv: tuple[str, ...]
    after: tuple[str, ...] = ()
    title: str = ""
    role: str = ""
    simulated_only: bool = False


SERVICES = (
    Service(
        "ib-gateway",
        ("gateway", "simulate"),
        title="IB gateway (simulated)",
        role="quotes, orders and positions of a simulated account; a real gateway is not started by v6",
        simulated_only=True,
    ),
    Service(
        "v6-trading",
        ("scheduler", "run", "trading"),
        after=("ib-gateway",),
        title="Trading",
        role="sends orders and follows each to its end; holds them while trading is not active",
    ),
    Service(
        "v6-position-sync",
        ("sync", "--watch"),
        after=("ib-gateway", "v6-trading"),
        title="Position sync",
        role="carries positions, orders and executions from the gateway into the lake",
    ),
)


def services_of(*, simulated_gateway: bool) -> tuple[Service, ...]:
    """The services of a home, in the runbook's order; the gateway is among them only where it is a simulated one."""
    return tuple(service for service in SERVICES if simulated_gateway or not service.simulated_only)


def start_order(names: Iterable[str], services: Sequence[Service] = SERVICES) -> list[str]:
    """``names`` without repetition, each behind those of them that it depends on. Stopping goes the other way round.

    Services that do not depend on each other keep the order of ``services``. Raises UsageError for a name that is none.
    """
    wanted = set(names)
    known = {service.name: service for service in services}
    for name in sorted(wanted - known.keys()):
        raise UsageError(f"no service is called {name!r}{_meant(name, known)}", next_step=f"the services are {', '.join(known)}")
    order: list[str] = []

    def place(service: Service, above: tuple[str, ...]) -> None:
        if service.name in above:
            raise ValueError(f"services wait for each other: {' -> '.join((*above, service.name))}")
        for dependency in service.after:
            if dependency in known:
                place(known[dependency], (*above, service.name))
        if service.name not in order:
            order.append(service.name)

    for service in services:
        place(service, ())
    return [name for name in order if name in wanted]


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
