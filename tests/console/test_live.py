"""The live view, at a terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from ..conftest import ROOT

SHOW = """
import time
from v6cli.console.live import view
from v6cli.events import Doing, Note, Progress
with view("v6 close-all", color=False) as report:
    report(Progress("positions", 0, 60))
    for number in range(60):
        report(Doing(f"part {number}", f"SPY iron condor {number}: BUY 1 offered at -1.25 " + "and so on " * 6))
    time.sleep(0.3)
    for number in range(58):
        report(Doing(f"part {number}", ""))
        report(Note(f"SPY iron condor {number}: closed"))
    report(Doing("part 59", "SPY iron condor 59: BUY 1 moved to -1.30"))
    report(Progress("positions", 58, 60))
    time.sleep(0.3)
"""


def at_a_terminal(script: str, rows: int, columns: int) -> str:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    around = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    around |= {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", script], env=around, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):
            while part := os.read(master, 65536):
                shown += part
    os.close(master)
    return shown.decode()


def test_as_many_lines_as_fit_below_a_bar_that_stays_in_sight() -> None:
    shown = at_a_terminal(SHOW, rows=12, columns=80)
    assert "Traceback" not in shown, shown
    frames = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame).splitlines() for frame in re.split(r"\x1b\[1A\x1b\[2K|\x1b\[2K\r?", shown)]
    lines = [line for frame in frames for line in frame]
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    assert any("positions" in line and "0/60" in line for line in lines) and any("58/60" in line for line in lines)
    assert any("SPY iron condor 0: BUY 1 offered at -1.25" in line for line in lines), "the first of them is in sight"
    before = lines[: next(number for number, line in enumerate(lines) if ": closed" in line)]
    assert not any("SPY iron condor 40: BUY" in line for line in before), "there is no room for the last"
    assert sum(": closed" in line for line in lines) == 58, "what has ended stays above it"
    assert any("SPY iron condor 59: BUY 1 moved to -1.30" in line for line in lines), "and leaves room for who is next"
