"""v6 restore is killed again and again: the lake is the one or the other, the next command tells the truth, and it can go on or back."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v6cli import events, latch, settings
from v6cli.backup import create, restoration
from v6cli.errors import Unavailable
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import reader, tables
from v6cli.latch import TradingState
from v6cli.state.database import open_state

from ..conftest import ROOT, free_port
from .durable import syncs

SYNCS = 12


def typed(home: Home, *argv: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-P", "-m", "v6cli", "--home", str(home.root), *argv]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def answer(home: Home, *argv: str) -> tuple[int, str]:
    with typed(home, *argv) as process:
        _, said = process.communicate(timeout=60)
        return process.returncode, said


def last_run(home: Home) -> str:
    last = reader.last_run(home.lake)
    assert last is not None and reader.readable(home.lake) == []
    return last.run


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Home, float]]:
    """A home whose lake has gone on since its backup; and how long a restore of it takes that nobody kills."""
    root = Path(tempfile.mkdtemp(prefix="v6-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    home = new_home.make(root / "t", "paper", "DU1234567", port=free_port())
    tables.create(home.lake)
    for number in range(1, SYNCS):
        syncs(home, number)
    with open_state(home) as state:
        create.create(home, settings.load(home), state, events.ignore)
    syncs(home, SYNCS)
    whole = Home(root / "whole")
    shutil.copytree(home.root, whole.root)
    began = time.monotonic()
    assert answer(whole, "restore", "latest", "--yes", "--no-start")[0] == 69
    yield home, time.monotonic() - began
    shutil.rmtree(root)


def end_starting(home: Home) -> None:
    """Go on where the death came between the lake and the services, of which the next v6 tells."""
    try:
        restoration.check_started(home)
    except Unavailable:
        assert "services were not started" in answer(home, "trading-state")[1]
        assert answer(home, "restore", "--continue", "--yes", "--no-start")[0] == 0
    restoration.check_started(home)


@pytest.mark.seeds(15, 200)
@pytest.mark.timeout(180)
def test_killed_at_any_instant_the_lake_is_one_of_two_and_the_restore_ends(template: tuple[Home, float], seed: int) -> None:
    chance = random.Random(seed)
    made, seconds = template
    home = Home(made.root.with_name(f"k{seed}"))
    shutil.copytree(made.root, home.root)
    old, new = f"r{SYNCS}", f"r{SYNCS - 1}"
    with typed(home, "restore", "latest", "--yes", "--no-start") as process:
        time.sleep(chance.uniform(0.2, 1.05) * seconds)
        process.kill()
        process.communicate()
    for _ in range(4):
        unfinished = restoration.unfinished(home)
        assert last_run(home) in {old, new}
        assert ("a restore is unfinished" in answer(home, "trading-state")[1]) is (unfinished is not None)
        if unfinished is None:
            end_starting(home)
            break
        assert latch.read(home).state is TradingState.REDUCING or unfinished.phase == "begun"
        assert answer(home, "services", "start")[0] == 78
        how = "--continue" if unfinished.phase != "rolling back" and chance.random() < 0.5 else "--rollback"
        with typed(home, "restore", how, "--yes", "--no-start") as process:
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0.2, 1.0) * seconds)
                process.kill()
            process.communicate()
        if process.returncode == 69:
            assert last_run(home) == (new if how == "--continue" else old) and restoration.unfinished(home) is None
    else:  # the fourth may have ended it
        end_starting(home)
        if restoration.recorded(home) is not None:
            assert answer(home, "restore", "--rollback", "--yes", "--no-start")[0] == 69
        assert last_run(home) == old
    kept = restoration.recorded(home)
    assert last_run(home) == (new if kept else old)
    left = {path.name for path in home.restore.iterdir()} if home.restore.exists() else set()
    assert kept is None or left == {kept.id, home.restore_record.name}
    shutil.rmtree(home.root)
