"""The barrier: the gate that every order passes on its way to the socket, and the lock by which a halt makes sure that none is in it.

Who sends holds ``run/latch.lock`` shared from reading the latch to the end of the write. Who halts writes its mark and then takes
the lock exclusively for a moment: whatever was in the gate has left it, and whatever comes after reads the mark.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from v6cli import clock, latch, locks, permits
from v6cli.errors import CannotWrite, Refused
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.permits import Permit

LONGEST = 0.5  # wall seconds within which a sender leaves the gate, unless it is stopped in it
POLL = 0.002
SHOWN = "v6 trading-state"


class Halted(Refused):
    """The trading state does not let this order pass. Nothing was sent."""


class Shut(Refused):
    """A halt is being set at this very moment: who may still pass asks again. Nothing was sent."""


@contextlib.contextmanager
def passage(home: Home, *, closing: bool, permit: Permit | None = None) -> Iterator[None]:
    """The way to the socket for one order, open for the block, in which nothing may be awaited. Raises Halted, Shut, CannotWrite."""
    lock = locks.try_hold(home.latch_lock, "an order", shared=True)
    if lock is None:
        raise Shut(f"the trading state is being tightened by {locks.holder(home.latch_lock) or 'somebody'}", next_step=SHOWN)
    with lock:
        check(home, closing=closing, permit=permit)
        yield


def check(home: Home, *, closing: bool, permit: Permit | None = None) -> None:
    """Raise Halted where the trading state as it stands would not let such an order pass."""
    state = latch.read(home)
    if permit is not None and (why := permits.void(home, permit, state)):
        raise Halted(f"the permit of {permit.what} is void: {why}", next_step=SHOWN)
    passes = state.state is TradingState.ACTIVE or (closing and (permit is not None or state.state is TradingState.REDUCING))
    if not passes:
        raise Halted(f"trading state {state.state.value}: {state.reason}", next_step=SHOWN)


def shut(home: Home) -> list[str]:
    """Wait until no order is in the gate, at most 500 ms; who is still in it, by name. Raises CannotWrite where nobody can tell."""
    try:
        lock = _take(home, LONGEST)
    except CannotWrite:
        if _has_lock(home):
            raise
        return []  # nobody was in the gate yet; whoever comes makes the lock first, and then reads the mark
    if lock is None:
        return senders(home)
    lock.release()
    return []


def keep_shut(home: Home) -> locks.Held | None:
    """Hold the gate shut where the latch cannot be written; None where a sender does not leave it. Raises CannotWrite."""
    return _take(home, LONGEST)


def senders(home: Home) -> list[str]:
    """Who is in the gate, as each names itself: never empty, for somebody is."""
    known = {run.pid: run.what for run in locks.living(home)}
    return [known.get(pid) or _command(pid) for pid in locks.sharers(home.latch_lock)] or [
        locks.holder(home.latch_lock) or "a process that cannot be seen from here"
    ]


def _take(home: Home, within: float) -> locks.Held | None:
    deadline = clock.monotonic() + within
    while (lock := _try(home)) is None:
        if clock.monotonic() >= deadline:
            return None
        clock.pause_blocking(POLL)
    return lock


def _try(home: Home) -> locks.Held | None:
    """A descriptor to read suffices to hold the gate shut, so it is shut even where nothing can be written."""
    try:
        return locks.try_hold(home.latch_lock, "a halt")
    except CannotWrite:
        return locks.try_hold_unwritable(home.latch_lock)


def _has_lock(home: Home) -> bool:
    """Whether the lock of the gate is there, or nobody can say that it is not."""
    try:
        home.latch_lock.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        return f"{' '.join(words).strip()} (pid {pid})"
    return f"pid {pid}"
