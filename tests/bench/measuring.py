"""Measuring programs and calls against a yardstick: in turns, so that a noisy minute falls on both; by medians, whose ratio is judged.

A figure alone says what kind of machine this is; only the ratio says what kind of program this is.
"""

from __future__ import annotations

import os
import pty
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

V6 = str(Path(sys.executable).parent / "v6")
COLUMNS = 160  # every column of a book of positions fits


@dataclass
class Bound:
    """One measured thing against its yardstick: seconds of each turn, and how many times the yardstick is allowed."""

    name: str
    yardstick: str
    allowed: float
    own: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def ratio(self) -> float:
        return statistics.median(self.own) / statistics.median(self.other)

    @property
    def kept(self) -> bool:
        return self.ratio <= self.allowed


def in_turns(turns: int, acts: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Do each act once a turn, after one turn that is not counted: it compiles bytecode and warms caches."""
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for turn in range(turns + 1):
        for name, act in acts.items():
            seconds = act()
            if turn:
                taken[name].append(seconds)
    return taken


def program(argv: Sequence[str], *, cwd: Path | None = None, terminal: bool = False) -> Callable[[], float]:
    """Running a program to its end, as an act; it must exit 0. On a terminal its output goes to one that somebody reads."""
    environment = _environment()

    def run() -> float:
        return _on_terminal(argv, cwd, environment) if terminal else _on_pipe(argv, cwd, environment)

    return run


def _on_pipe(argv: Sequence[str], cwd: Path | None, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - began


def _on_terminal(argv: Sequence[str], cwd: Path | None, environment: dict[str, str]) -> float:
    reader, writer = pty.openpty()
    drain = threading.Thread(target=_drain, args=(reader,))
    drain.start()
    try:
        began = time.perf_counter()
        subprocess.run(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=writer, check=True)
        return time.perf_counter() - began
    finally:
        os.close(writer)
        drain.join()
        os.close(reader)


def _drain(reader: int) -> None:
    try:
        while os.read(reader, 65536):
            pass
    except OSError:  # a terminal whose last writer went away ends so
        pass


def _environment() -> dict[str, str]:
    """This shell's, without what would make every start of Python slower or point v6 elsewhere."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "NO_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted and not name.startswith("V6_")}
    return kept | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}


def table(bounds: Sequence[Bound]) -> str:
    """What was measured: median (least-most) in milliseconds of both sides, their ratio, and what is allowed."""
    heads = ("measured", "ms", "yardstick", "ms", "ratio", "allowed", "")
    rows = [heads, *(_row(bound) for bound in bounds)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"{bound.name}: {bound.note}" for bound in bounds if bound.note)])


def _row(bound: Bound) -> tuple[str, ...]:
    return (
        bound.name,
        spread(bound.own),
        bound.yardstick,
        spread(bound.other),
        f"{bound.ratio:.2f}",
        f"{bound.allowed:.2f}",
        "" if bound.kept else "MISSED",
    )


def spread(seconds: Sequence[float]) -> str:
    """Median (least-most), in milliseconds."""
    low, middle, high = (1000 * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
    return f"{middle:.0f} ({low:.0f}-{high:.0f})"


def judged(bounds: Sequence[Bound]) -> int:
    """Print the table; the exit code: 1 where a bound is missed."""
    print(table(bounds))
    return 0 if all(bound.kept for bound in bounds) else 1
