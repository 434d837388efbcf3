"""Locks name their holder and end with its process, however it ends; a run lives exactly as long."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from v6cli import locks
from v6cli.errors import CannotWrite, Refused
from v6cli.home import Home

HOLD = """
import sys, time
from pathlib import Path
from v6cli import locks
from v6cli.home import Home
held = locks.begin_run(Home(Path(sys.argv[2])), "an act") if sys.argv[1] == "run" else locks.try_hold(Path(sys.argv[2]), "somebody")
print(held.identity if sys.argv[1] == "run" else "held", flush=True)
time.sleep(60)
"""


class Holder:
    def __init__(self, kind: str, path: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, kind, str(path)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def test_one_holder_at_a_time_and_it_is_named(folder: Path) -> None:
    path = folder / "run" / "sync.lock"
    first = locks.try_hold(path, "the first")
    assert first is not None and path.stat().st_mode & 0o777 == 0o600
    assert locks.try_hold(path, "the second") is None and locks.try_hold(path, "a reader", shared=True) is None
    assert locks.holder(path) == f"the first (pid {os.getpid()})"
    first.release()
    first.release()
    assert locks.holder(path) is None
    with locks.try_hold(path, "x", shared=True) as one, locks.try_hold(path, "y", shared=True) as two:
        assert one and two and locks.try_hold(path, "z") is None


def test_a_shorter_name_leaves_nothing_of_a_longer_one(folder: Path) -> None:
    path = folder / "x.lock"
    with locks.try_hold(path, "a very long name indeed"):
        pass
    with locks.try_hold(path, "x"):
        assert locks.holder(path) == f"x (pid {os.getpid()})"


def test_waiting_ends_in_a_refusal_that_names_the_holder(folder: Path) -> None:
    async def act() -> None:
        async with locks.hold(folder / "sync.lock", "me", 0.1):
            pass

    holder = Holder("lock", folder / "sync.lock")
    try:
        with pytest.raises(Refused, match=f"sync is held by somebody .pid {holder.process.pid}."):
            asyncio.run(act())
    finally:
        holder.kill()
    asyncio.run(act())


def test_whoever_waits_gets_it_when_the_holder_is_killed(folder: Path) -> None:
    async def act() -> None:
        holder = Holder("lock", folder / "sync.lock")
        asyncio.get_running_loop().call_later(0.2, holder.kill)
        async with asyncio.timeout(10), locks.hold(folder / "sync.lock", "me", 9.0):
            assert holder.process.poll() is not None

    asyncio.run(act())


def test_a_run_lives_until_its_process_ends(demo_home: Home) -> None:
    holder = Holder("run", demo_home.root)
    assert locks.lives(demo_home, holder.said)
    holder.kill()
    assert (demo_home.runs / holder.said).exists() and not locks.lives(demo_home, holder.said)


def test_a_run_that_ended_leaves_nothing(demo_home: Home) -> None:
    one, two = locks.begin_run(demo_home, "a"), locks.begin_run(demo_home, "b")
    assert one.identity != two.identity and locks.lives(demo_home, one.identity)
    one.end()
    assert not locks.lives(demo_home, one.identity) and locks.lives(demo_home, two.identity)
    two.end()
    assert list(demo_home.runs.iterdir()) == []


@pytest.mark.parametrize("identity", ["", ".", "..", "../../config/v6.toml", "nobody", "x\n"])
def test_a_name_that_is_no_run_is_not_alive(demo_home: Home, identity: str) -> None:
    assert not locks.lives(demo_home, identity)


def test_a_lock_that_cannot_be_made(folder: Path) -> None:
    (folder / "x.lock").mkdir()
    with pytest.raises(CannotWrite, match=r"x\.lock"):
        locks.try_hold(folder / "x.lock", "me")
