"""Halts and resumes of many processes at once, each stopped and let go again at random instants: no halt is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from v6cli import latch
from v6cli.home import Home
from v6cli.latch import TradingState

SECONDS, LONGEST = 3, 60  # wall seconds of a race; it goes on for longer until enough was said

HALTS = """
import sys
from pathlib import Path
from v6cli import latch
from v6cli.home import Home
home = Home(Path(sys.argv[1]))
while True:
    print(latch.tighten(home, latch.TradingState.HALTED, "stop", "halter").name, flush=True)
"""

RESUMES = """
import sys
from pathlib import Path
from v6cli import latch
from v6cli.home import Home
home = Home(Path(sys.argv[1]))
while True:
    seen = latch.read(home)
    for mark in seen.marks:
        print(mark.name, flush=True)
    latch.resume(home, seen, latch.TradingState.ACTIVE, "go on", "resumer")
"""


@pytest.mark.seeds(2, 40)
def test_a_halt_is_gone_only_where_somebody_saw_it(demo_home: Home, folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    running = []

    def texts() -> list[str]:
        return [(folder / f"said-{number}").read_text() for number in range(4)]

    def enough(text: str) -> bool:
        return text.count("\n") > 20

    for number, program in enumerate((HALTS, HALTS, RESUMES, RESUMES)):
        with (folder / f"said-{number}").open("wb") as said:
            argv = [sys.executable, "-P", "-c", program, str(demo_home)]
            running.append(subprocess.Popen(argv, env=environment, stdout=said, stderr=said))
    try:
        began = time.monotonic()
        while (lasted := time.monotonic() - began) < SECONDS or (lasted < LONGEST and not all(map(enough, texts()))):
            one = chance.choice(running)
            one.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0, 0.02))
            one.send_signal(signal.SIGCONT)
            time.sleep(chance.uniform(0, 0.01))
        # The halters end first: from then on a resume may take back what it was shown, and nothing else.
        assert [process.poll() for process in running] == [None] * 4, "none of them failed"
        for process in running[:2]:
            process.kill()
            process.wait()
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    said = texts()
    # A line that a kill cut off names no halt.
    halted = {line for text in said[:2] for line in text.rpartition("\n")[0].splitlines()}
    seen = {line for text in said[2:] for line in text.splitlines()}
    stands = {mark.name for mark in latch.read(demo_home).marks}
    assert len(halted) > 20 and len(seen) > 20
    assert halted - seen - stands == set()


@pytest.mark.seeds(2, 40)
def test_killed_while_it_halts_the_latch_is_whole(demo_home: Home, seed: int) -> None:
    """Also where the folder is missing: a draft that was left behind is no latch, and in nobody's way."""
    chance = random.Random(seed)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    demo_home.latch.rmdir()
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-P", "-c", HALTS, str(demo_home)], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.05, 0.3))
        process.kill()
        process.wait()
        assert latch.read(demo_home).state is TradingState.HALTED
    latch.tighten(demo_home, TradingState.HALTED, "after it", "ann")
    assert latch.resume(demo_home, latch.read(demo_home), TradingState.ACTIVE, "fine", "ann").state is TradingState.ACTIVE
