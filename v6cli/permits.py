"""Permits: what lets the closing orders of an operator's ``close`` or ``close-all`` pass the halts it was shown, and no others.

A permit is a file in the folder of the latch. It names its run and the halts it passes, and is void once the run has ended, the
file is gone, or a halt stands that it does not name: so a halt stops a flatten, too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from msgspec import Struct

from v6cli import locks
from v6cli.errors import CannotWrite
from v6cli.files import FILE_MODE, read_small, sync_folder
from v6cli.home import Home
from v6cli.latch import Latch, Mark, TradingState

PREFIX = "permit-"


class Permit(Struct, frozen=True):
    """What a run may pass: ``halts`` are the names of marks. ``what`` is what the operator typed."""

    run: str
    what: str
    halts: tuple[str, ...]


def grant(home: Home, run: str, what: str, halts: Iterable[Mark]) -> Permit:
    """Let a living run pass these halts, durably; what runs left that have ended is cleared away. Raises CannotWrite."""
    import msgspec

    _sweep(home)
    permit = Permit(run, what, tuple(mark.name for mark in halts if mark.state is TradingState.HALTED))
    try:
        descriptor = os.open(home.latch / f"{PREFIX}{run}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            os.write(descriptor, msgspec.json.encode(permit))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(home.latch)
    except OSError as error:
        raise CannotWrite(f"the permit cannot be written in {home.latch}: {error.strerror}") from error
    return permit


def withdraw(home: Home, permit: Permit) -> None:
    """The run needs its permit no more. Raises CannotWrite."""
    try:
        (home.latch / f"{PREFIX}{permit.run}").unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(f"the permit cannot be removed from {home.latch}: {error.strerror}") from error


def void(home: Home, permit: Permit, state: Latch) -> str:
    """Why the permit does not hold; empty where it does. The file is what counts, not what its run remembers of it."""
    if state.problem:
        return state.problem
    if _written(home, permit.run) != permit:
        return "its file is gone"
    if not locks.lives(home, permit.run):
        return "its run has ended"
    unnamed = [mark for mark in state.marks if mark.state is TradingState.HALTED and mark.name not in permit.halts]
    return f"halted meanwhile: {unnamed[0].reason}" if unnamed else ""


def standing(home: Home) -> list[Permit]:
    """The permits of runs that go on, the oldest first."""
    try:
        names = sorted(path.name for path in home.latch.iterdir() if path.name.startswith(PREFIX))
    except OSError:
        return []
    found = [_written(home, name.removeprefix(PREFIX)) for name in names]
    return [permit for permit in found if permit is not None and locks.lives(home, permit.run)]


def _sweep(home: Home) -> None:
    with contextlib.suppress(OSError):  # a void permit is in nobody's way
        for path in home.latch.iterdir():
            if path.name.startswith(PREFIX) and not locks.lives(home, path.name.removeprefix(PREFIX)):
                path.unlink(missing_ok=True)


def _written(home: Home, run: str) -> Permit | None:
    import msgspec

    try:
        return msgspec.json.decode(read_small(home.latch / f"{PREFIX}{run}"), type=Permit)
    except (OSError, msgspec.MsgspecError):
        return None  # half written, or no permit at all: it permits nothing
