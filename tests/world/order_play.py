"""One schedule of v6's own orders: v6-trading, an operator, halts and closes on the simulated gateway, with deaths and faults."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from v6cli import clock, control, latch, settings
from v6cli.broker.ib import Client
from v6cli.errors import BadConfiguration, Refused, V6Error
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.models import Contract, Leg, Order
from v6cli.runbook import halt, service
from v6cli.settings import Settings
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import START, Process, World
from v6cli.state import intents
from v6cli.state.database import State, open_state
from v6cli.trading.loop import SERVICE, Trading

from . import bugs
from .console import Console, Typed
from .faults import STATES, drawn
from .machine import Machine
from .order_books import Books
from .play import PORT, Outcome, scenario_of

ACCOUNT = "DU1234567"
TRADING = 1
#: Virtual seconds in which things go wrong, in which a halt has taken hold of everything, and in which all comes right.
TROUBLE = 120.0
HELD_WITHIN = 90.0
CONVERGENCE = 600.0
BEFORE_MIDNIGHT = datetime(2026, 11, 25, 4, 59, tzinfo=UTC)
SEAMS = tuple(f"{side} {name}" for name in ("record", "claim_close", "end", "place", "tighten") for side in ("before", "after"))

#: What v6 says where it refuses something.
REFUSALS = {"Halted": "trading state ", "void permit": "is void", "Claimed": ": the order v6-", "Stale": "has ended since the positions"}


class Ask(Struct, frozen=True):
    """An opening order that the operator asks for: of which kind of contract, how far from the market, and when he cancels it."""

    at: float
    what: str
    action: str
    quantity: int
    away: float | None
    cancelled_after: float | None


def draw(chance: Random) -> list[Ask]:
    """What the operator asks for."""
    return [
        Ask(
            at,
            chance.choice(["SPY", "QQQ", "IWM", "put", "combo", "combo"]),
            chance.choice(["BUY", "BUY", "SELL"]),
            chance.randint(1, 20),
            chance.choice([None, 0.0, 0.001, 0.05, 0.05]),
            chance.choice([None, None, chance.uniform(0.5, 20)]),
        )
        for at in sorted(chance.uniform(0, TROUBLE) for _ in range(chance.randint(3, 9)))
    ]


def play(seed: int, home: Home, *, keep: bool = False) -> tuple[Outcome, World]:
    """Play the schedule of ``seed`` in ``home``, in which nothing has happened yet."""
    played = _Play(seed, home, keep=keep)
    with bugs.of_the_gateway() as found, played.console.open():
        played.world.run(played.run)
    played.books.close()
    wrong = [*played.books.wrong, *found]
    wrong += [f"nobody caught: {problem.get('exception') or problem.get('message')!r}" for problem in played.world.problems]
    met = played.met + Counter(played.gateway.faults.met)
    return Outcome(seed, wrong, dict(met), played.books.written, played.world.seconds, played.world.trace), played.world


class _Play:
    def __init__(self, seed: int, home: Home, *, keep: bool) -> None:
        self._midnight = seed % 10 == 3
        self.world = World(seed, start=BEFORE_MIDNIGHT if self._midnight else START, keep=keep)
        self.met: Counter[str] = Counter()
        self.gateway: Gateway
        self.books: Books
        self._home = home
        self._chance = self.world.chance("orders")
        self._settings = _paced(settings.load(home), self._chance.choice([15, 2]))
        self._befalls = drawn(self.world.chance("faults"), TROUBLE)
        resting = [Ask(one.at + 0.5, "combo", "BUY", 2, None, None) for one in self._befalls if one.name == "combos-rest"]
        # A cancel while none is answered: few seeds would ask for one just then.
        taken_back = [Ask(one.at + 0.5, "SPY", "BUY", 2, 0.05, 1.0) for one in self._befalls if one.name == "cancels-unanswered"]
        self._asks = sorted([*draw(self.world.chance("asks")), *resting, *taken_back], key=lambda ask: ask.at)
        self._death = ""
        self._trading: Process
        self.console = Console(self.world, home, _quick(self._settings), Machine(self.world, self._start), self._dies_at)
        self._asking: list[asyncio.Task[None]] = []
        self._yesterday: list[Contract] = []
        weather, chance = self.world.weather, self.world.chance("weather")
        weather.latency, weather.jitter, weather.cuts = chance.choice([0.0002, 0.05]), chance.choice([0.0, 0.01, 0.5]), chance.random()
        for owner, name in ((intents, "record"), (intents, "claim_close"), (intents, "end"), (latch, "tighten"), (Client, "place")):
            self.world.seam(owner, name)

    async def run(self) -> None:
        self.gateway = Gateway(scenario_of(self.world.seed), quotes_every=1.0)
        self.books = Books(self._home, self.gateway)
        self.world.watch_writes(self.books.wrote)
        self._baseline = {con_id: one.quantity for con_id, one in self.gateway.account.holdings.items()}
        self._held = [one.contract for one in self.gateway.account.holdings.values()]
        await self.gateway.start(PORT)
        if self._chance.random() < 0.3:
            self._leave_from_yesterday()
        with self.books.hearing():
            self._start()
            befalls = [
                asyncio.create_task(each) for each in (self._mishaps(), self._deaths(), self._halts(), self._operator(), self._closes())
            ]
            await asyncio.sleep(TROUBLE)
            for task in befalls:
                task.cancel()
            for result in await asyncio.gather(*befalls, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result
            await self._converge()
            self.books.judge_the_end()
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)
            self._trading.kill()
        await self.gateway.close()

    # Who plays.

    def _start(self) -> Process:
        self._trading = self.world.process(SERVICE, self._trade, dies_at=self._dies_at)
        return self._trading

    async def _trade(self) -> None:
        with open_state(self._home) as state:
            await service._until_stopped(Trading(self._home, self._settings, state).run)

    async def _operator(self) -> None:
        for ask in self._asks:
            await self._until(ask.at)
            self._asking.append(asyncio.create_task(self._asks_for(ask)))

    async def _asks_for(self, ask: Ask) -> None:
        order = self._order(ask)
        if ask.cancelled_after is not None:
            self._asking.append(asyncio.create_task(self._cancels(ask.cancelled_after)))
        with self._counted("asked"):
            await self._execute(order)

    async def _cancels(self, after: float) -> None:
        await asyncio.sleep(after)
        alive = [order for order in self.gateway.book.alive if order.client_id == TRADING]
        if alive:
            with self._counted("cancelled"):
                await control.acall(self._home.control_socket(SERVICE), "cancel", timeout=30, perm_id=alive[-1].perm_id)

    async def _execute(self, order: Order) -> Any:
        return await control.acall(
            self._home.control_socket(SERVICE), "execute", timeout=30, order=msgspec.to_builtins(order), purpose="roll"
        )

    async def _halts(self) -> None:
        for at in sorted(self._moment() for _ in range(self._chance.choice([0, 1, 1, 2, 4]))):
            await self._until(at)
            await self._halt(self._chance.choice([TradingState.HALTED, TradingState.REDUCING]))
            seen = latch.read(self._home)
            await asyncio.sleep(self._chance.choice([0.0, 0.1, self._chance.uniform(1, 25)]))
            to = self._chance.choice([TradingState.ACTIVE, TradingState.ACTIVE, TradingState.REDUCING])
            if seen.marks:
                self.books.resuming(seen)
                latch.resume(self._home, seen, to, "it is safe again", "ann")

    def _moment(self) -> float:
        """Some time, or while an order that was asked for is on its way."""
        return float(
            self._chance.choice([self._chance.uniform(0, TROUBLE), self._chance.choice(self._asks).at + self._chance.uniform(0, 0.6)])
        )

    async def _halt(self, state: TradingState) -> None:
        async def tightens() -> None:
            assert not halt.tighten(self._home, state, "something is wrong", "ann", lambda: "").kept
            self.met[state.value] += 1

        process = self.world.process("halt", tightens, dies_at=self._dies_at)
        while process.alive:
            await asyncio.sleep(0.001)
        assert process.killed or process.task.exception() is None, process.task.exception()

    async def _closes(self) -> None:
        for at in sorted(self._chance.uniform(0, TROUBLE) for _ in range(self._chance.choice([0, 2, 4, 6]))):
            await self._until(at)
            which = self._chance.choice([*("SPY", "QQQ", "IWM"), *(str(one.con_id) for one in self._held)])
            typed = self.console.type("close", which, "--yes", *self._chance.choice([(), (), ("--market",)]))
            typed.process.task.add_done_callback(functools.partial(self._closed, typed))

    def _closed(self, typed: Typed, _task: object) -> None:
        if typed.process.killed:
            return
        if typed.code is None:
            self._wrong(f"v6 {' '.join(typed.words)} ended with {typed.process.task.exception()!r}")
        elif not typed.code:
            self.met["closed"] += 1
        elif typed.error is not None:
            self._count(typed.error, f"{typed.error.message} {typed.whys}")

    # What befalls them.

    def _dies_at(self, seam: str) -> bool:
        if self._death != seam:
            return False
        self.met[f"dies {seam}"] += 1
        self._death = ""
        return True

    async def _deaths(self) -> None:
        for at in sorted(self._chance.uniform(0, TROUBLE) for _ in range(self._chance.choice([0, 1, 2, 4]))):
            await self._until(at)
            if self._chance.random() < 0.4:
                victim = self._chance.choice([one for one in self.world.processes if one.alive] or [self._trading])
                victim.dies_at_step = victim.steps + self._chance.randint(1, 25)
                await asyncio.sleep(1)
                self.met["dies at a turn"] += victim.killed
            else:
                self._death = self._chance.choice(SEAMS)
                await asyncio.sleep(self._chance.uniform(1, 30))
                self._death = ""
            if not self._trading.alive:
                await asyncio.sleep(self._chance.uniform(0.001, 10))
                self._start()

    async def _mishaps(self) -> None:
        for mishap in self._befalls:
            await self._until(mishap.at)
            with contextlib.suppress(BadConfiguration):  # a moment that cannot happen now, such as a trade of what is not held
                connected = TRADING in self.gateway.clients
                self.gateway.faults.set(mishap.name, **mishap.parameters)
                self.met[mishap.name] += connected and mishap.name in STATES

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.world.seconds))

    def _leave_from_yesterday(self) -> None:
        """Open intents of a run that has long ended, of which the gateway can say nothing any more."""
        with open_state(self._home) as state:
            for contract in self._chance.sample(self._held, self._chance.randint(1, 2)):
                client_id = self._chance.choice([TRADING, TRADING, 90])
                order = Order(ACCOUNT, contract, "BUY", 1)
                recorded = intents.record(state, order, "20261123T150000.000000-1", client_id, 1 + len(self._yesterday), "roll")
                minted = (clock.now() - timedelta(days=1)).isoformat(timespec="microseconds")
                state.write("UPDATE intents SET minted = ? WHERE intent = ?", (minted, recorded.intent))
                self._yesterday.append(contract)
        self.met["open since yesterday"] += 1

    # Coming right.

    async def _converge(self) -> None:
        self.gateway.faults.clear_all()
        self._death = ""
        self.world.weather.jitter = 0.01
        for process in self.world.processes:
            process.dies_at_step = None
        if not self._trading.alive:
            self._start()
        if self._chance.random() < 0.3:
            await self._halt(self._chance.choice([TradingState.HALTED, TradingState.REDUCING]))
            await asyncio.sleep(HELD_WITHIN)
            if any(order.client_id == TRADING for order in self.gateway.book.alive):
                self._wrong(f"an opening order works {HELD_WITHIN:g} s after {latch.read(self._home).state.value}")
        seen = latch.read(self._home)
        if seen.marks:
            self.books.resuming(seen)
            latch.resume(self._home, seen, TradingState.ACTIVE, "all is well", "ann")
        deadline = self.world.seconds + CONVERGENCE
        with open_state(self._home) as state:
            while (left := await self._what_is_left(state)) and self.world.seconds < deadline:
                await asyncio.sleep(5)
                if not self._trading.alive:
                    self._wrong(f"v6-trading ended by itself: {self._trading.task.exception()!r}")
                    return
            if left:
                self._wrong(f"after {CONVERGENCE:g} s: {left}")
            await self._judge_blocked(state)

    async def _what_is_left(self, state: State) -> str:
        """What has not come right yet, in words; it is helped along as an operator would."""
        open_ = [intent for intent in intents.unsettled(state) if intent.state == "open"]
        if open_:
            for order in [order for order in self.gateway.book.alive if order.client_id == TRADING]:
                with contextlib.suppress(V6Error):
                    await control.acall(self._home.control_socket(SERVICE), "cancel", timeout=30, perm_id=order.perm_id)
            return f"open: {', '.join(f'{one.order_refs[-1]} of {one.purpose}' for one in open_)}"
        blocked = {con_id for intent in intents.unsettled(state) for con_id in intent.order.changes}
        contract = next(one for one in [*map(self._stock, ("SPY", "QQQ", "IWM")), *self._held] if one.con_id not in blocked)
        try:
            said = await self._execute(Order(ACCOUNT, contract, "BUY", 1))
        except V6Error as error:
            return f"no entry executes: {error.message}"
        return "" if said["ending"] == "filled" else f"an entry ended as {said}"

    async def _judge_blocked(self, state: State) -> None:
        """What nobody can say any more stays so, and keeps everything off its contract, until a close has seen that it works no more."""
        unknown = [one for one in intents.unsettled(state) if one.state == "unknown"]
        if len([one for one in unknown if one.order.contract in self._yesterday]) < len(self._yesterday):
            self._wrong("an intent of yesterday is taken for known")
        released = {intent for (intent,) in state.rows("SELECT intent FROM claims WHERE released")}
        for intent in [one for one in unknown if one.intent not in released]:
            try:
                await self._execute(msgspec.structs.replace(intent.order, quantity=1))
            except Refused as error:
                self.met["Claimed"] += "is unknown" in error.message
                continue
            except V6Error:
                continue
            self._wrong(f"{intent.order_refs[-1]} is unknown and does not block its contract")

    # Contracts, prices and counting.

    def _order(self, ask: Ask) -> Order:
        if ask.what == "combo":
            legs = tuple(
                Leg(one, 1, "BUY" if self._baseline[one.con_id] > 0 else "SELL")
                for one in self._held
                if one.is_option and one.symbol == "IWM"
            )
            contract = Contract(28812380, "IWM", "BAG")
            limit = None if ask.away is None else round(self._net(legs) + (-ask.away if ask.action == "BUY" else ask.away) * 10, 2)
            return Order(ACCOUNT, contract, ask.action, ask.quantity, limit, legs)
        contract = next(one for one in self._held if one.is_option and one.symbol == "SPY") if ask.what == "put" else self._stock(ask.what)
        limit = None if ask.away is None else round(self._price(contract) * (1 - ask.away if ask.action == "BUY" else 1 + ask.away), 2)
        return Order(ACCOUNT, contract, ask.action, ask.quantity, limit)

    def _stock(self, symbol: str) -> Contract:
        return Contract(self.gateway.market.listings[symbol].con_id, symbol, "STK")

    def _net(self, legs: tuple[Leg, ...]) -> float:
        return sum((1 if leg.action == "BUY" else -1) * self._price(leg.contract) for leg in legs)

    def _price(self, contract: Contract) -> float:
        own = self.gateway.chains.by_id(contract.con_id)
        assert own is not None
        return self.gateway.account.mark([(own, 1.0)], clock.now())

    @contextlib.contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        try:
            yield
        except V6Error as error:
            self._count(error, error.message)
        else:
            self.met[what] += 1

    def _count(self, error: V6Error, text: str) -> None:
        for kind, words in REFUSALS.items():
            self.met[kind] += words in text
        if type(error) is V6Error:
            self._wrong(f"{error.message}")

    def _wrong(self, what: str) -> None:
        self.books.wrong[what] = None


def _paced(own: Settings, share: int) -> Settings:
    """With a small share a message waits for its turn, and much can happen meanwhile."""
    return msgspec.structs.replace(own, messages=msgspec.structs.replace(own.messages, trading=share))


def _quick(own: Settings) -> Settings:
    """Closing with short rests at each price: less of a schedule is waiting."""
    return msgspec.structs.replace(own, closing=msgspec.structs.replace(own.closing, dwell=1.0, steps=2, timeout=60.0))
