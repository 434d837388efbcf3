"""Locks name their holder and end with its process, however it ends; a run lives exactly as long."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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


def test_asking_for_the_holder_is_in_nobodys_way(folder: Path) -> None:
    path = folder / "x.lock"
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            # Unnamed: the holder that was found let go, and the next has yet to write its name.
            assert locks.holder(path) in {None, f"me (pid {os.getpid()})", "an unnamed process"}

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for turn in range(3000):
                with locks.try_hold(path, "me") or pytest.fail(f"turn {turn}: somebody who asks was taken for a holder"):
                    pass
        finally:
            over.set()
        for one in asking:
            one.result()


def test_of_many_at_once_one_holds_and_it_is_the_one_that_is_named(folder: Path) -> None:
    path = folder / "x.lock"
    inside: list[int] = []
    most = 0

    def take(number: int) -> int:
        nonlocal most
        taken = 0
        for _ in range(400):
            if held := locks.try_hold(path, f"thread {number}"):
                with held:
                    inside.append(number)
                    most = max(most, len(inside))
                    assert locks.holder(path) == f"thread {number} (pid {os.getpid()})"
                    inside.remove(number)
                    taken += 1
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, range(4)))
    assert most == 1 and sum(taken) > 0


def test_a_lock_lives_on_in_a_child_that_inherits_it(folder: Path) -> None:
    path = folder / "x.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    assert locks.claim(descriptor, "handed over")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[descriptor])
    os.close(descriptor)
    assert locks.holder(path) == "handed over" and locks.try_hold(path, "me") is None
    child.kill()
    child.wait()
    assert locks.holder(path) is None
    with locks.try_hold(path, "me") as held:
        assert held


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_killed_runs_left_goes_when_a_run_begins(demo_home: Home) -> None:
    holders = [Holder("run", demo_home.root) for _ in range(3)]
    dead, young, living = (demo_home.runs / holder.said for holder in holders)
    for holder in holders[:2]:
        holder.kill()
    (demo_home.runs / "a folder").mkdir()
    (demo_home.runs / "elsewhere").symlink_to(demo_home.settings_file)
    for path in (dead, living, demo_home.runs / "a folder"):
        age(path, locks.SETTLED + 1)
    age(young, locks.SETTLED - 5)
    os.utime(demo_home.settings_file, (0, 0))
    run = locks.begin_run(demo_home, "the next")
    assert {path.name for path in demo_home.runs.iterdir()} == {young.name, living.name, run.identity, "a folder", "elsewhere"}
    assert locks.lives(demo_home, living.name) and not locks.lives(demo_home, dead.name)
    holders[2].kill()
    run.end()


def test_a_run_that_was_taken_for_dead_before_it_had_its_lock_begins_anew(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood still for over a minute between making its file and taking the lock; meanwhile another began."""
    real = locks.claim
    swept: list[str] = []

    def slowly(descriptor: int, who: str) -> bool:
        monkeypatch.setattr(locks, "claim", real)
        (path,) = demo_home.runs.iterdir()
        age(path, locks.SETTLED + 1)
        locks.begin_run(demo_home, "another").end()
        swept.append(path.name)
        assert not path.exists()
        return real(descriptor, who)

    monkeypatch.setattr(locks, "claim", slowly)
    run = locks.begin_run(demo_home, "slow")
    assert run.identity != swept[0] and locks.lives(demo_home, run.identity)
    run.end()


def test_runs_that_begin_and_are_killed_all_the_time_never_lose_a_living_one(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SETTLED", -1.0)  # as if every file were old

    def act(_number: int) -> None:
        for _ in range(40):
            run = locks.begin_run(demo_home, "an act")
            assert locks.lives(demo_home, run.identity)
            run.end()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, range(6)))
    assert list(demo_home.runs.iterdir()) == []


@pytest.mark.parametrize("identity", ["", ".", "..", "../../config/v6.toml", "nobody", "x\n"])
def test_a_name_that_is_no_run_is_not_alive(demo_home: Home, identity: str) -> None:
    assert not locks.lives(demo_home, identity)


def test_a_lock_that_cannot_be_made(folder: Path) -> None:
    (folder / "x.lock").mkdir()
    with pytest.raises(CannotWrite, match=r"x\.lock"):
        locks.try_hold(folder / "x.lock", "me")


def test_a_lock_that_can_only_be_read_is_held_all_the_same_or_said_to_be_anothers(folder: Path) -> None:
    path = folder / "x.lock"
    with pytest.raises(CannotWrite, match=r"x\.lock"):
        locks.try_hold_unwritable(path)
    with locks.try_hold(path, "an order", shared=True) or pytest.fail("nobody is in the way"):
        assert locks.try_hold_unwritable(path) is None
    with locks.try_hold_unwritable(path) or pytest.fail("nobody is in the way"):
        assert locks.try_hold(path, "an order", shared=True) is None


def test_a_file_system_without_locks_says_so_and_keeps_nothing_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    for shared in (False, True):
        with pytest.raises(CannotWrite, match="cannot lock"):
            locks.try_hold(folder / "x.lock", "me", shared=shared)
    assert len(list(descriptors.iterdir())) == before


def test_where_nothing_was_ever_locked_nobody_is_in_the_way(demo_home: Home) -> None:
    demo_home.runs.rmdir()
    assert locks.sharers(demo_home.latch_lock) == [] and locks.living(demo_home) == []


def test_a_run_whose_every_name_is_taken_does_not_begin(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "try_hold", lambda *_: None)
    with pytest.raises(CannotWrite, match="cannot begin a run"):
        locks.begin_run(demo_home, "an act")
