"""Halts, intents, syncs and replaced files on a disk that fails at each of their calls in turn: what was said and what is there agree.

Then, with nothing failing, in which order it all reached the disk: what is named is on it before the name, and all of it before the
act returns.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
COMPILER = shutil.which("gcc")
pytestmark = [] if COMPILER else pytest.mark.machine

#: errno, whether the disk stays so, and from which call on in a short run. One that stays full has no room for anything later.
FAILURES = [(errno.EIO, "once", 1), (errno.ENOSPC, "once", 4), (errno.ENOSPC, "on", 7)]
FAILS = pytest.mark.parametrize(("code", "on", "first"), FAILURES, ids=["EIO", "ENOSPC", "ENOSPC, from then on"])
STEP = 9  # a sync makes seventy calls: a short run lets each ninth of them fail
Facts = dict[str, Any]
Act = Callable[..., list[Facts]]


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """disk.c, compiled."""
    assert COMPILER, "gcc is needed"
    library = tmp_path_factory.mktemp("disk") / "disk.so"
    subprocess.run([COMPILER, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", library, HERE / "disk.c", "-ldl"], check=True)
    return library


@pytest.fixture
def act(disk: Path, lake: Path) -> Act:
    """Run durable.py in a folder in memory; what it said and found each time."""

    def run(name: str, code: int = 0, on: str = "once", first: int = 0, step: int = 1, *plant: str) -> list[Facts]:
        argv = [sys.executable, "-P", HERE / "durable.py", name, lake.parent, code, on, first, step, *plant]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "LD_PRELOAD": str(disk), "COLUMNS": "200"}
        done = subprocess.run(list(map(str, argv)), env=environment, capture_output=True, text=True, cwd="/", timeout=1100, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return list(map(json.loads, done.stdout.splitlines()))

    return run


@FAILS
def test_a_halt_says_what_is_recorded(act: Act, code: int, on: str, first: int) -> None:
    answers = act("halt", code, on, 1)
    for answer in answers:
        said, found = answer["said"], answer["found"]
        if said["code"] == 74:
            assert said["screen"].startswith("v6: NOT RECORDED: the latch") and "log out of the account in TWS" in said["screen"]
            continue
        assert said["code"] == 0, answer
        assert said["screen"].startswith("trading state HALTED") and found["state"] == "HALTED", answer
        # Its name is what counts: a reason that found no room is not there, and nothing else takes its place.
        assert found["reasons"] in (["torture"], ["no reason recorded"]), answer
        if "the journal" not in said["screen"]:
            assert found["journal"] == [["halt", "done"]], answer
    refused = [answer["n"] for answer in answers if answer["said"]["code"] == 74]
    # What is never refused: the reason and its fsync, the gate, the journal, the look at the gateway. One byte of room is kept for the name.
    assert refused == ([4] if (code, on) == (errno.ENOSPC, "once") else [1, 4])
    assert sum(answer["found"]["reasons"] == ["no reason recorded"] for answer in answers) == 1
    assert len(answers) > 30


@FAILS
def test_an_intent_is_there_whole_or_refused(act: Act, code: int, on: str, first: int) -> None:
    answers = act("intent", code, on, 1)
    for answer in answers:
        said, found = answer["said"], answer["found"]
        wanted = [said["recorded"]] if "recorded" in said else []
        assert found["intents"] == [[ref] for ref in (*wanted, said["afterwards"])], answer
        assert found["claims"] == [*([1] if wanted else []), 2], answer
        assert found["whole"] == "ok", answer
    assert sum("refused" in answer["said"] for answer in answers) > 15
    assert "recorded" in answers[-1]["said"], "the last one met no failure"


@FAILS
@pytest.mark.timeout(240)
def test_lake_and_mirror_are_old_or_new(act: Act, code: int, on: str, first: int, request: pytest.FixtureRequest) -> None:
    long = request.config.getoption("long")
    answers = act("sync", code, on, 1 if long else first, 1 if long else STEP)
    for answer in answers:
        found = answer["found"]
        assert found["readable"] == [] and found["lake"] in ([1.0], [2.0]) and found["mirror"] in ([1.0], [2.0]), answer
        assert found["mirror"] <= found["lake"], "the mirror is never ahead"
        assert found["executions"] == ["e1", "e2"][: int(found["lake"][0])], answer
        assert found["after"] == "r3", "the disk is well again, and so is the next sync"
        if "versions" in answer["said"]:
            assert (found["lake"], found["mirror"]) == ([2.0], [2.0]), answer
    assert {tuple(answer["found"]["lake"]) for answer in answers} == {(1.0,), (2.0,)}
    assert "versions" in answers[-1]["said"], "the last one met no failure"


@FAILS
def test_a_file_is_the_old_one_or_the_new_one(act: Act, code: int, on: str, first: int) -> None:
    answers = act("replace", code, on, 1)
    for answer in answers:
        assert answer["found"]["new"] or "refused" in answer["said"], answer
        assert answer["found"]["names"] == ["file", "v6.toml"], "nothing is left behind"
    assert {answer["found"]["new"] for answer in answers} == {False, True}


@FAILS
@pytest.mark.timeout(1200)
def test_a_restore_is_the_one_lake_or_the_other(act: Act, code: int, on: str, first: int, request: pytest.FixtureRequest) -> None:
    long = request.config.getoption("long")
    answers = act("restore", code, on, first, 1 if long else 15)
    for answer in answers:
        said, found = answer["said"], answer["found"]
        assert found["lake"] in {"r1", "r2"}, answer
        assert found["told"] == found["unfinished"], answer
        assert said["code"] in {69, 74}, answer
        if found["unfinished"]:
            assert not found["still"] and found["ended"] == 69, answer
            assert found["after"] == ("r1" if found["how"] == "--continue" else "r2"), answer
            assert found["state"] != "ACTIVE" or found["lake"] == "r2", answer
        else:
            assert (found["state"] == "REDUCING") == (found["lake"] == "r1"), answer
    assert {answer["found"]["lake"] for answer in answers} == {"r1", "r2"}
    assert answers[-1]["said"]["code"] == 69 and answers[-1]["found"]["lake"] == "r1", "the last one met no failure, and no gateway"


class Call(NamedTuple):
    """A call that changed something: ``write`` and ``sync`` of ``path``, or ``name``, which gives ``path`` the name ``second``."""

    word: str
    inode: str
    path: PurePath
    second: PurePath

    @property
    def place(self) -> PurePath:
        return self.second if self.word == "name" else self.path


class Unsynced:
    """What is not on the disk yet: files by inode, and folders in which there is a new name."""

    def __init__(self) -> None:
        self._files: dict[str, PurePath] = {}
        self._folders: dict[PurePath, None] = {}

    def follow(self, call: Call) -> None:
        if call.word == "write":
            self._files[call.inode] = call.path
        elif call.word == "name":
            self._folders[call.second.parent] = None
        else:
            self._files.pop(call.inode, None)
            self._folders.pop(call.path, None)

    def holds(self, inode: str) -> bool:
        return inode in self._files

    def below(self, *parts: str) -> list[PurePath]:
        return [path for path in (*self._files.values(), *self._folders) if PurePath(*parts) in (path, *path.parents)]


def calls(folder: Path) -> Iterator[tuple[Call, Unsynced]]:
    """Each call of a trace, its path beginning at the home, with what is not on the disk before it; then a last one that does nothing."""
    unsynced = Unsynced()
    for line in (folder / "trace").read_text().splitlines():
        word, inode, path, second = line.split("\t")
        home = folder / "0"
        call = Call(word, inode, PurePath(path).relative_to(home), PurePath(second or path).relative_to(home))
        yield call, unsynced
        unsynced.follow(call)
    yield Call("end", "", PurePath("end"), PurePath("end")), unsynced


def halt_is_durable_first(folder: Path) -> bool:
    """The mark and its folder, before anything else is touched."""
    latch = PurePath("data/state/latch")
    before = next(unsynced for call, unsynced in calls(folder) if latch not in (call.place, call.place.parent))
    return not before.below(str(latch))


def intent_is_durable(folder: Path) -> bool:
    *_, (_, at_the_end) = calls(folder)
    return not at_the_end.below("data/state")


def sync_is_durable_in_order(folder: Path) -> bool:
    """All other tables before the commit that names their versions, that before the mirror, and the mirror before the end."""
    tables = ["positions", "position_history", "account_history", "executions"]
    seen = list[str]()
    well = True
    for call, unsynced in calls(folder):
        if call.word == "name" and call.second.parent == PurePath("data/lake/sync_runs/_delta_log") and call.second.suffix == ".json":
            seen.append("commit")
            well &= not any(unsynced.below("data/lake", table) for table in tables)
        elif call.place.is_relative_to("data/state"):
            seen.append("mirror")
            well &= not any(unsynced.below("data/lake", table) for table in (*tables, "sync_runs"))
    assert seen[0] == "commit" and "mirror" in seen
    return well and not unsynced.below("data/state")


def file_is_durable_before_its_name(folder: Path) -> bool:
    well = True
    for call, unsynced in calls(folder):
        if call.word == "name" and call.path != call.second:
            well &= not unsynced.holds(call.inode)
    return well and not unsynced.below("config")


def restored_lake_is_durable_before_it_comes(folder: Path) -> bool:
    """All that was taken out, by one sync of its disk, and the record of the restore, before the lakes change places."""
    unsynced_there = seen = False
    well = True
    for call, unsynced in calls(folder):
        staged = call.path.parts[:2] == ("data", "restore") and call.path.parts[3:5] == ("data", "lake")
        if call.word == "name" and {call.path.parts[:2], call.second.parts[:2]} == {("data", "restore"), ("data", "lake")}:
            seen = True
            well &= not unsynced_there and not unsynced.below("data/restore/restore.json")
        elif call.word == "name" and call.second == PurePath("data/restore/restore.json"):
            well &= not unsynced.holds(call.inode)
        elif call.word == "sync":
            unsynced_there &= not (staged and len(call.path.parts) == 5)
        else:
            unsynced_there |= staged
    assert seen
    return well


ORDERS = {
    "halt": (halt_is_durable_first, ["no-file-sync", "no-folder-sync"]),
    "intent": (intent_is_durable, ["no-commit-sync"]),
    "sync": (sync_is_durable_in_order, ["no-file-sync", "no-folder-sync", "no-commit-sync"]),
    "restore": (restored_lake_is_durable_before_it_comes, ["no-disk-sync", "no-file-sync"]),
    "replace": (file_is_durable_before_its_name, ["no-file-sync", "no-folder-sync"]),
}


@pytest.mark.parametrize("name", ORDERS)
def test_what_is_named_is_on_the_disk_first(act: Act, lake: Path, name: str) -> None:
    act(name)
    assert ORDERS[name][0](lake.parent)


@pytest.mark.parametrize(("name", "plant"), [(name, plant) for name, (_, plants) in ORDERS.items() for plant in plants])
def test_a_sync_to_the_disk_that_is_left_out_is_found(act: Act, lake: Path, name: str, plant: str) -> None:
    act(name, 0, "once", 0, 1, plant)
    assert not ORDERS[name][0](lake.parent)
