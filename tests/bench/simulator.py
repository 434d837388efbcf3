"""What the simulated gateway serves: ticks, orders over a socket, fifty clients, and orders in a world of virtual time.

Each figure has a yardstick that was measured beside it: what of the time the client library spent on its own reading and
writing, or, for one order over a socket, the shortest question that it can ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import ib_insync
import psutil
from measuring import Bound, judged

from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import World

STREAMS = 1000
CLIENTS = 50
ORDERS = 300
ROUNDS = 7
IN_WORLD, AT_ONCE = 1000, 20
ASKED = 2000
SMALL = Scenario(
    account=AccountSpec(cash=1_000_000.0), positions=[PositionSpec("SPY", 100), PositionSpec("QQQ", 50), PositionSpec("IWM", -20)]
)
SPY = ib_insync.Stock("SPY", "SMART", "USD", conId=756733)


class Stopwatch:
    """Seconds that were spent in the functions it has wrapped."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def times(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return act(*arguments)
            finally:
                self.seconds += time.process_time() - began

        return timed


class Client(ib_insync.IB):
    """The library as it is, unthrottled; ``own`` is the time it spends on what it reads, and on placing orders."""

    def __init__(self) -> None:
        super().__init__()
        self.client.MaxRequests = 0
        self.own = Stopwatch()
        self.placed = self.own.times(self.placeOrder)
        self.messages = 0
        self.client.conn.hasData.clear()
        self.client.conn.hasData += self.own.times(self.client._onSocketHasData)
        interpret = self.client.decoder.interpret
        self.client.decoder.interpret = lambda fields: (interpret(fields), self._count())

    def _count(self) -> None:
        self.messages += 1


def measure() -> list[Bound]:
    """Every bound of this module, measured."""
    with _gateway("thousand", 0.02, 60.0) as (port, _):
        streamed = asyncio.run(_stream(port))
    with _gateway("default", 1.0, 1.0) as (port, process):
        bounds = asyncio.run(_orders(port))
        bounds[0].note = f"{bounds[0].note}; {asyncio.run(_crowd(port, process))}"
    return [streamed, *bounds, *_in_world()]


@contextlib.contextmanager
def _gateway(*arguments: object) -> Iterator[tuple[int, psutil.Process]]:
    argv = [sys.executable, str(Path(__file__).parent / "gateway.py"), *map(str, arguments)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.communicate()


# Ticks.


async def _stream(port: int) -> Bound:
    """A thousand lines, pushed as fast as the gateway can: wall time and the client's own, over so many seconds."""
    client = Client()
    await client.connectAsync("127.0.0.1", port, 1, timeout=60)
    for position in client.positions()[:STREAMS]:
        contract = position.contract
        contract.exchange = "SMART"
        client.reqMktData(contract)
    while any(ticker.time is None for ticker in client.tickers()):
        await asyncio.sleep(0.1)
    await asyncio.sleep(3)
    bound = Bound(f"streaming {STREAMS:,} contracts, a second", "of it the client's decoding", 6.0)
    rates = []
    for _ in range(ROUNDS):
        began, messages, own = time.perf_counter(), client.messages, client.own.seconds
        await asyncio.sleep(1)
        bound.own.append(time.perf_counter() - began)
        bound.other.append(client.own.seconds - own)
        rates.append((client.messages - messages) / bound.own[-1])
    client.disconnect()
    bound.note = f"{statistics.median(rates):,.0f} messages a second, {1 / bound.ratio:.0%} of the time the client's decoding"
    return bound


# Orders over a socket.


async def _orders(port: int) -> list[Bound]:
    client = Client()
    await client.connectAsync("127.0.0.1", port, 1)
    opened, filled, asked = [], [], []
    for _ in range(ORDERS):
        asked.append(await _taken(client.reqCurrentTimeAsync))
        began = time.perf_counter()
        trade = client.placeOrder(SPY, ib_insync.MarketOrder("BUY", 1, account="DU1234567", tif="DAY"))
        heard = await _moments(trade, began)
        opened.append(heard[0])
        filled.append(heard[1])
    client.disconnect()
    return [
        Bound("placeOrder to openOrder", "reqCurrentTime", 15.0, opened, asked, _percentiles(opened)),
        Bound("placeOrder to fill", "reqCurrentTime", 15.0, filled, asked, _percentiles(filled)),
    ]


async def _taken(ask: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await ask()
    return time.perf_counter() - began


async def _moments(trade: Any, began: float) -> tuple[float, float]:
    """When the first answer about an order came, and when its fill."""
    heard: list[float] = []
    trade.statusEvent += lambda _trade: heard.append(time.perf_counter() - began)
    done = asyncio.get_running_loop().create_future()
    trade.filledEvent += lambda _trade: done.set_result(time.perf_counter() - began)
    filled = await done
    return heard[0], filled


def _percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {1000 * cuts[49]:.1f} ms, p99 {1000 * cuts[98]:.1f} ms"


# Memory.


async def _crowd(port: int, process: psutil.Process) -> str:
    before = process.memory_info().rss
    crowd = [Client() for _ in range(CLIENTS)]
    for number, client in enumerate(crowd):
        await client.connectAsync("127.0.0.1", port, 100 + number)
    await asyncio.sleep(2)
    after = process.memory_info().rss
    for client in crowd:
        client.disconnect()
    return f"the gateway takes {after / 1e6:.0f} MB with {CLIENTS} clients, {before / 1e6:.0f} MB before them"


# Orders in a world.


def _in_world() -> list[Bound]:
    """Orders that are placed and acknowledged, cancelled unmeasured: virtual time, both sides in one thread."""
    own, other, virtual = [], [], []
    gc.freeze()  # the collector would go through all modules again and again, which is nobody's cost here
    for turn in range(ROUNDS + 1):
        taken, clients, passed = _play(World(turn))
        if turn:
            own.append(taken)
            other.append(clients)
            virtual.append(passed / taken)
    rate = IN_WORLD / statistics.median(own)
    note = f"{rate:,.0f} orders and {statistics.median(virtual):.2f} virtual seconds a second, the client alone {IN_WORLD / statistics.median(other):,.0f} orders"
    return [
        Bound(f"{IN_WORLD:,} orders in a world", "the client's own part", 3.0, own, other, note),
        Bound(f"{IN_WORLD:,} orders in a world", f"{ASKED:,} orders a second", 1.0, own, [IN_WORLD / ASKED] * ROUNDS),
    ]


def _play(world: World) -> tuple[float, float, float]:
    """CPU seconds of all orders, of them the client's own, and virtual seconds."""

    async def main() -> tuple[float, float, float]:
        gateway = Gateway(SMALL, pacing=False)
        client = Client()
        await client.connectAsync("127.0.0.1", await gateway.start(), 1)
        taken = own = passed = 0.0
        for _ in range(IN_WORLD // AT_ONCE):
            began, mine, virtual = time.process_time(), client.own.seconds, world.seconds
            orders = [ib_insync.LimitOrder("BUY", 1, 500.0, account="DU1234567", tif="DAY") for _ in range(AT_ONCE)]
            trades = [client.placed(SPY, order) for order in orders]
            await _reach(trades, "Submitted")
            taken, own = taken + time.process_time() - began, own + client.own.seconds - mine
            passed += world.seconds - virtual
            for trade in trades:
                client.cancelOrder(trade.order)
            await _reach(trades, "Cancelled")
        client.disconnect()
        await gateway.close()
        return taken, own, passed

    return world.run(main)


async def _reach(trades: list[Any], status: str) -> None:
    while any(trade.orderStatus.status != status for trade in trades):
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    sys.exit(judged(measure()))
