"""Halts against a process that sends as fast as it may: once a halt has returned, no order of it is written any more.

All are processes of their own with one clock between them, CLOCK_MONOTONIC. The sender notes it before and after each write, which
is what is judged: what the gateway reads later may have been written before.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from v6cli import latch
from v6cli.install import new_home
from v6cli.latch import TradingState

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SHARES = "\n[messages]\ntrading = 41\nsync = 1\nclosing = 1\nlook = 1\n"  # of the 45 that a login has
ROUNDS = 10
UNTIL_FOUND = 40  # rounds in which a bug that was planted must show; it shows in every third or so
SETTLED = 0.15  # seconds


class Race:
    """A gateway, a sender and who halts it."""

    def __init__(self, folder: Path, seed: int, plant: str) -> None:
        self.chance = random.Random(seed)
        self._processes: list[subprocess.Popen[str]] = []
        self._gateway = self._start("gateway.py")
        self.home = new_home.make(folder / "home", "demo", "DU1234567", port=int(self._line(self._gateway)), extra=SHARES)
        self._log = folder / "writes"
        self._halter = self._start("halter.py", self.home, *(["no-barrier"] if plant == "no-barrier" else []))
        self.sender = self._start("sender.py", self.home, self._log, seed, *(["no-lock"] if plant == "no-lock" else []))
        self.sends_again()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    # What is done.

    def sends_again(self) -> None:
        """Resume, and wait for the next order."""
        if (seen := latch.read(self.home)).marks:
            latch.resume(self.home, seen, TradingState.ACTIVE, "the next round", "ann")
        before = len(self.written())
        self.until(lambda: len(self.written()) > before, "it sends")

    def halt(self) -> float:
        """Halt by a call in another process, in every third round with the sender stopped meanwhile; when that had returned."""
        if stops := self.chance.random() < 1 / 3:
            self.sender.send_signal(signal.SIGSTOP)
        answer = self._ask(self._halter, "halt", while_waiting=self._continue_soon if stops else None)
        while answer["kept"]:  # on a busy machine the sender may stay for longer than a halt waits: such a halt promises less
            answer = self._ask(self._halter, "halt")
        return float(answer["returned"])

    def _continue_soon(self) -> None:
        time.sleep(self.chance.uniform(0, 0.1))
        self.sender.send_signal(signal.SIGCONT)

    def halt_as_typed(self) -> float:
        """Halt by the command; when it said that trading is halted, which is before its end."""
        with self.command() as process:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("trading state HALTED")
            said = time.monotonic()
            rest = process.stderr.read()
        assert process.returncode == 0, rest
        return said

    def command(self) -> subprocess.Popen[str]:
        argv = [sys.executable, "-P", "-m", "v6cli", "--home", str(self.home), "halt"]
        return subprocess.Popen(argv, cwd="/", env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def stop_in_the_gate(self) -> None:
        """Let the sender stop itself between reading the latch and its next write."""
        self._log.with_name(f"{self._log.name}.stop").touch()
        self.until(self._is_stopped, "it has stopped itself")

    # What is seen.

    def written(self) -> dict[str, float]:
        """The orders that were written whole, each with the second by which they had been."""
        return self._noted("after")

    def begun(self) -> dict[str, float]:
        return self._noted("before")

    def read(self) -> dict[str, float]:
        """The orders that the gateway has read, and when."""
        return dict(self._ask(self._gateway, "orders"))

    def late(self, returned: float) -> set[str]:
        """Orders that were written after ``returned``: as their sender notes it, or because the gateway has one of which it does not."""
        time.sleep(SETTLED)
        written, begun, read = self.written(), self.begun(), self.read()
        assert all(at >= begun[ref] for ref, at in read.items() if ref in begun), "one clock"
        after = {ref for noted in (begun, written) for ref, at in noted.items() if at >= returned}
        return after | {ref for ref in read if begun.get(ref, returned) >= returned}

    def until(self, holds: Callable[[], object], what: str, within: float = 20.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, f"not within {within} s: {what}"
            assert self.sender.poll() is None, "the sender has ended"
            time.sleep(0.005)

    def _noted(self, word: str) -> dict[str, float]:
        lines = self._log.read_text().split("\n")[:-1] if self._log.exists() else []
        return {ref: float(at) for said, ref, at in map(str.split, lines) if said == word}

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self.sender.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    # Processes.

    def _start(self, program: str, *arguments: object) -> subprocess.Popen[str]:
        argv = [sys.executable, "-P", str(HERE / program), *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, env=self._environment, stdin=pipe, stdout=pipe, text=True)
        self._processes.append(process)
        return process

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}

    def _ask(self, process: subprocess.Popen[str], what: str, while_waiting: Callable[[], None] | None = None) -> dict[str, Any]:
        assert process.stdin is not None
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
        if while_waiting:
            while_waiting()
        return dict(json.loads(self._line(process)))

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()


@pytest.fixture
def race(folder: Path) -> Iterator[Callable[..., Race]]:
    with contextlib.ExitStack() as made:

        def start(seed: int, plant: str = "") -> Race:
            one = Race(folder, seed, plant)
            made.callback(one.close)
            return one

        yield start


def rounds(running: Race, number: int, *, stop_at_first: bool = False) -> list[set[str]]:
    """Halt at random instants, one of five by the command as it is typed; the orders that were late in each round."""
    late: list[set[str]] = []
    for each in range(number):
        time.sleep(running.chance.uniform(0, 0.1))
        late.append(running.late(running.halt_as_typed() if each % 5 == 4 else running.halt()))
        if stop_at_first and late[-1]:
            break
        running.sends_again()
    return late


@pytest.mark.seeds(2, 20)
def test_no_order_is_written_once_a_halt_has_returned(race: Any, seed: int) -> None:
    running = race(seed)
    assert rounds(running, ROUNDS) == [set()] * ROUNDS
    running.halt()
    time.sleep(SETTLED)
    assert running.read().keys() == running.written().keys() == running.begun().keys(), "each order is accounted for"
    assert len(running.written()) > ROUNDS


@pytest.mark.parametrize("plant", ["no-lock", "no-barrier"])
def test_what_is_planted_is_found(race: Any, plant: str) -> None:
    """The same rounds with a sender that skips the lock of the gate, and with a halt that does not wait for it."""
    assert any(rounds(race(0, plant), UNTIL_FOUND, stop_at_first=True))


@pytest.mark.seeds(2, 20)
def test_a_sender_that_is_stopped_in_the_gate_is_named_and_sends_one_order_at_most(race: Any, seed: int) -> None:
    running = race(seed)
    for _ in range(2):
        time.sleep(running.chance.uniform(0, 0.1))
        running.stop_in_the_gate()
        with running.command() as process:
            _, said = process.communicate()
        returned = time.monotonic()
        assert process.returncode == 75, said
        assert f"v6-trading (pid {running.sender.pid}) keeps the gate: one order of it may still leave" in said
        assert running.late(returned) == set(), "it is stopped"
        running.sender.send_signal(signal.SIGCONT)
        running.until(lambda: running.begun().keys() == running.written().keys(), "it has written what it checked")
        assert len(running.late(returned)) == 1
        assert running.late(running.halt()) == set()
        running.sends_again()
