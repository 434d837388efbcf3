"""v6's own sync in the world: whatever befalls it, lake and mirror are old or new, and in the end they are the account."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import msgspec
import pytest

from v6cli import events, settings
from v6cli.errors import BadConfiguration, V6Error
from v6cli.home import Home
from v6cli.lake import handles, reader
from v6cli.runbook import sync
from v6cli.settings import Settings
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import Process, World
from v6cli.state import mirror
from v6cli.state.database import open_read_only, open_state

from . import bugs
from .faults import DRAWS, STATES, drawn
from .play import PORT, scenario_of

TROUBLE = 90.0
CONVERGENCE = 600.0
SYNC_CLIENT = 2
SEAMS = ("before put", "after put", "before write", "after write")
#: Faults that a sync can meet: those of its answers, of the link and of the account.
FAULTS = [
    name
    for name in DRAWS
    if name in STATES
    or name in {"withhold-end", "refuse-logins", "drop-connections", "positions-lag", "corrected-executions"}
    or name in {"orders-by-hand", "fills-by-hand", "early-assignment", "liquidation"}
]
TO_MEET = [*FAULTS, *(f"dies {seam}" for seam in SEAMS), "dies at a turn"]


@pytest.mark.seeds(60, 2000)
def test_lake_and_mirror_are_old_or_new_and_in_the_end_the_account(home: Home, seed: int, record_property) -> None:
    played = _Play(World(seed), home)
    with bugs.of_the_gateway() as found:
        played.world.run(played.run)
    record_property("to meet", TO_MEET)
    record_property("met", sorted(name for name, times in (played.met + Counter(played.gateway.faults.met)).items() if times))
    assert not found
    assert not played.world.problems
    assert not played.wrong


class _Play:
    def __init__(self, world: World, home: Home) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.met: Counter[str] = Counter()
        self.gateway: Gateway
        self._home = home
        self._settings = _quick(home)
        self._chance = world.chance("sync")
        self._synced = 0
        world.weather.latency, world.weather.jitter, world.weather.cuts = 0.001, self._chance.choice([0.0, 0.05]), 0.2
        world.seam(handles.Handles, "put")
        world.seam(mirror, "write")

    async def run(self) -> None:
        self.gateway = Gateway(scenario_of(self.world.seed), quotes_every=1.0)
        await self.gateway.start(PORT)
        trouble = asyncio.create_task(self._trouble())
        process = self._start()
        while self.world.seconds < TROUBLE:
            await asyncio.sleep(self._chance.uniform(2, 10))
            if not process.alive:
                self._look("after a death")
                process = self._start()
        trouble.cancel()
        self.gateway.faults.clear_all()
        process.kill()
        self._synced = 0
        process = self.world.process("sync", self._syncs)
        deadline = self.world.seconds + CONVERGENCE
        while not self._synced and process.alive and self.world.seconds < deadline:
            await asyncio.sleep(1)
        self._judge_the_end(process)
        await self.gateway.close()

    async def _trouble(self) -> None:
        names = self._chance.sample(FAULTS, self._chance.randint(2, 7))
        mishaps = [one for one in drawn(self._chance, TROUBLE, everything=True) if one.name in names]
        for mishap in mishaps:
            await asyncio.sleep(max(0.0, mishap.at - self.world.seconds))
            with contextlib.suppress(BadConfiguration):
                connected = SYNC_CLIENT in self.gateway.clients
                self.gateway.faults.set(mishap.name, **mishap.parameters)
                self.met[mishap.name] += connected and mishap.name in STATES

    def _start(self) -> Process:
        kind = self._chance.choice(["lives", "a turn", *SEAMS])
        passes = iter(range(1000))
        at = self._chance.randrange(5)

        def dies(seam: str) -> bool:
            if seam != kind or next(passes) != (at if "put" in seam else 0):
                return False
            self.met[f"dies {seam}"] += 1
            return True

        step = self._chance.randint(1, 120) if kind == "a turn" else None
        self.met["dies at a turn"] += kind == "a turn"
        return self.world.process("sync", self._syncs, dies_at=dies, dies_at_step=step)

    async def _syncs(self) -> None:
        """What the operator does: v6 sync --force, again and again."""
        while True:
            with open_state(self._home) as state, contextlib.suppress(V6Error):
                await sync.once(self._home, self._settings, state, events.ignore, dry_run=False, force=True)
                self._synced += 1
                self._look("after a sync")
            await asyncio.sleep(5)

    def _look(self, when: str) -> None:
        """Lake and mirror as a reader finds them."""
        problems = reader.readable(self._home.lake)
        recorded = reader.last_run(self._home.lake)
        with open_read_only(self._home) as state:
            seen = mirror.read(state)
        if problems:
            self.wrong.append(f"{when} the lake cannot be read: {problems}")
        elif recorded is None:
            if seen is not None:
                self.wrong.append(f"{when} the mirror is ahead of an empty lake")
        elif seen is not None and seen.run == recorded.run:
            lake = {one.contract.con_id: one.quantity for one in reader.positions(self._home.lake)}
            if lake != {one.contract.con_id: one.quantity for one in seen.positions}:
                self.wrong.append(f"{when} mirror and lake of run {seen.run} differ")
        elif seen is not None and seen.run not in {one.run for one in reader.sync_runs(self._home.lake, 200)}:
            self.wrong.append(f"{when} the mirror names {seen.run}, which the lake does not know")

    def _judge_the_end(self, process: Process) -> None:
        if not self._synced:
            ended = "" if process.alive else f": {process.task.exception()!r}"
            self.wrong.append(f"no sync came to its end{ended}")
            return
        held = {con_id: holding.quantity for con_id, holding in self.gateway.account.holdings.items()}
        with open_read_only(self._home) as state:
            seen = mirror.read(state)
        assert seen is not None
        if {one.contract.con_id: one.quantity for one in seen.positions} != held:
            self.wrong.append("the last sync did not see the account's positions")


def _quick(home: Home) -> Settings:
    loaded = settings.load(home)
    return msgspec.structs.replace(loaded, greeks=msgspec.structs.replace(loaded.greeks, wait=0.5, budget=2.0))
