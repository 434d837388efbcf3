"""A process that sends orders by the one path, as fast as its share allows: `sender.py HOME LOG SEED [PLANT]`.

It buys and sells one share in turn, each order recorded first. LOG gets two lines for each order, ``before`` and ``after`` it is
written to the socket: the word, the orderRef, the monotonic second. Where a file LOG.stop is there, the process takes it away and
stops itself between reading the latch and the next write. PLANT ``no-lock`` leaves out the lock of the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from v6cli import barrier, clock, events, locks, settings
from v6cli.broker.connection import Connection, connect
from v6cli.broker.ib import Client
from v6cli.errors import Refused
from v6cli.home import Home
from v6cli.models import Contract, Order
from v6cli.permits import Permit
from v6cli.state import intents
from v6cli.state.database import open_state
from v6cli.trading.execution import Desk

LONGEST_DWELL = 0.01  # seconds; in the gate it takes a tenth of a millisecond, which nobody would ever meet


def log_writes(log: Path, chance: random.Random) -> None:
    """Note each write of an order, and linger between reading the latch and it."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    place, stop = Client.place, log.with_name(f"{log.name}.stop")

    def noted(self: Client, order_id: int, contract: Any, order: Any) -> None:
        time.sleep(chance.uniform(0, LONGEST_DWELL))
        if stop.exists():
            stop.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        os.write(descriptor, f"before {order.orderRef} {time.monotonic()}\n".encode())
        place(self, order_id, contract, order)
        os.write(descriptor, f"after {order.orderRef} {time.monotonic()}\n".encode())

    Client.place = noted  # type: ignore[method-assign]


@contextlib.contextmanager
def without_lock(home: Home, *, closing: bool, permit: Permit | None = None) -> Iterator[None]:
    barrier.check(home, closing=closing, permit=permit)
    yield


async def stock_of(connection: Connection) -> Contract:
    _, lines = await connection.client.account_values(connection.account)
    held = next(line.contract for line in lines if line.contract.secType == "STK")
    return Contract(held.conId, held.symbol, "STK")


async def send_for_ever(home: Home) -> None:
    run = locks.begin_run(home, "v6-trading")
    connection = await connect(settings.load(home), home, "trading", events.ignore)
    with open_state(home) as state:
        desk = Desk(connection, state, home, clock.eastern())
        stock, action = await stock_of(connection), "BUY"
        while True:
            order = Order(connection.account, stock, action, 1)
            recorded = intents.record(state, order, run.identity, 1, desk.next_order_id(), "torture")
            try:
                await desk.place(recorded)
            except Refused:
                continue
            intents.end(state, recorded.intent, "settled", None)  # what became of it nobody asks here: the next one may be recorded
            action = "SELL" if action == "BUY" else "BUY"


if __name__ == "__main__":
    if sys.argv[4:] == ["no-lock"]:
        barrier.passage = without_lock
    log_writes(Path(sys.argv[2]), random.Random(int(sys.argv[3])))
    asyncio.run(send_for_ever(Home(Path(sys.argv[1]))))
