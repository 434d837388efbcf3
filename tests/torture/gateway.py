"""A simulated gateway in a process of its own, which is asked for the orders it has read: `gateway.py`.

It prints its port. Each line of its standard input is answered with a line: every order it has read, as a JSON object of
orderRef to the monotonic second at which it was read. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from v6cli.simulator import scenario
from v6cli.simulator.server import Gateway


async def main() -> None:
    gateway = Gateway(scenario.load("default"), account_every=60.0)
    place, read = gateway.uplink.place, dict[str, float]()

    def note(ticket: Any, *arguments: Any) -> None:
        read.setdefault(ticket.order_ref, time.monotonic())
        place(ticket, *arguments)

    gateway.uplink.place = note  # type: ignore[method-assign]
    print(await gateway.start(), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        assert {order.order_ref for order in [*gateway.book.alive, *gateway.book.ended] if order.client_id == 1} <= read.keys()
        print(json.dumps(read), flush=True)
    await gateway.close()


if __name__ == "__main__":
    asyncio.run(main())
