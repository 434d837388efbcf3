"""One of the processes that race about the trading state: `racer.py ROLE HOME SEED [PLANT]`. Each line it prints ends with a monotonic second.

ROLE halt and reduce tighten, and print ``stands MARK`` once the gate has been shut; resume takes back what it saw, and prints ``goes
MARK`` before. open, exit and permit pass the gate: with an order that opens, with one that closes, and with one that closes under a
permit for the halts seen before; they print ``passed ROLE HALTS`` from inside the gate, HALTS being those the permit names. PLANT
no-barrier, no-lock or any-permit leaves out the wait of a halt, the lock of the gate, or the look at whether a permit is void.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from v6cli import barrier, latch, locks, permits
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.permits import Permit

NONE = "-"


def say(*words: str) -> None:
    print(*words, time.monotonic(), flush=True)


class Racer:
    """What each role does, once."""

    def __init__(self, home: Home, chance: random.Random) -> None:
        self._home = home
        self._chance = chance

    def halt(self, state: TradingState = TradingState.HALTED) -> None:
        mark = latch.tighten(self._home, state, "stop", "racer")
        if not barrier.shut(self._home):
            say("stands", mark.name)
        self._rest(0.02)

    def reduce(self) -> None:
        self.halt(TradingState.REDUCING)

    def resume(self) -> None:
        seen = latch.read(self._home)
        for mark in seen.marks:
            say("goes", mark.name)
        latch.resume(self._home, seen, TradingState.ACTIVE, "go on", "racer")
        self._rest(0.03)

    def open(self) -> None:
        self._passes("open", closing=False)

    def exit(self) -> None:
        self._passes("exit", closing=True)

    def permit(self) -> None:
        """Pass while the permit holds; then end the run, with which it ends."""
        run = locks.begin_run(self._home, "v6 close")
        permit = permits.grant(self._home, run.identity, "v6 close", latch.read(self._home).marks)
        while self._passes("permit", closing=True, permit=permit) and self._chance.random() < 0.9:
            pass
        run.end()
        self._passes("ended", closing=True, permit=permit)
        permits.withdraw(self._home, permit)

    def _passes(self, role: str, *, closing: bool, permit: Permit | None = None) -> bool:
        self._rest(0.02)  # no more of them in the gate than would ever be: a halt waits for a moment in which there is none
        try:
            with barrier.passage(self._home, closing=closing, permit=permit):
                self._rest(0.003)
                say("passed", role, ",".join(permit.halts if permit else ()) or NONE)
        except barrier.Halted:
            return False
        except barrier.Shut:
            pass
        return True

    def _rest(self, longest: float) -> None:
        time.sleep(self._chance.uniform(0, longest))


@contextlib.contextmanager
def without_lock(home: Home, *, closing: bool, permit: Permit | None = None) -> Iterator[None]:
    barrier.check(home, closing=closing, permit=permit)
    yield


def plant(which: str) -> None:
    if which == "no-barrier":
        barrier.shut = lambda home: []
    elif which == "no-lock":
        barrier.passage = without_lock
    elif which == "any-permit":
        permits.void = lambda home, permit, state: ""


if __name__ == "__main__":
    plant(*sys.argv[4:] or [""])
    act = getattr(Racer(Home(Path(sys.argv[2])), random.Random(f"{sys.argv[1]} {sys.argv[3]}")), sys.argv[1])
    while True:
        act()
