"""A simulated gateway for benchmarks, in a process of its own: it prints its port, and ends with its standard input.

`gateway.py SCENARIO QUOTES_EVERY RATE`: home time runs RATE times as fast, from an hour at which everything is open.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from v6cli import clock
from v6cli.simulator import scenario
from v6cli.simulator.answers import market_data
from v6cli.simulator.server import Gateway


async def main(name: str, quotes_every: float) -> None:
    gateway = Gateway(scenario.load(name), quotes_every=quotes_every, account_every=60.0, pacing=False)
    print(await gateway.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await gateway.close()


if __name__ == "__main__":
    market_data.LINES = 1000  # a login has a hundred
    clock.start(float(sys.argv[3]), datetime(2026, 11, 24, 15, 30, tzinfo=UTC), clock.wall())
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
