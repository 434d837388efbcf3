"""One schedule of what an operator types when everything has to go: halts, closings, shutdowns, with deaths and faults."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec

from v6cli import clock, control, events, latch, locks, permits, settings
from v6cli.broker import translate
from v6cli.broker.connection import connect
from v6cli.broker.ib import Client
from v6cli.errors import BadConfiguration, V6Error
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.models import Contract, Leg, Order, RecordedIntent
from v6cli.runbook import service
from v6cli.settings import Settings
from v6cli.simulator.chains import Wanted
from v6cli.simulator.holdings import Holding
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import START, Process, World
from v6cli.state import intents
from v6cli.state.database import open_state
from v6cli.trading.loop import SERVICE, Trading

from . import bugs
from .closing_acts import BOOKS, CANCELS, REFUSALS, Act, Turn, draw, scenario_of
from .closing_acts import turn as turn_of
from .closing_books import ClosingBooks
from .console import Console, Typed
from .faults import DRAWS, STATES, Mishap, drawn
from .machine import Machine
from .order_play import ACCOUNT, BEFORE_MIDNIGHT, TRADING
from .play import PORT, Outcome

#: Virtual seconds in which things go wrong, and in which what an operator types has to come to its end.
TROUBLE = 75.0
ENDS_WITHIN = 900.0
STRANGER = 7
CLOSING = 90
SHUT_THE_GATE = ("halt", "reduce-only", "emergency")
NEARLY_NOTHING = 0.05  # dollars a share
SEAMS = tuple(
    f"{side} {name}"
    for name in ("record", "claim_close", "end", "release", "place", "tighten", "grant", "global_cancel", "cancel_order")
    for side in ("before", "after")
)


def play(seed: int, home: Home, *, keep: bool = False) -> tuple[Outcome, World]:
    """Play the schedule of ``seed`` in ``home``, in which nothing has happened yet."""
    played = _Play(seed, home, keep=keep)
    with bugs.of_the_gateway() as found, played.machine.known(), played.console.open():
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
        self.books: ClosingBooks
        self._home = home
        self._chance = self.world.chance("closing")
        self._settings = _quick(settings.load(home))
        self.machine = Machine(self.world, self._start)
        self.console = Console(self.world, home, self._settings, self.machine, self._dies_at)
        self._kinds = self._chance.sample(list(BOOKS), self._chance.randint(2, 6))
        turn = Turn() if self._chance.random() < 0.2 else turn_of(self.world.chance("turn"), TROUBLE)
        self._acts = sorted([*draw(self.world.chance("acts"), TROUBLE), *turn.acts], key=lambda one: one.at)
        self._first = min((act.at for act in self._acts), default=0.0)
        self._seam = SEAMS[seed % len(SEAMS)]  # where somebody dies soon after that, so that no seam is left to chance
        befalls = drawn(self.world.chance("faults"), TROUBLE) if seed % 2 else self._one_fault()
        self._befalls = sorted([*befalls, *turn.mishaps], key=lambda one: one.at)
        self._turn = turn
        self._death = ""
        self._kept: locks.Held | None = None  # the gate, by a sender in it
        self._typed: list[Typed] = []
        self._asking: list[asyncio.Task[None]] = []
        weather, chance = self.world.weather, self.world.chance("weather")
        weather.latency, weather.jitter, weather.cuts = chance.choice([0.0002, 0.05]), chance.choice([0.0, 0.01, 0.3]), chance.random()
        for owner, name in (
            (intents, "record"),
            (intents, "claim_close"),
            (intents, "end"),
            (intents, "release"),
            (latch, "tighten"),
            (permits, "grant"),
            (Client, "place"),
            (Client, "global_cancel"),
            (Client, "cancel_order"),
        ):
            self.world.seam(owner, name)

    async def run(self) -> None:
        self.gateway = Gateway(scenario_of(self.world.seed, self._kinds), quotes_every=1.0)
        self.books = ClosingBooks(self._home, self.gateway, self.met)
        self.world.watch_writes(self.books.wrote)
        self._held = [one.contract for one in self.gateway.account.holdings.values()]
        await self.gateway.start(PORT)
        self._theirs = self._combo_on_other_strikes() if self.world.seed % 8 == 5 else None
        if self._theirs:
            closes = Act(self.world.chance("theirs").uniform(3, 20), ("close", self._theirs.contract.symbol, "--yes"))
            self._acts = sorted([*self._acts, closes], key=lambda one: one.at)
        if self._chance.random() < 0.3:
            self._leave_from_yesterday()
        with self.books.hearing():
            befalls = [
                asyncio.create_task(each)
                for each in (
                    self._mishaps(),
                    self._deaths(),
                    self._operator(),
                    self._asks(),
                    self._strangers(),
                    self._trouble_with_services(),
                    self._keeps_the_gate(),
                )
            ]
            host = asyncio.create_task(self.machine.run())
            await asyncio.sleep(TROUBLE)
            for task in befalls:
                task.cancel()
            for result in await asyncio.gather(*befalls, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result
            await self._converge()
            self.books.judge_the_end()
            for task in [*self._asking, host]:
                task.cancel()
            await asyncio.gather(*self._asking, host, return_exceptions=True)
            self.machine.trading.kill()
        await self.gateway.close()

    # Who plays.

    def _start(self) -> Process:
        return self.world.process(SERVICE, self._trade, dies_at=self._dies_at)

    async def _trade(self) -> None:
        with open_state(self._home) as state:
            await service._until_stopped(Trading(self._home, self._settings, state).run)

    async def _operator(self) -> None:
        for act in self._acts:
            await self._until(act.at)
            if act.words == ("resume",):
                self._resume()
                continue
            words = self._cancel_one() if act.words == CANCELS else act.words
            if not words:
                continue
            typed = self._type(*words, answer=act.answer)
            if act.interrupted_after is not None:
                self._asking.append(asyncio.create_task(self._interrupts(typed, act.interrupted_after)))

    def _cancel_one(self) -> tuple[str, ...]:
        """The words that cancel an order of a closing, where one works."""
        works = [order for order in self.gateway.book.alive if order.client_id == CLOSING]
        return (*CANCELS, str(self._chance.choice(works).perm_id)) if works else ()

    def _type(self, *words: str, answer: str | None = None) -> Typed:
        typed = self.console.type(*words, answer=answer)
        self._typed.append(typed)
        kept = self._kept
        typed.process.task.add_done_callback(lambda _task: self._ended(typed, kept))
        return typed

    def _ended(self, typed: Typed, kept_before: locks.Held | None) -> None:
        if typed.process.killed:
            self.met[f"{typed.words[0]} died"] += 1
            return
        if typed.code is None:
            self._wrong(f"v6 {' '.join(typed.words)} ended with {typed.process.task.exception()!r}")
            return
        self.met[f"{typed.words[0]} {typed.code}"] += 1
        self.met["agreed to more"] += typed.code in {0, 75} and any("has grown" in question for question in typed.asked)
        if typed.code == 0 and typed.words[0] in SHUT_THE_GATE and kept_before is not None and kept_before is self._kept:
            self._wrong(f"v6 {' '.join(typed.words)} has ended well, and a sender was in the gate all the time")
        message = typed.error.message if typed.error else ""
        if typed.words[:3] == CANCELS and typed.code == 0 and any(str(one.perm_id) == typed.words[-1] for one in self.gateway.book.alive):
            self._wrong(f"v6 {' '.join(typed.words)} has ended well, and the order works")
        for refusal in REFUSALS:
            self.met[refusal] += refusal in message
        if typed.code not in {0, 65, 69, 75, 77, 130}:
            self._wrong(f"v6 {' '.join(typed.words)}: exit {typed.code}: {message}")

    async def _interrupts(self, typed: Typed, after: float) -> None:
        await asyncio.sleep(after)
        self.met["^C"] += typed.process.alive
        typed.process.interrupt()

    def _resume(self) -> None:
        seen = latch.read(self._home)
        if seen.marks:
            self.met["resumed"] += 1
            self.books.resuming(seen)
            latch.resume(self._home, seen, TradingState.ACTIVE, "it is safe again", "ann")
        with contextlib.suppress(V6Error):
            self.machine.start([SERVICE], events.ignore)

    async def _asks(self) -> None:
        """Opening orders that v6-trading is asked for: some fill, some rest."""
        chance = self.world.chance("asks")
        own = [self._first + 1] if self._seam.endswith("record") else []
        for at in sorted([*(chance.uniform(0, TROUBLE) for _ in range(chance.randint(0, 4))), *self._turn.asks, *own]):
            await self._until(at)
            stock = self._stock(chance.choice(["SPY", "QQQ", "IWM"]))
            action, away = chance.choice(["BUY", "SELL"]), chance.choice([None, 0.02, 0.02])
            limit = None if away is None else round(self._price(stock) * (1 - away if action == "BUY" else 1 + away), 2)
            self._asking.append(asyncio.create_task(self._execute(Order(ACCOUNT, stock, action, chance.randint(1, 20), limit))))

    async def _execute(self, order: Order) -> None:
        with contextlib.suppress(V6Error):
            await control.acall(self._home.control_socket(SERVICE), "execute", timeout=30, order=msgspec.to_builtins(order), purpose="roll")
            self.met["asked"] += 1

    async def _strangers(self) -> None:
        """Another client of the gateway: its order rests on something that is held, and it stays, or goes away."""
        chance = self.world.chance("strangers")
        if combo := self._theirs:
            self.met["their combo"] += 1
            self.books.of_others.add("their-combo")
            self.world.process("stranger", functools.partial(self._rest, "their-combo", combo, 1.0, client_id=STRANGER + 1))
        for number in range(chance.choice([0, 0, 1, 2])):
            await asyncio.sleep(chance.uniform(0, TROUBLE / 2))
            order = Order(ACCOUNT, chance.choice(self._held), "BUY", 1, 0.05)
            self.world.process("stranger", functools.partial(self._rest, f"theirs-{number}", order, chance.uniform(0.5, 60)))

    async def _rest(self, ref: str, order: Order, stays: float, client_id: int = STRANGER) -> None:
        with contextlib.suppress(V6Error, OSError):
            connection = await connect(self._settings, self._home, "cancel", events.ignore, client_id=client_id)
            try:
                own, client = connection.client.next_order_id(), connection.client._ib.client
                client.placeOrder(
                    own, *translate.for_order(RecordedIntent(ref, ref, own, client_id, False, order), connection.client.library)
                )
                self.met["stranger"] += 1
                await asyncio.sleep(stays)
            finally:
                await connection.close()

    def _combo_on_other_strikes(self) -> Order | None:
        """A vertical in the same options as one that is held, and in none that are."""
        for one in self._held:
            if one.is_option and one.expiry and one.expiry >= clock.today():
                wanted = Wanted(symbol=one.symbol, kind="OPT", expiry=f"{one.expiry:%Y%m%d}", right="P", trading_class=one.trading_class)
                near = sorted(self.gateway.chains.matching(wanted, clock.today()), key=lambda own: abs(own.strike - one.strike))
                first, second = [own for own in near if own not in self._held][:2]
                return Order(
                    ACCOUNT, Contract(28812380, one.symbol, "BAG"), "BUY", 1, -50.0, (Leg(first, 1, "BUY"), Leg(second, 1, "SELL"))
                )
        return None

    # What befalls them.

    def _dies_at(self, seam: str) -> bool:
        if self._death != seam:
            return False
        self.met[f"dies {seam}"] += 1
        self._death = ""
        return True

    async def _deaths(self) -> None:
        chance = self.world.chance("deaths")
        drawn_ = [(chance.uniform(0, TROUBLE), chance.choice(SEAMS)) for _ in range(chance.choice([0, 1, 2]))]
        own = [(self._first, self._seam)]
        for at, seam in sorted([*drawn_, *self._turn.deaths, *own]):
            await self._until(at)
            if (at, seam) not in own and chance.random() < 0.3:
                victim = chance.choice([one for one in self.world.processes if one.alive] or [self.machine.trading])
                victim.dies_at_step = victim.steps + chance.randint(1, 200)
                await asyncio.sleep(chance.uniform(0.1, 10))
                self.met["dies at a turn"] += victim.killed
                victim.dies_at_step = None
            else:
                self._death = seam
                await asyncio.sleep(chance.uniform(5, 30))
                self._death = ""

    async def _mishaps(self) -> None:
        for mishap in self._befalls:
            await self._until(mishap.at)
            with contextlib.suppress(BadConfiguration):  # a moment that cannot happen now, such as a trade of what is not held
                self.gateway.faults.set(mishap.name, **mishap.parameters)
                self.met[mishap.name] += bool(self.gateway.clients) and mishap.name in STATES

    def _one_fault(self) -> list[Mishap]:
        """One fault alone, each in its turn, so that none is left to chance."""
        name = list(DRAWS)[self.world.seed // 2 % len(DRAWS)]
        return [Mishap(max(0.0, self._first - 0.2), name, DRAWS[name](self.world.chance("fault")))]

    async def _trouble_with_services(self) -> None:
        chance = self.world.chance("services")
        for at in sorted(chance.uniform(0, TROUBLE) for _ in range(chance.choice([0, 0, 1, 2]))):
            await self._until(at)
            what = chance.choice(["deaf", "answers", "lives"])
            self.met[f"services: {what}"] += 1
            if what == "deaf":
                self.machine.deaf.add(self.machine.trading)
            else:
                setattr(self.machine, what, False)
                await asyncio.sleep(chance.uniform(5, 60))
                setattr(self.machine, what, True)

    async def _keeps_the_gate(self) -> None:
        """A sender that was stopped in the gate leaves it again, sooner or later, without having sent."""
        chance = self.world.chance("keeper")
        for at in [self._first - 0.1, chance.uniform(0, TROUBLE)] if self.world.seed % 6 == 2 else []:
            await self._until(at)
            with locks.try_hold(self._home.latch_lock, "a sender", shared=True) or contextlib.nullcontext() as kept:
                self.met["keeps the gate"] += kept is not None
                self._kept = kept
                try:
                    await asyncio.sleep(chance.choice([0.2, 3.0, 20.0]))
                finally:
                    self._kept = None

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.world.seconds))

    def _leave_from_yesterday(self) -> None:
        """Open intents of a run that has long ended, of which the gateway can say nothing any more."""
        with open_state(self._home) as state:
            for number, contract in enumerate(self._chance.sample(self._held, self._chance.randint(1, min(2, len(self._held))))):
                order = Order(ACCOUNT, contract, "BUY", 1)
                client_id = self._chance.choice([TRADING, 90, 90])
                recorded = intents.record(state, order, "20261123T150000.000000-1", client_id, 1 + number, "close-all")
                minted = (clock.now() - timedelta(days=1)).isoformat(timespec="microseconds")
                state.write("UPDATE intents SET minted = ? WHERE intent = ?", (minted, recorded.intent))
        self.met["open since yesterday"] += 1

    # Coming right.

    async def _converge(self) -> None:
        self.gateway.faults.clear_all()
        self._death = ""
        self.world.weather.jitter = 0.01
        self.machine.answers = self.machine.lives = True
        for process in self.world.processes:
            process.dies_at_step = None
        deadline = self.world.seconds + ENDS_WITHIN
        while (left := [one for one in self._typed if one.process.alive]) and self.world.seconds < deadline:
            await asyncio.sleep(5)
        if left:
            self._wrong(f"still going on after {ENDS_WITHIN:g} s: {[one.words for one in left]}")
            return
        for process in self.world.processes:
            if process.name == "stranger" and process.alive:
                process.kill()
        await asyncio.sleep(30)
        await self._ends_flat()
        await self._shuts_down()

    async def _ends_flat(self) -> None:
        """Once all is well, it closes everything that can trade at all."""
        typed = await self._to_its_end("close-all", "--market", "--yes")
        left = self.books.held
        cannot = {one.contract.con_id for one in self.gateway.account.holdings.values() if one.quote != "normal" or self._is_worthless(one)}
        said = typed.whys or (typed.error and typed.error.message)
        if set(left) - cannot and not self._midnight:
            self._wrong(f"all is well, and v6 close-all ends with {typed.code} and {left}: {said}")
        elif typed.code != (75 if left else 0):
            self._wrong(f"v6 close-all ends with {typed.code} where {left} is left: {said}")

    async def _shuts_down(self) -> None:
        """Once all is well, a shutdown proves that nothing works."""
        self.gateway.faults.set("orders-by-hand", of="SPY", quantity=1, limit=1.0)
        typed = await self._to_its_end("emergency", "shutdown", "--yes")
        if typed.code != 0 or self.gateway.book.alive:
            self._wrong(f"all is well, and v6 emergency shutdown ends with {typed.code}: {typed.error and typed.error.message}")

    async def _to_its_end(self, *words: str) -> Typed:
        typed = self._type(*words)
        deadline = self.world.seconds + ENDS_WITHIN
        while typed.process.alive and self.world.seconds < deadline:
            await asyncio.sleep(0.5)
        if typed.process.alive:
            self._wrong(f"v6 {' '.join(words)} does not come to its end")
        return typed

    # Contracts and prices.

    def _stock(self, symbol: str) -> Contract:
        return Contract(self.gateway.market.listings[symbol].con_id, symbol, "STK")

    def _price(self, contract: Contract) -> float:
        own = self.gateway.chains.by_id(contract.con_id)
        assert own is not None
        return self.gateway.account.mark([(own, 1.0)], clock.now())

    def _is_worthless(self, held: Holding) -> bool:
        """Whether nobody may bid for it."""
        return held.contract.is_option and held.quantity > 0 and self._price(held.contract) < NEARLY_NOTHING

    def _wrong(self, what: Any) -> None:
        self.books.wrong[what] = None


def _quick(own: Settings) -> Settings:
    """Shorter rests at each price, and all of the share of messages: less of a schedule is waiting."""
    closing = msgspec.structs.replace(own.closing, dwell=1.0, steps=2, timeout=200.0)
    return msgspec.structs.replace(own, closing=closing, messages=msgspec.structs.replace(own.messages, closing=15))
