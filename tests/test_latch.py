"""The latch: tightening only adds, a halt is never lost, and what cannot be read is no permission to trade."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from v6cli import latch, permits
from v6cli.app import App
from v6cli.errors import CannotWrite, Refused
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.state import journal
from v6cli.state.database import open_read_only

ACTIVE, REDUCING, HALTED = TradingState


def halt(home: Home, reason: str = "because", state: TradingState = HALTED) -> latch.Mark:
    return latch.tighten(home, state, reason, "ann")


def test_marks_add_up_and_the_strictest_holds(demo_home: Home) -> None:
    assert latch.read(demo_home).state is ACTIVE
    halt(demo_home, "exits only", REDUCING)
    assert latch.read(demo_home).state is REDUCING
    first, second = halt(demo_home, "one"), halt(demo_home, "two")
    halt(demo_home, "loosens nothing", REDUCING)
    seen = latch.read(demo_home)
    assert (seen.state, seen.reason, seen.since) == (HALTED, "one; two", first.at)
    assert [mark.reason for mark in seen.marks] == ["exits only", "one", "two", "loosens nothing"]
    assert seen.marks[2] == second and second.who == "ann"


def test_resume_removes_what_it_was_shown_and_nothing_else(demo_home: Home) -> None:
    halt(demo_home, "old")
    seen = latch.read(demo_home)
    halt(demo_home, "came meanwhile")
    after = latch.resume(demo_home, seen, ACTIVE, "fine", "ann")
    assert (after.state, after.reason) == (HALTED, "came meanwhile")


@pytest.mark.parametrize("before", [(HALTED,), (HALTED, REDUCING)])
def test_resume_to_reducing_leaves_reducing(demo_home: Home, before: tuple[TradingState, ...]) -> None:
    for state in before:
        halt(demo_home, f"{state} first", state)
    after = latch.resume(demo_home, latch.read(demo_home), REDUCING, "exits only", "ann")
    assert after.state is REDUCING and len(after.marks) == 1


NAIVE = b'{"reason": "by hand", "who": "ann", "at": "2026-01-01T00:00:00"}'


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"by hand", b'{"reason": 3}', b'{"reason": "cut o', NAIVE])
def test_a_file_is_a_halt_whatever_it_says(demo_home: Home, content: bytes) -> None:
    (demo_home.latch / "halt").write_bytes(content)
    halt(demo_home, "another")
    seen = latch.read(demo_home)
    assert seen.state is HALTED and seen.reason
    assert latch.resume(demo_home, seen, ACTIVE, "fine", "ann").state is ACTIVE


def test_a_pipe_in_the_latch_keeps_nobody_waiting(v6, demo_home: Home) -> None:
    for name in ("halt-x", "permit-x"):
        os.mkfifo(demo_home.latch / name)
    v6("--home", demo_home, "trading-state", timeout=20)
    assert latch.read(demo_home).state is TradingState.HALTED and permits.standing(demo_home) == []


def test_a_folder_in_place_of_a_mark_is_a_halt_that_goes_once_it_is_empty(demo_home: Home) -> None:
    odd = demo_home.latch / "halt odd"
    odd.mkdir()
    (odd / "notes").write_text("mine")
    assert latch.read(demo_home).state is HALTED
    with pytest.raises(CannotWrite, match="made by hand") as raised:
        latch.resume(demo_home, latch.read(demo_home), ACTIVE, "fine", "ann")
    assert f"rm -r '{odd}'" in str(raised.value.next_step)
    assert latch.read(demo_home).state is HALTED and (odd / "notes").exists()
    (odd / "notes").unlink()
    assert latch.resume(demo_home, latch.read(demo_home), ACTIVE, "fine", "ann").state is ACTIVE


def test_a_latch_that_is_missing_is_halted_and_never_active_while_it_is_made(demo_home: Home) -> None:
    """A reader that looks all the while never sees an empty folder."""
    states: set[TradingState] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            states.add(latch.read(demo_home).state)

    reader = threading.Thread(target=look)
    latch_folder = demo_home.latch
    latch_folder.rmdir()
    reader.start()
    for number in range(200):
        halt(demo_home, "made anew")
        latch_folder.rename(latch_folder.with_name(f"moved-{number}"))
    done.set()
    reader.join()
    assert states == {HALTED}


def test_a_missing_latch_is_made_by_resume(demo_home: Home) -> None:
    demo_home.latch.rmdir()
    seen = latch.read(demo_home)
    assert (seen.state, bool(seen.problem)) == (HALTED, True)
    assert latch.resume(demo_home, seen, REDUCING, "slowly", "ann").state is REDUCING
    latch.resume(demo_home, latch.read(demo_home), ACTIVE, "fine", "ann")
    assert latch.read(demo_home).state is ACTIVE


def test_a_missing_latch_is_made_open_by_a_resume_that_asks_for_it(demo_home: Home) -> None:
    demo_home.latch.rmdir()
    assert latch.resume(demo_home, latch.read(demo_home), ACTIVE, "fine", "ann").state is ACTIVE


@pytest.mark.parametrize("mark", ["a file", "an empty folder"])
def test_a_mark_that_cannot_be_removed_stays_and_is_told_of(demo_home: Home, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    if mark == "a file":
        halt(demo_home)
    else:
        (demo_home.latch / "halt odd").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", refuse)
        read_only.setattr(Path, "rmdir", refuse)
        with pytest.raises(CannotWrite, match="cannot be written: Read-only"):
            latch.resume(demo_home, latch.read(demo_home), ACTIVE, "fine", "ann")
    assert latch.read(demo_home).state is HALTED


def test_two_halts_that_both_find_the_latch_missing_both_stand(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    demo_home.latch.rmdir()
    really_add = latch._add

    def another_is_quicker(home: Home, path: Path, content: bytes) -> None:
        really_add(home, path, content)
        monkeypatch.setattr(latch, "_add", really_add)
        halt(home, "the quicker one")

    monkeypatch.setattr(latch, "_add", another_is_quicker)
    halt(demo_home, "the slower one")
    assert {mark.reason for mark in latch.read(demo_home).marks} == {"the quicker one", "the slower one"}
    assert [path.name for path in demo_home.latch.parent.iterdir() if path.name.endswith(".draft")] == []


def test_a_mark_that_goes_while_it_is_read_was_a_halt_without_a_time(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made = demo_home.latch / "halt"
    made.write_text("by hand")
    really_read = latch.read_small

    def read_and_remove(path: Path) -> bytes:
        content = really_read(path)
        path.unlink()
        return content

    monkeypatch.setattr(latch, "read_small", read_and_remove)
    seen = latch.read(demo_home)
    assert (seen.state, seen.reason, seen.marks[0].at) == (HALTED, "by hand", None)


def test_what_cannot_be_read_cannot_be_resumed(demo_home: Home) -> None:
    demo_home.latch.rmdir()
    demo_home.latch.write_text("a file in its place")
    seen = latch.read(demo_home)
    assert seen.state is HALTED
    with pytest.raises(Refused, match="nobody can say"):
        latch.resume(demo_home, seen, ACTIVE, "fine", "ann")
    with pytest.raises(CannotWrite):
        halt(demo_home)
    assert [path.name for path in demo_home.latch.parent.iterdir() if path.name.endswith(".draft")] == []


def test_a_full_disk_gives_up_its_ballast_and_keeps_the_name(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be made while the ballast is there, and nothing can be written at all."""
    really_open = os.open

    def full(path, flags, *rest, **options):
        if flags & os.O_CREAT and demo_home.latch_ballast.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return really_open(path, flags, *rest, **options)

    def nothing(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert demo_home.latch_ballast.stat().st_size == latch.BALLAST
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        patch.setattr(os, "write", nothing)
        halt(demo_home, "too long for a full disk")
    assert not demo_home.latch_ballast.exists()
    seen = latch.read(demo_home)
    assert (seen.state, seen.reason) == (HALTED, "no reason recorded")
    latch.resume(demo_home, seen, ACTIVE, "space again", "ann")
    assert demo_home.latch_ballast.stat().st_size == latch.BALLAST, "kept again for the next time"


def test_a_halt_whose_name_may_not_last_says_so_and_holds(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(latch, "sync_folder", broken)
    with pytest.raises(CannotWrite):
        halt(demo_home)
    assert latch.read(demo_home).state is HALTED


# The commands.


@pytest.mark.parametrize(("command", "state"), [("halt", "HALTED"), ("reduce-only", "REDUCING")])
def test_typed_bare_without_a_gateway_it_tightens_and_says_what_is_unknown(v6, demo_home: Home, command: str, state: str) -> None:
    done = v6(command, cwd=demo_home.root, check=0)
    assert done.stderr.splitlines()[0].startswith(f"trading state {state}")
    assert "UNKNOWN" in done.stdout and done.stderr.splitlines()[-1].startswith("next: v6 resume")
    asked = json.loads(v6(command, "-q", "-o", "json", cwd=demo_home.root, check=0).stdout)
    assert asked["verdict"] == "UNKNOWN" and "rows" not in asked, "unknown is not none"
    shown = json.loads(v6("trading-state", "-o", "json", cwd=demo_home.root, check=0).stdout)
    assert [row["reason"] for row in shown["rows"]] == ["no reason given"] * 2
    with open_read_only(demo_home) as opened:
        entries = journal.entries(opened)
    assert [(entry.command, entry.outcome) for entry in entries] == [(command, "done")] * 2


@pytest.mark.parametrize("broken", ["settings", "state", "state in the way"])
def test_a_halt_needs_nothing(v6, demo_home: Home, broken: str) -> None:
    if broken == "settings":
        demo_home.settings_file.write_text(demo_home.settings_file.read_text() + "\nx = [\n")
    elif broken == "state":
        demo_home.state.write_bytes(b"not a database" * 1000)
    else:
        demo_home.state.unlink(missing_ok=True)
        demo_home.state.mkdir()
    done = v6("halt", "--reason", "a bad day", cwd=demo_home.root, check=0)
    assert latch.read(demo_home).reason == "a bad day"
    assert "bug" not in done.stderr
    if broken != "settings":
        assert "the journal cannot be written" in done.stderr
        (noted,) = demo_home.spare_journal.read_text().splitlines()
        assert json.loads(noted)["argv"] == ["halt", "--reason", "a bad day"]


def test_a_halt_that_is_not_recorded_is_no_success(v6, demo_home: Home) -> None:
    demo_home.latch.rmdir()
    demo_home.latch.write_text("a file in its place")
    done = v6("halt", cwd=demo_home.root, check=74)
    assert "cannot be written" in done.stderr


def test_resume_asks_says_why_and_is_journaled(v6, demo_home: Home) -> None:
    v6("halt", "--reason", "spreads", cwd=demo_home.root, check=0)
    v6("resume", cwd=demo_home.root, check=64)
    refused = v6("resume", "--reason", "fine", cwd=demo_home.root, check=77)
    assert "spreads" in refused.stdout and latch.read(demo_home).state is HALTED
    v6("resume", "--reason", "fine", "--yes", cwd=demo_home.root, check=0)
    assert latch.read(demo_home).state is ACTIVE
    v6("resume", "--reason", "fine", "--yes", cwd=demo_home.root, check=77)


def test_working_orders_are_shown(v6, demo) -> None:
    try:
        for _ in range(20):  # a busy machine may need more than the two seconds it has, and must say so
            shown = json.loads(demo.v6("halt", "-o", "json", check=0).stdout)
            if shown["schema"] != "v6.working-orders-unknown/1":
                break
            assert shown["verdict"] == "UNKNOWN" and shown["values"]["why"]
        assert shown["schema"] == "v6.working-orders/1"
    finally:
        demo.v6("resume", "--reason", "the test is over", "--yes", check=0)


@pytest.mark.parametrize("typed", ["not \udcff text", "two\nlines", "\x1b[31mred", "\x00"])
def test_a_halt_is_refused_for_nothing_that_is_typed(demo_home: Home, typed: str) -> None:
    latch.tighten(demo_home, HALTED, typed, typed)
    seen = latch.read(demo_home)
    assert seen.state is HALTED
    assert seen.reason.isprintable() and seen.marks[0].who.isprintable()


def test_a_halt_typed_with_bytes_that_are_no_text_halts(v6, demo_home: Home) -> None:
    done = v6("halt", "--reason", "bad \udcff byte", cwd=demo_home.root, environment={"SUDO_USER": "an\udcffn"})
    assert latch.read(demo_home).state is HALTED
    assert done.returncode == 0 and "cannot be written" not in done.stderr


def test_a_user_without_a_name_may_halt(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert App().operator == str(os.getuid())


def test_a_halt_that_is_not_recorded_says_so_and_what_to_do(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(latch, "_create", refuse)
    with pytest.raises(CannotWrite, match="NOT RECORDED") as raised:
        halt(demo_home)
    assert "gateway" in str(raised.value.next_step)


def test_a_script_reads_the_state_its_beginning_and_its_reason(v6, demo_home: Home) -> None:
    def facts() -> dict[str, object]:
        answer = json.loads(v6("trading-state", "-o", "json", cwd=demo_home.root, check=0).stdout)
        assert answer["schema"] == "v6.trading-state/2"
        return answer["facts"]

    assert facts() == {"state": "ACTIVE", "since": None, "reason": ""}
    halt(demo_home, "exits only", REDUCING)
    first, _ = halt(demo_home, "one"), halt(demo_home, "two")
    assert first.at is not None
    assert facts() == {"state": "HALTED", "since": first.at.isoformat(), "reason": "one; two"}
    demo_home.latch.rename(demo_home.latch.with_name("away"))
    gone = facts()
    assert (gone["state"], gone["since"]) == ("HALTED", None) and "cannot be read" in str(gone["reason"])
