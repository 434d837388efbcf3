"""The simulated gateway as a process: it listens until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

from v6cli.errors import ServiceUnavailable
from v6cli.events import Note, Report
from v6cli.simulator.scenario import Scenario
from v6cli.simulator.server import Gateway


async def serve(scenario: Scenario, port: int, report: Report) -> None:
    """Serve the scenario on loopback until SIGTERM or ^C. Raises ServiceUnavailable where the port is in use."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(scenario)
    try:
        bound = await gateway.start(port)
    except OSError as error:
        raise ServiceUnavailable(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}", next_step="choose another port with --port"
        ) from error
    report(Note(f"simulated gateway at 127.0.0.1:{bound}, account {scenario.account.id}{': ' + scenario.title if scenario.title else ''}"))
    try:
        await stop.wait()
    finally:
        await gateway.close()
