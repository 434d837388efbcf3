"""A simulated gateway in a process of its own: it prints its port, and ends with its standard input.

It may be given the name of a bug of the protocol to be served with.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime

from v6cli import clock
from v6cli.simulator.answers import market_data, order_messages, orders, ticks
from v6cli.simulator.connection import Connection
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario
from v6cli.simulator.server import Gateway

#: A Tuesday in November, an hour after the open.
TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
SCENARIO = Scenario(account=AccountSpec(cash=900_000.0), positions=[PositionSpec("SPY", 100)])


def sizes_with_a_point() -> None:
    """Sizes as ``7.0``: the libraries that read them as floats do not mind."""
    truly = ticks.ticks
    market_data.ticks = lambda *what: (
        (kind, tick, tuple(f"{value}.0" for value in values)) if kind == 2 else (kind, tick, values) for kind, tick, values in truly(*what)
    )


def executions_without_liquidity() -> None:
    truly = order_messages.execution
    orders.execution = lambda *what: truly(*what)[:-1]


def margins_unset() -> None:
    orders.margins = lambda _found: ("",) * 9


def descriptors_kept() -> None:
    truly = Connection.connection_made

    def made(self: Connection, transport: asyncio.Transport) -> None:
        os.dup(transport.get_extra_info("socket").fileno())
        truly(self, transport)

    Connection.connection_made = made


BUGS = {bug.__name__: bug for bug in (sizes_with_a_point, executions_without_liquidity, margins_unset, descriptors_kept)}


async def main() -> None:
    # Visitors come one upon the other, more of them within a second than one login may speak for.
    gateway = Gateway(SCENARIO, quotes_every=0.2, account_every=0.6, pacing=False)
    print(await gateway.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await gateway.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    clock.start(10.0, TUESDAY, clock.wall())
    for name in sys.argv[1:]:
        BUGS[name]()
    asyncio.run(main())
