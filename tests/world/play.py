"""One schedule of the trader: a seed draws its tasks, its faults, its deaths and its halts; the gateway's books judge it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from msgspec import Struct

from v6cli.errors import BadConfiguration
from v6cli.simulator.scenario import PositionSpec, Scenario, StrategySpec
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import Process, World

from . import bugs
from .faults import STATES, Mishap, drawn
from .trader import CLIENT_ID, Task, Trader

#: Virtual seconds in which things go wrong, and in which everything must come right afterwards.
TROUBLE = 120.0
CONVERGENCE = 600.0
PORT = 4002


class Outcome(Struct, frozen=True):
    """What came of a schedule: what was wrong, none where it went well; what it met; and a digest of every byte."""

    seed: int
    wrong: list[str]
    met: dict[str, int]
    orders: int
    seconds: float
    trace: str


class Schedule(Struct, frozen=True):
    """Everything that a seed draws."""

    tasks: list[Task]
    mishaps: list[Mishap]
    deaths: list[tuple[float, str, int]]
    halts: list[tuple[float, float]]
    patience: float


def draw(world: World, *, everything: bool = False) -> Schedule:
    """The schedule of a world's seed."""
    chance = world.chance("schedule")
    tasks = [
        Task(
            number,
            since,
            chance.choice(["SPY", "QQQ", "IWM"]),
            chance.choice(["BUY", "SELL"]),
            chance.randint(1, 40),
            chance.choice([-0.001, 0.0, 0.0001, 0.001]),
        )
        for number, since in enumerate(sorted(chance.uniform(0, TROUBLE) for _ in range(chance.randint(3, 8))))
    ]
    if chance.random() < 0.4:
        tasks.insert(0, Task(len(tasks), chance.uniform(0, 20), "IWM", "BUY", 2, closes_vertical=True))
    deaths = [
        (
            chance.uniform(0, TROUBLE),
            chance.choice(["turn", "before commit", "after commit", "before send", "after send"]),
            chance.randint(1, 25),
        )
        for _ in range(chance.choice([0, 1, 1, 2, 4]))
    ]
    halts = [(at := chance.uniform(0, TROUBLE), at + chance.uniform(1, 30)) for _ in range(chance.choice([0, 0, 1, 2]))]
    return Schedule(tasks, drawn(chance, TROUBLE, everything=everything), sorted(deaths), sorted(halts), chance.choice([0.5, 2.0, 8.0]))


