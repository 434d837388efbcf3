"""The processes of this home that may send orders: found by their runs, ended, and proven gone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec import Struct

from v6cli import clock, locks, permits
from v6cli.errors import V6Error
from v6cli.events import ignore
from v6cli.home import Home
from v6cli.locks import Living

if TYPE_CHECKING:
    from v6cli.services.backend import Backend

TRADING = "v6-trading"
LETS_GO = 2.0  # wall seconds within which the kernel takes from a dead process what it had open
GRACE = 5.0  # wall seconds to end by itself: it cancels what it can meanwhile


class Ended(Struct, frozen=True):
    """Which senders were found, and which of them still live; none of the latter means that nothing of this home sends."""

    found: tuple[Living, ...] = ()
    left: tuple[Living, ...] = ()


def find(home: Home, spare: str = "") -> list[Living]:
    """The runs that may send: the trading service, however it was started, and whoever holds a permit; the run to ``spare`` left out."""
    permitted = {permit.run for permit in permits.standing(home)} - {spare}
    return [run for run in locks.living(home) if run.what.startswith(TRADING) or run.identity in permitted]


def end(home: Home, *, spare: str = "", grace: float = GRACE) -> Ended:
    """End every sender, kill what has not ended after ``grace`` wall seconds, and look again until none is found."""
    from v6cli.services import processes

    found = find(home, spare)
    processes.end([one for run in found if (one := processes.of(run.pid)) is not None], grace)
    # A process may count as gone while its last threads still hold what it had open: the run is over once that is let go.
    deadline = clock.monotonic() + LETS_GO
    while (left := [run for run in found if locks.lives(home, run.identity)]) and clock.monotonic() < deadline:
        clock.pause_blocking(0.02)
    return Ended(tuple(found), (*left, *(run for run in find(home, spare) if run not in found)))


def silence(home: Home, services: Backend, *, spare: str = "") -> Ended:
    """End the trading service, so that its host does not start it again, and every other sender but the run to ``spare``."""
    found = find(home, spare)
    with contextlib.suppress(V6Error):  # the host may be what is broken: the processes are ended below all the same
        services.stop([TRADING], ignore)
    ended = end(home, spare=spare)
    return Ended((*found, *(run for run in ended.found if run not in found)), ended.left)


def said(ended: Ended) -> str:
    """What came of ending the senders, in words."""
    if ended.left:
        return f"STILL ALIVE: {', '.join(run.what for run in ended.left)}"
    return f"ended: {', '.join(run.what for run in ended.found)}" if ended.found else "nothing of this home sends orders now"
