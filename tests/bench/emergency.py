"""How long v6 takes to halt: from the start of the process until the halt is on the disk with the folder that names it.

What comes after that, such as the gate, the journal and the orders that still work, is not measured: it bounds nobody's loss.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import books
import measuring
from measuring import Bound, program

from v6cli import latch
from v6cli.home import Home
from v6cli.latch import TradingState

TURNS = 25

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
    return [Bound("v6 halt, until it is durable", "import click", 1.5, taken["halt"], taken["click"])]


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


if __name__ == "__main__":
    sys.exit(measuring.judged(measure()))
