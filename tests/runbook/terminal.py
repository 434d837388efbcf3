"""v6 at a terminal of 80 columns, with somebody who answers."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence

from v6cli.home import Home

from ..conftest import ROOT


def at_a_terminal(home: Home, *argv: str, ahead: str = "", answers: Sequence[Callable[[], str]] = ()) -> tuple[int, str]:
    """Run it where somebody has typed a line ``ahead``, or answers each question as it comes; exit code and what was shown."""
    master, slave = pty.openpty()
    if ahead:
        os.write(master, ahead.encode() + b"\n")
    command = [sys.executable, "-P", "-m", "v6cli", "--home", str(home), *argv]
    around = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    with subprocess.Popen(command, env=around, stdin=slave, stderr=slave, stdout=subprocess.PIPE, text=True) as process:
        os.close(slave)
        shown, coming = "", iter(answers)
        with contextlib.suppress(OSError):
            while part := os.read(master, 65536):
                asked = shown.count("[y/N]")
                shown += part.decode(errors="replace")
                for _ in range(shown.count("[y/N]") - asked):
                    if (answer := next(coming, None)) is not None:
                        os.write(master, answer().encode() + b"\n")
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(master)
    return process.returncode, out + shown
