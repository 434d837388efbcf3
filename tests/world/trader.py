"""A small trader to try the world with: it does a list of tasks, each exactly once, whatever befalls it.

It is written as v6's own orders are to be: the intent is durable before the send, silence is unknown, an order ends with a
message or with proof of its absence, and nothing is left to a clean-up. ``bug`` takes one of these away.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from v6cli import clock
from v6cli.broker.ib import Client, ClientIdInUse, NoAnswer
from v6cli.broker.pacing import TokenBucket
from v6cli.errors import GatewayUnavailable

ACCOUNT = "DU1234567"
CLIENT_ID = 1
#: A small share: a message waits for its turn, and much can happen meanwhile.
MESSAGES_PER_SECOND = 2
BUGS = (
    "sends twice",
    "checks before an await",
    "believes a missing End",
    "takes a cancel for an end",
    "takes a held order for dead",
    "leaves its record to a finally",
    "never reconnects",
)
#: The seed that finds each of them, as far as is known.
FOUND_BY = dict.fromkeys(BUGS, 0) | {
    "sends twice": 1,
    "checks before an await": 47,
    "believes a missing End": 87,
    "takes a held order for dead": 70,
    "leaves its record to a finally": 1,
}
ENDED = {"Filled", "Cancelled", "ApiCancelled", "Inactive"}


class Told(Struct, frozen=True):
    """What an order's last status said. ``why_held`` is why it waits at the broker: what is held is alive, Inactive or not."""

    status: str = ""
    filled: float = 0.0
    why_held: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED and not self.why_held


class Task(Struct, frozen=True):
    """Buy or sell so much of a stock, or close the vertical on it; not before ``since``, in seconds of the loop."""

    number: int
    since: float
    symbol: str
    action: str
    quantity: int
    edge: float = 0.0  # how far from the market its limit waits, as a share of the price
    closes_vertical: bool = False


class Lost(GatewayUnavailable):
    """What became of an order is not known on this connection: ask anew on another."""