def play(seed: int, bug: str = "", *, everything: bool = False, keep: bool = False) -> tuple[Outcome, World]:
    """Play the schedule of ``seed`` with a trader that has ``bug``."""
    folder = Path(tempfile.mkdtemp(prefix="v6-world-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        return _Play(seed, bug, folder, everything=everything, keep=keep).outcome()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Play:
    def __init__(self, seed: int, bug: str, folder: Path, *, everything: bool, keep: bool) -> None:
        self.world = World(seed, keep=keep)
        self.schedule = draw(self.world, everything=everything)
        self.wrong: dict[str, None] = {}
        self.met: Counter[str] = Counter()
        self._bug = bug
        self._file = folder / "trader.db"
        self._halted = folder / "halted"
        self._halt_stands = False
        self._orders = 0
        self._death = ""
        self._dies_sending = ""
        self._gateway: Gateway
        self._trader: Trader
        self._process: Process

    def outcome(self) -> tuple[Outcome, World]:
        weather, chance = self.world.weather, self.world.chance("weather")
        weather.latency, weather.jitter, weather.cuts = chance.choice([0.0002, 0.05]), chance.choice([0.0, 0.01, 0.5]), chance.random()
        self.world.watch_writes(self._wrote)
        self.world.seam(Trader, "_record")
        self.world.seam(Trader, "_settle")
        with bugs.of_the_gateway() as found:
            self.world.run(self._run)
        self.wrong.update(dict.fromkeys(found))
        for problem in self.world.problems:
            self.wrong[f"nobody caught: {problem.get('exception') or problem.get('message')!r}"] = None
        self.met.update(self._gateway.faults.met)
        return (
            Outcome(self.world.seed, list(self.wrong), dict(self.met), self._orders, self.world.seconds, self.world.trace),
            self.world,
        )

    async def _run(self) -> None:
        self._gateway = Gateway(scenario_of(self.world.seed), quotes_every=1.0)
        self._gateway.watch = self._judge
        await self._gateway.start(PORT)
        self._start()
        befall = [asyncio.create_task(each) for each in (self._mishaps(), self._deaths(), self._halts())]
        await asyncio.sleep(TROUBLE)
        for task in befall:
            task.cancel()
        await asyncio.gather(*befall, return_exceptions=True)
        self._heal()
        deadline = self.world.seconds + CONVERGENCE
        while not self._trader.done and self.world.seconds < deadline:
            await asyncio.sleep(1)
            if not self._process.alive and not self._trader.done:
                if not self._process.killed:
                    self.wrong[f"the trader ended by itself: {self._process.task.exception()!r}"] = None
                    break
                self._start()
        self._judge_the_end()
        await self._gateway.close()

    # What befalls.

    def _start(self) -> None:
        self._trader = Trader(self._file, PORT, self.schedule.tasks, self._halted, self.schedule.patience, TROUBLE + 30, self._bug)
        self._death = ""
        self._process = self.world.process("trader", self._trader.run, dies_at=self._dies_at)

    def _dies_at(self, seam: str) -> bool:
        where = {"before _record": "before commit", "after _record": "after commit", "before _settle": "before commit"}.get(
            seam, "after commit"
        )
        if self._death != where:
            return False
        self.met[f"dies {where}"] += 1
        self._death = ""
        return True

    async def _deaths(self) -> None:
        for at, where, turns in self.schedule.deaths:
            await asyncio.sleep(max(0.0, at - self.world.seconds))
            if where in {"before commit", "after commit"}:
                self._death = where
                await asyncio.sleep(20)
                self._death = ""
            elif where == "turn":
                self._process.dies_at_step = self._process.steps + turns
                await asyncio.sleep(1)
                self.met["dies at a turn"] += self._process.killed
            else:
                self._dies_sending = where
                await asyncio.sleep(20)
                self._dies_sending = ""
            if not self._process.alive and not self._trader.done:
                await asyncio.sleep(self.world.chance(f"rest {at}").uniform(0.001, 10))
                self._start()

    async def _halts(self) -> None:
        for begins, ends in self.schedule.halts:
            await asyncio.sleep(max(0.0, begins - self.world.seconds))
            self._halted.touch()
            self._halt_stands = True
            self.met["halt"] += 1
            await asyncio.sleep(max(0.0, ends - self.world.seconds))
            self._resume()

    async def _mishaps(self) -> None:
        for mishap in self.schedule.mishaps:
            await asyncio.sleep(max(0.0, mishap.at - self.world.seconds))
            with contextlib.suppress(BadConfiguration):  # a moment that cannot happen now, such as a trade of what is not held
                connected = CLIENT_ID in self._gateway.clients
                self._gateway.faults.set(mishap.name, **mishap.parameters)
                self.met[mishap.name] += connected and mishap.name in STATES

    def _resume(self) -> None:
        self._halt_stands = False
        self._halted.unlink(missing_ok=True)

    def _heal(self) -> None:
        self._gateway.faults.clear_all()
        self._resume()
        self.world.weather.jitter = 0.01

    # What is judged.

    def _wrote(self, process: Process | None, data: bytes) -> None:
        if process is None or data[4:6] != b"3\0":
            return
        self._orders += 1
        if self._halt_stands:
            self.wrong["an order left after the halt"] = None
        if self._dies_sending:
            self.met[f"dies {self._dies_sending}"] += 1
            self._dies_sending = ""
            process.dies_at_step = process.steps + 1  # it gets no turn after this one

    def _judge(self) -> None:
        """After each event at the gateway: its own books."""
        alive = Counter(order.order_ref for order in self._gateway.book.alive if order.client_id == CLIENT_ID)
        for reference, count in alive.items():
            if count > 1:
                self.wrong[f"{reference} is alive {count} times"] = None
        for task in self.schedule.tasks:
            if self._filled(task) > task.quantity:
                self.wrong[f"task {task.number} filled {self._filled(task):g} of {task.quantity}"] = None

    def _filled(self, task: Task) -> float:
        done = [*self._gateway.book.alive, *self._gateway.book.ended]
        return math.fsum(order.filled for order in done if order.order_ref.startswith(f"t{task.number}-"))

    def _judge_the_end(self) -> None:
        if not self._trader.done:
            self.wrong["it never came to its end"] = None
            return
        for task in self.schedule.tasks:
            if self._filled(task) != task.quantity:
                self.wrong[f"task {task.number} filled {self._filled(task):g} of {task.quantity}, and is taken for done"] = None
        held = {con_id: holding.quantity for con_id, holding in self._gateway.account.holdings.items()}
        if self._trader.positions != held:
            self.wrong["its positions are not the account's"] = None


def scenario_of(seed: int) -> Scenario:
    return Scenario(
        seed=seed % 1000 + 1,
        cancel_seconds=0.3,
        positions=[
            PositionSpec("SPY", 100.0),
            PositionSpec("IWM", -50.0),
            PositionSpec("QQQ", 20.0),
            PositionSpec("SPY", -1.0, right="P", expiry="monthly", strike="spot-5%"),
        ],
        strategies=[StrategySpec("vertical", "IWM", "held", quantity=2)],
    )
