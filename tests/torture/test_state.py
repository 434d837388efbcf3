"""Writers of the state are killed, the first while it makes the file: what each said it wrote is there, and transactions are whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from v6cli.home import Home
from v6cli.state import journal, mirror
from v6cli.state.database import open_read_only, open_state

KILLS = 6

WRITE_MANY = """
import pathlib, sys
from datetime import UTC, datetime
from v6cli.home import Home
from v6cli.models import Account, Contract, Position
from v6cli.state import journal, mirror
from v6cli.state.database import open_state

who = int(sys.argv[2])
print("begins", flush=True)
with open_state(Home(pathlib.Path(sys.argv[1]))) as state:
    for number in range(who * 100_000, (who + 1) * 100_000):
        entry = journal.begin(state, f"r{number}", "sync", ["sync"])
        at = datetime.now(UTC)
        held = [Position("DU1", Contract(con_id, "SPY", "STK"), float(number), 1.0) for con_id in range(number % 50)]
        mirror.write(state, f"r{number}", at, Account("DU1", "USD", at, float(number)), positions=held, greeks=())
        journal.end(state, entry, "done", 0)
        print(number, flush=True)
"""


@pytest.mark.seeds(2, 60)
def test_the_state_survives_writers_that_are_killed(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    home = Home(folder)
    said: set[str] = set()
    for who in range(1, KILLS + 1):
        with subprocess.Popen([sys.executable, "-c", WRITE_MANY, str(folder), str(who)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "begins\n"
            time.sleep(chance.uniform(0, 0.02 if who == 1 else 0.2))
            child.kill()
            said |= {f"r{number}" for number in child.stdout.read().split()}
        assert child.returncode == -9, "it was killed while it wrote"
        with open_state(home) as state:
            assert state.row("PRAGMA integrity_check") == ("ok",)
            done = {entry.run for entry in journal.entries(state, limit=100_000) if entry.outcome == "done"}
        assert said <= done
        if done:
            with open_read_only(home) as state:
                seen = mirror.read(state)
            assert seen is not None
            assert len(seen.positions) == int(seen.run[1:]) % 50
            assert {one.quantity for one in seen.positions} <= {seen.account.net_liquidation} == {float(seen.run[1:])}
    assert said, "none of them came to write anything"