class Trader:
    """One life of the trader; what it knows is in ``file``. At ``ends`` it looks at its positions and is done."""

    def __init__(self, file: Path, port: int, tasks: list[Task], halted: Path, patience: float, ends: float, bug: str = "") -> None:
        assert bug in {"", *BUGS}
        self.file = file
        self.tasks = tasks
        self.done = False
        self.positions: dict[int, float] = {}
        self._port = port
        self._halted = halted
        self._patience = patience
        self._ends = ends
        self._bug = bug
        self._client: Client
        self._told: dict[int, Told] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Do the tasks, over as many connections as it takes."""
        while not self.done:
            try:
                await self._session()
            except (GatewayUnavailable, ConnectionError):
                if self._bug == "never reconnects":
                    await asyncio.Event().wait()
                await clock.sleep(3)

    async def _session(self) -> None:
        self._client = Client(TokenBucket(MESSAGES_PER_SECOND), 4, "US/Eastern")
        self._told.clear()
        try:
            await self._client.connect("127.0.0.1", self._port, CLIENT_ID)
        except ClientIdInUse:
            await clock.sleep(2)
            raise
        try:
            if self._client.accounts != [ACCOUNT]:
                raise Lost(f"the gateway manages {self._client.accounts}")
            self._listen()
            await self._settle_open_intents()
            for task in self.tasks:
                await self._until(task.since)
                while (left := task.quantity - self._filled(task)) > 0:
                    await self._attempt(task, left)
            await self._until(self._ends)
            self.positions = {row.contract.conId: row.position for row in await self._client.positions() if row.position}
            self.done = True
        finally:
            await self._client.close()

    async def _until(self, moment: float) -> None:
        while clock.monotonic() < moment:
            await clock.pause(min(1.0, moment - clock.monotonic()))
            if not self._client.connected:
                raise Lost("the connection is gone")

    # One order.

    async def _attempt(self, task: Task, quantity: int) -> None:
        with self._database() as database:
            (attempts,) = database.execute("SELECT count(*) FROM intents WHERE task = ?", (task.number,)).fetchone()
        reference = f"t{task.number}-{attempts}"
        contract, order = await self._order(task, quantity, reference, limited=attempts < 2)
        if self._bug == "checks before an await":
            await self._until_not_halted()
            await self._client.bucket.take()
        else:
            await self._client.bucket.take()
            if self._halted.exists():
                await clock.sleep(1)
                return
        if self._bug == "leaves its record to a finally":
            filled = 0.0
            try:
                filled = await self._send_and_follow(contract, order)
            finally:
                self._record(reference, task, filled)
            return
        self._record(reference, task, None)
        self._settle(reference, await self._send_and_follow(contract, order))

    async def _send_and_follow(self, contract: Any, order: Any) -> float:
        """Place the order and see it to its end: how much it filled."""
        if not self._client.connected:
            raise Lost("not connected")
        self._client._ib.placeOrder(contract, order)
        if not await self._ended(order.orderId, self._patience):
            await self._client.bucket.take()
            self._client._ib.client.cancelOrder(order.orderId)
            if self._bug == "takes a cancel for an end":
                return self._last_told(order.orderId).filled
            await self._ended(order.orderId, 10)
        told = self._last_told(order.orderId)
        if told.status != "Filled":
            raise Lost("it did not fill: what it did is asked of the gateway")
        return told.filled

    def _last_told(self, order_id: int) -> Told:
        return self._told.get(order_id, Told())

    async def _ended(self, order_id: int, within: float) -> bool:
        deadline = clock.monotonic() + within
        while not self._last_told(order_id).ended:
            if not self._client.connected:
                raise Lost("the connection is gone")
            self._changed.clear()
            try:
                async with clock.timeout(max(0.0, deadline - clock.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True

    async def _until_not_halted(self) -> None:
        while self._halted.exists():
            await clock.sleep(1)

    async def _order(self, task: Task, quantity: int, reference: str, *, limited: bool) -> tuple[Any, Any]:
        """The first attempts wait at a limit near the market; later ones take what there is."""
        library = self._client.library
        order = library.MarketOrder(task.action, quantity, account=ACCOUNT, orderRef=reference)
        order.orderId = self._client._ib.client.getReqId()
        if not task.closes_vertical:
            contract = library.Stock(task.symbol, "SMART", "USD")
            if limited:
                _, held = await self._client.account_values(ACCOUNT)
                mark = next((row.marketPrice for row in held if row.contract.symbol == task.symbol and row.contract.secType == "STK"), None)
                if mark is not None:
                    order.orderType = "LMT"
                    order.lmtPrice = round(mark * (1 + task.edge if task.action == "SELL" else 1 - task.edge), 2)
        else:
            contract = library.Bag(symbol=task.symbol, exchange="SMART", currency="USD")
            legs = sorted(
                (row for row in await self._client.positions() if row.contract.symbol == task.symbol and row.contract.secType == "OPT"),
                key=lambda row: row.contract.conId,
            )
            contract.comboLegs = [
                library.ComboLeg(conId=row.contract.conId, ratio=1, action="SELL" if row.position > 0 else "BUY", exchange="SMART")
                for row in legs
            ]
            if len(contract.comboLegs) != 2:
                raise Lost("the vertical is not there")
        return contract, order

    # After a connection.

    async def _settle_open_intents(self) -> None:
        """Find out what became of every order whose end is not recorded; cancel what is still alive."""
        while open_ := self._open_intents():
            listed = await self._believed(self._client.all_open_orders)
            # As listed: an order that ends from here on may have fills that the list of executions does not have.
            alive = [one for one in listed if not self._read(one.orderStatus.status, 0.0, one.orderStatus.whyHeld).ended]
            ended = await self._believed(self._client.completed_orders)
            fills = await self._believed(self._client.executions)
            if ACCOUNT not in (managed := await self._client.managed_accounts()):
                raise Lost(f"the gateway manages {managed} by now: its lists say nothing of these orders")
            again = False
            for reference in open_:
                living = [trade for trade in alive if trade.order.orderRef == reference]
                if self._bug == "sends twice" and not any(trade.order.orderRef == reference for trade in ended):
                    living = []
                if living:
                    for trade in living:
                        await self._client.bucket.take()
                        self._client._ib.client.cancelOrder(trade.order.orderId)
                    again = True
                    continue
                self._settle(reference, _shares(fills, reference))
            if again:
                await clock.sleep(2)
                if not self._client.connected:
                    raise Lost("the connection is gone")

    async def _believed(self, ask: Any) -> list[Any]:
        try:
            return list(await ask())
        except NoAnswer:
            if self._bug == "believes a missing End":
                return []
            raise

    # What the gateway says of orders: its messages as they come, not what the library makes of them.

    def _listen(self) -> None:
        decoder = self._client._ib.client.decoder
        interpret = decoder.interpret

        def heard(fields: list[str]) -> None:
            if fields[0] == "3":
                self._told[int(fields[1])] = self._read(fields[2], float(fields[3]), fields[10])
                self._changed.set()
            interpret(fields)

        decoder.interpret = heard
        self._client._ib.client.apiEnd += self._changed.set

    def _read(self, status: str, filled: float, why_held: str) -> Told:
        return Told(status, filled, "" if self._bug == "takes a held order for dead" else why_held)

    # What it remembers.

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.file, timeout=0, isolation_level=None)
        database.execute("PRAGMA synchronous = OFF")  # a process dies here, not a machine
        database.execute("CREATE TABLE IF NOT EXISTS intents (ref TEXT PRIMARY KEY, task INTEGER, filled REAL)")
        yield database
        database.close()

    def _record(self, reference: str, task: Task, filled: float | None) -> None:
        with self._database() as database:
            database.execute("INSERT INTO intents VALUES (?, ?, ?)", (reference, task.number, filled))

    def _settle(self, reference: str, filled: float) -> None:
        with self._database() as database:
            database.execute("UPDATE intents SET filled = ? WHERE ref = ?", (filled, reference))

    def _open_intents(self) -> list[str]:
        with self._database() as database:
            return [ref for (ref,) in database.execute("SELECT ref FROM intents WHERE filled IS NULL ORDER BY ref")]

    def _filled(self, task: Task) -> int:
        with self._database() as database:
            rows = database.execute("SELECT filled FROM intents WHERE task = ? AND filled IS NOT NULL", (task.number,)).fetchall()
        return round(math.fsum(filled for (filled,) in rows))


def _shares(fills: list[Any], reference: str) -> float:
    """How much an order filled: executions count once, as last corrected, and a combo's by its summary."""
    own = {fill.execution.execId.rpartition(".")[0]: fill for fill in fills if fill.execution.orderRef == reference}
    combo = [fill for fill in own.values() if fill.contract.secType == "BAG"]
    return math.fsum(fill.execution.shares for fill in combo or own.values())
