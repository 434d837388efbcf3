"""The simulated gateway as a process: it listens until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from datetime import datetime
from pathlib import Path

from v6cli import clock, control, locks
from v6cli.errors import BadInput, CannotWrite, Refused, ServiceUnavailable, UsageError
from v6cli.events import Note, Report
from v6cli.files import way_out
from v6cli.home import Home
from v6cli.simulator.control import verbs
from v6cli.simulator.listings import YEARS
from v6cli.simulator.scenario import Scenario
from v6cli.simulator.server import Gateway


def run_clock(rate: float | None, begins: str | None, home: Home | None) -> None:
    """Let the time of a gateway outside a home begin at a moment and pass ``rate`` times as fast. Raises UsageError, BadInput."""
    if rate is None and begins is None:
        return
    if home is not None:
        raise UsageError(
            f"the gateway of {home} shares its home's clock: --rate and --at are for one outside a home", next_step="v6 config show"
        )
    wall = clock.wall()
    clock.start(1.0 if rate is None else rate, wall if begins is None else _within_years(clock.read_moment(begins), begins), wall)


def _within_years(moment: datetime, typed: str) -> datetime:
    if moment.year not in YEARS:
        raise BadInput(
            f"{typed!r} is outside the years that the simulated market knows", next_step=f"choose one of {YEARS[0]} to {YEARS[-1]}"
        )
    return moment


async def serve(scenario: Scenario, port: int, socket: Path | None, state: Path | None, report: Report) -> None:
    """Serve the scenario on loopback until SIGTERM or ^C, and its faults at ``socket``; the account is kept in ``state``.

    Raises ServiceUnavailable where the port is in use, Refused where another gateway has the socket or the state, CannotWrite
    where the state cannot be kept.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as opened:
        gateway = Gateway(scenario) if state is None else _kept(scenario, state, opened)
        if socket is not None:
            await opened.enter_async_context(await control.serve(socket, verbs(gateway)))
        try:
            bound = await gateway.start(port)
        except OSError as error:
            raise ServiceUnavailable(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror}", next_step="choose another port with --port"
            ) from error
        opened.push_async_callback(gateway.close)
        title = f": {scenario.title}" if scenario.title else ""
        report(Note(f"simulated gateway at 127.0.0.1:{bound}, account {scenario.account.id}{title}"))
        await stop.wait()


def _kept(scenario: Scenario, state: Path, opened: contextlib.AsyncExitStack) -> Gateway:
    """The gateway whose account outlives it; who wants it kept learns at once where it cannot be. Raises Refused, CannotWrite."""
    try:
        opened.enter_context(_kept_to_itself(state))
        gateway = Gateway(scenario, state=state)
        gateway.write_state()
    except CannotWrite as error:  # be it outside of every home
        raise CannotWrite(error.message, next_step=way_out(state.parent)) from error
    return gateway


def _kept_to_itself(state: Path) -> locks.Held:
    """The lock on a state: two gateways would each undo what the other was told. Raises Refused, CannotWrite."""
    held = locks.try_hold(state.with_name(f".{state.name}.lock"), "v6 gateway simulate")
    if held is None:
        raise Refused(f"another gateway keeps its account in {state}", next_step="choose another file with --state")
    return held
