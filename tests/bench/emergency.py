"""How long v6 takes to halt, to shut down and to close: each from the start of its process.

A halt ends once it is on the disk with the folder that names it. What comes after that, such as the gate, the journal and the orders
that still work, is not measured: it bounds nobody's loss. A shutdown of the demo's services is measured to its end. Its yardstick is
what the supervisor alone takes to stop the same services, one after the other, and the messages that follow each other, at the five a
second of an emergency: orders listed and cancelled; under the slower sender's id listed, cancelled, listed and the link proven;
positions, executions and the link proven. ``closing`` has the bound of close-all.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import books
import closing
import measuring
from measuring import V6, Bound, program

from v6cli import events, latch, settings
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.runbook.demo import free_port
from v6cli.runbook.shutdown import STOPPED
from v6cli.services.catalogue import SERVICES, services_of, start_order
from v6cli.services.supervisord import Supervisord

TURNS = 25
SHUTDOWNS = 5
IN_LINE = 2 + 5 + 4  # messages of a shutdown, each sent once the one before it may have been answered

#: v6 halt as its entry point runs it, until its second fsync has returned: that of the file is the first, that of the folder the next.
HALT = """
import os
left, fsync = [2], os.fsync
def counted(descriptor):
    fsync(descriptor)
    left[0] -= 1
    if not left[0]:
        os._exit(0)
os.fsync = counted
from v6cli.main import main
main(["halt"])
"""


def measure() -> list[Bound]:
    """Every bound of this module, measured."""
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir="/tmp") as name:
        home = books.home(Path(name) / "home")
        taken = measuring.in_turns(TURNS, {"click": program([sys.executable, "-c", "import click"]), "halt": halted(home)})
    halt = Bound("v6 halt, until it is durable", "import click", 1.5, taken["halt"], taken["click"])
    return [halt, shutdown(), *closing.measure()]


def halted(home: Home) -> Callable[[], float]:
    """Halting until the halt is durable, as an act; it is there after it, and taken back."""
    run = program([sys.executable, "-c", HALT], cwd=home.root)

    def act() -> float:
        seconds = run()
        seen = latch.read(home)
        assert seen.state is TradingState.HALTED and seen.reason == "no reason given", "the mark is there, whole"
        latch.resume(home, seen, TradingState.ACTIVE, "measured", "bench")
        return seconds

    return act


def shutdown() -> Bound:
    """Shutting down the services of a demo, against what they themselves need to stop."""
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir="/tmp") as name:
        home = new_home.make(Path(name) / "home", "demo", port=free_port(0))
        services = Supervisord(home, services_of(simulated_gateway=True))
        subprocess.run([V6, "demo", str(home.root)], capture_output=True, check=True)
        try:
            taken = measuring.in_turns(SHUTDOWNS, {"stop": stopped(services), "shutdown": shut_down(home, services)})
        finally:
            services.shutdown(events.ignore)
        pace = IN_LINE / settings.load(home).messages.cancel
    own, services_alone = (statistics.median(taken[name]) for name in ("shutdown", "stop"))
    note = f"services {services_alone:.2f} s, {IN_LINE} messages in line {pace:.2f} s, rest {own - services_alone - pace:.2f} s"
    yardstick = [seconds + pace for seconds in taken["stop"]]
    return Bound("v6 emergency shutdown, demo", "services' stop and messages", 1.6, taken["shutdown"], yardstick, note)


def stopped(services: Supervisord) -> Callable[[], float]:
    """Stopping what a shutdown stops, in its order, by the supervisor alone, as an act; they run before it."""
    names = list(reversed(start_order({"v6-trading", *STOPPED} & {one.name for one in SERVICES})))

    def act() -> float:
        services.start((), events.ignore)
        began = time.perf_counter()
        for name in names:
            services.ask("stopProcess", name, True)
        return time.perf_counter() - began

    return act


def shut_down(home: Home, services: Supervisord) -> Callable[[], float]:
    """The shutdown, as an act; the services run before it."""
    run = program([V6, "emergency", "shutdown", "--yes"], cwd=home.root)

    def act() -> float:
        services.start((), events.ignore)
        return run()

    return act


if __name__ == "__main__":
    sys.exit(measuring.judged(measure()))
