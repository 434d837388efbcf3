"""Halts, reduce-only, resumes and permits raced against each other, each process stopped and let go at random instants.

No halt is lost, and no order passes a state that forbids it: each pass is judged by what stood at its instant for certain, from when
its halt had shut the gate until a resume was about to take it back.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

from v6cli import latch
from v6cli.home import Home

ROOT = Path(__file__).parents[2]
ROLES = ("halt", "reduce", "resume", "open", "exit", "permit", "permit")
SECONDS, LONGEST = 3, 60  # wall seconds of a race; it goes on for longer until enough was said
LONGEST_STOP = 0.02
UNTIL_FOUND = 4  # races in which a bug that was planted must show


def race(home: Home, folder: Path, seed: int, plant: str = "") -> list[list[str]]:
    """Let them race, until each has had its say; the words of each line of theirs. A line that a kill cut off says nothing."""
    chance = random.Random(seed)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running: list[subprocess.Popen[bytes]] = []
    for number, role in enumerate(ROLES):
        with (folder / f"said-{number}").open("wb") as said:
            argv = [sys.executable, "-P", str(Path(__file__).with_name("racer.py")), role, str(home), f"{seed}-{number}", *plant.split()]
            running.append(subprocess.Popen(argv, env=environment, stdout=said))
    try:
        began = time.monotonic()
        while (lasted := time.monotonic() - began) < SECONDS or (lasted < LONGEST and not plant and not enough(said_in(folder))):
            one = chance.choice(running)
            one.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0, LONGEST_STOP))
            one.send_signal(signal.SIGCONT)
            time.sleep(chance.uniform(0, 0.01))
        assert [process.poll() for process in running] == [None] * len(ROLES), "none of them failed"
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    return said_in(folder)


def said_in(folder: Path) -> list[list[str]]:
    texts = [(folder / f"said-{number}").read_text() for number in range(len(ROLES))]
    return [line.split() for text in texts for line in text.rpartition("\n")[0].splitlines()]


def enough(said: list[list[str]]) -> bool:
    """Whether much stood, was taken back, and passed."""
    first = [words[0] for words in said]
    passed = [words[1] for words in said if words[0] == "passed"]
    through = any(words[0] == "passed" and words[2].startswith("halt") for words in said)
    return through and min(first.count("stands"), first.count("goes")) > 40 and all(passed.count(role) > 5 for role in ROLES[3:])


def wrong(said: list[list[str]]) -> list[str]:
    """Every pass that what stood at its instant forbids."""
    stands = {mark: float(at) for word, mark, *_, at in said if word == "stands"}
    goes: dict[str, float] = {}
    for word, mark, *_, at in said:
        if word == "goes":
            goes[mark] = min(float(at), goes.get(mark, inf))
    found = []
    for role, halts, second in [words[1:] for words in said if words[0] == "passed"]:
        at = float(second)
        stood = {mark for mark, since in stands.items() if since < at < goes.get(mark, inf)}
        reduced = {mark for mark in stood if mark.startswith("reduce")}
        forbidden = {"open": stood, "exit": stood - reduced, "permit": stood - reduced - set(halts.split(",")), "ended": stood - reduced}
        found += [f"{role} passed {mark}" for mark in forbidden[role]]
    return found


@pytest.mark.seeds(2, 40)
def test_no_order_passes_what_stands_and_no_halt_is_lost(demo_home: Home, folder: Path, seed: int) -> None:
    said = race(demo_home, folder, seed)
    assert wrong(said) == []
    stands, goes = ({words[1] for words in said if words[0] == word} for word in ("stands", "goes"))
    assert stands - goes - {mark.name for mark in latch.read(demo_home).marks} == set(), "no halt is lost"
    passed = [words[1] for words in said if words[0] == "passed"]
    assert enough(said), (len(stands), len(goes), passed)


@pytest.mark.parametrize("plant", ["no-barrier", "no-lock", "any-permit"])
def test_what_is_planted_is_found(demo_home: Home, folder: Path, plant: str) -> None:
    assert any(wrong(race(demo_home, folder, seed, plant)) for seed in range(UNTIL_FOUND))
