"""The barrier and the permits: what a halt lets pass, and that nothing is in the gate once it is shut."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from v6cli import barrier, latch, locks, permits
from v6cli.barrier import Halted, Shut
from v6cli.errors import CannotWrite, OutcomeUnknown
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.runbook import halt, senders

ACTIVE, REDUCING, HALTED = TradingState


@pytest.fixture
def run(demo_home: Home) -> Iterator[locks.Run]:
    begun = locks.begin_run(demo_home, "v6 close-all")
    yield begun
    begun.end()


def passes(home: Home, *, closing: bool, permit: permits.Permit | None = None) -> bool:
    try:
        with barrier.passage(home, closing=closing, permit=permit):
            return True
    except Halted:
        return False


@pytest.mark.parametrize(("state", "opening", "closing"), [(ACTIVE, True, True), (REDUCING, False, True), (HALTED, False, False)])
def test_what_each_state_lets_pass(demo_home: Home, state: TradingState, opening: bool, closing: bool) -> None:
    if state is not ACTIVE:
        latch.tighten(demo_home, state, "because", "ann")
    assert (passes(demo_home, closing=False), passes(demo_home, closing=True)) == (opening, closing)


def test_a_latch_that_cannot_be_read_lets_nothing_pass(demo_home: Home, run: locks.Run) -> None:
    permit = permits.grant(demo_home, run.identity, "v6 close-all", [])
    demo_home.latch.rename(demo_home.latch.with_name("elsewhere"))
    assert not passes(demo_home, closing=True, permit=permit)


def test_a_permit_passes_the_halts_it_names_and_closing_orders_only(demo_home: Home, run: locks.Run) -> None:
    known = latch.tighten(demo_home, HALTED, "runaway", "ann")
    permit = permits.grant(demo_home, run.identity, "v6 close-all", [known])
    assert passes(demo_home, closing=True, permit=permit)
    assert not passes(demo_home, closing=False, permit=permit)
    assert not passes(demo_home, closing=True), "an order without the permit"


@pytest.mark.parametrize("state", [HALTED, ACTIVE])
def test_a_halt_that_came_later_voids_it(demo_home: Home, run: locks.Run, state: TradingState) -> None:
    """Also that of a close that was begun while nothing was halted."""
    known = [latch.tighten(demo_home, HALTED, "runaway", "ann")] if state is HALTED else []
    permit = permits.grant(demo_home, run.identity, "v6 close SPY", known)
    latch.tighten(demo_home, REDUCING, "loosens nothing, forbids no closing", "ann")
    assert passes(demo_home, closing=True, permit=permit)
    latch.tighten(demo_home, HALTED, "stop closing too", "ann")
    with pytest.raises(Halted, match="void: halted meanwhile: stop closing too"), barrier.passage(demo_home, closing=True, permit=permit):
        pass


def test_a_permit_ends_with_its_run_or_its_file(demo_home: Home) -> None:
    known = latch.tighten(demo_home, HALTED, "runaway", "ann")
    first, second = locks.begin_run(demo_home, "v6 close-all"), locks.begin_run(demo_home, "v6 close SPY")
    one, two = (permits.grant(demo_home, run.identity, "v6 close-all", [known]) for run in (first, second))
    assert [permit.run for permit in permits.standing(demo_home)] == sorted([first.identity, second.identity])
    first.end()
    permits.withdraw(demo_home, two)
    assert not passes(demo_home, closing=True, permit=one) and not passes(demo_home, closing=True, permit=two)
    assert permits.standing(demo_home) == []
    second.end()


def test_what_a_dead_run_leaves_is_cleared_away_by_the_next(demo_home: Home, run: locks.Run) -> None:
    dead = locks.begin_run(demo_home, "v6 close-all")
    permits.grant(demo_home, dead.identity, "v6 close-all", [])
    dead.end()
    permits.grant(demo_home, run.identity, "v6 close SPY", [])
    assert [path.name for path in demo_home.latch.iterdir()] == [f"permit-{run.identity}"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"run": "x", "what": "y", "halts": []'])
def test_a_permit_that_is_half_written_permits_nothing(demo_home: Home, run: locks.Run, content: bytes) -> None:
    known = latch.tighten(demo_home, HALTED, "runaway", "ann")
    permit = permits.grant(demo_home, run.identity, "v6 close-all", [known])
    (demo_home.latch / f"permit-{run.identity}").write_bytes(content)
    assert not passes(demo_home, closing=True, permit=permit)
    assert permits.standing(demo_home) == []


def test_a_permit_is_no_halt(demo_home: Home, run: locks.Run) -> None:
    permits.grant(demo_home, run.identity, "v6 close SPY", [])
    assert latch.read(demo_home).state is ACTIVE


def test_the_barrier_waits_for_who_is_in_the_gate_and_names_who_stays(demo_home: Home, run: locks.Run) -> None:
    assert barrier.shut(demo_home) == []
    with barrier.passage(demo_home, closing=True):
        kept = barrier.shut(demo_home)
    assert kept and f"(pid {os.getpid()})" in kept[0] and "v6 close-all" in kept[0]
    assert barrier.shut(demo_home) == []
    with pytest.raises(OutcomeUnknown, match="keeps the gate"):
        halt.check_gate(kept)


def test_the_gate_is_shut_while_it_is_held(demo_home: Home) -> None:
    gate = barrier.keep_shut(demo_home)
    assert gate is not None
    with gate, pytest.raises(Shut), barrier.passage(demo_home, closing=True):
        pass
    assert passes(demo_home, closing=True)


def test_a_gate_that_cannot_be_written_is_shut_all_the_same(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert barrier.shut(demo_home) == []

    def refuse(path: Path, who: str, *, shared: bool = False) -> None:
        raise CannotWrite("read-only file system")

    monkeypatch.setattr(locks, "try_hold", refuse)
    gate = barrier.keep_shut(demo_home)
    assert gate is not None
    with gate, demo_home.latch_lock.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_gate_through_which_nothing_ever_went_is_empty_though_its_lock_cannot_be_made(
    demo_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the halt is recorded, and says nothing of a sender that there cannot be."""

    def refuse(path: Path, who: str, *, shared: bool = False) -> None:
        raise CannotWrite("no space left on device")

    monkeypatch.setattr(locks, "try_hold", refuse)
    assert barrier.shut(demo_home) == []
    demo_home.latch_lock.touch()
    monkeypatch.setattr(locks, "try_hold_unwritable", lambda path: refuse(path, ""))
    with pytest.raises(CannotWrite):
        barrier.shut(demo_home)


def test_a_gate_of_which_nobody_can_tell_whether_it_has_a_lock_is_not_taken_for_empty(demo_home: Home) -> None:
    shutil.rmtree(demo_home.run)
    demo_home.run.write_text("a file in the place of the folder")
    with pytest.raises(CannotWrite):
        barrier.shut(demo_home)


def test_who_stays_in_the_gate_without_a_run_is_named_by_its_command(demo_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    demo_home.latch_lock.touch()
    with demo_home.latch_lock.open() as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        inside = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor.fileno()])
    monkeypatch.setattr(locks, "sharers", lambda path: [inside.pid])  # the kernel names the one that took the lock, which has closed it
    try:
        assert barrier.shut(demo_home) == [f"sleep 60 (pid {inside.pid})"]
    finally:
        inside.kill()
        inside.wait()
    assert barrier.senders(demo_home) == [f"pid {inside.pid}"]
    assert barrier.shut(demo_home) == []


def test_a_permit_is_written_and_removed_or_said_not_to_be(demo_home: Home, run: locks.Run) -> None:
    permit = permits.grant(demo_home, run.identity, "v6 close-all", [])
    demo_home.latch.rename(demo_home.latch.with_name("elsewhere"))
    assert permits.standing(demo_home) == []
    with pytest.raises(CannotWrite, match="cannot be written"):
        permits.grant(demo_home, run.identity, "v6 close-all", [])
    demo_home.latch.write_text("a file in its place")
    with pytest.raises(CannotWrite, match="cannot be removed"):
        permits.withdraw(demo_home, permit)


def test_a_halt_that_cannot_be_recorded_ends_what_sends_behind_a_shut_gate(demo_home: Home) -> None:
    """The gate is held for as long as it takes, and the message says what became of the senders."""
    assert barrier.shut(demo_home) == []
    demo_home.latch.rmdir()
    demo_home.latch.write_text("a file in its place")
    seen: list[bool] = []

    def silence() -> str:
        with demo_home.latch_lock.open() as other:
            try:
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
                seen.append(False)
            except BlockingIOError:
                seen.append(True)
        return "ended: v6-trading"

    with pytest.raises(CannotWrite, match=r"NOT RECORDED.*ended: v6-trading.*undoes this halt"):
        halt.tighten(demo_home, HALTED, "", "ann", silence)
    assert seen == [True]


def test_senders_are_the_trading_service_and_who_holds_a_permit(demo_home: Home) -> None:
    runs = [locks.begin_run(demo_home, what) for what in ("v6-trading", "position sync", "v6 close SPY", "v6 halt")]
    permits.grant(demo_home, runs[2].identity, "v6 close SPY", [])
    assert [run.what.split(" (")[0] for run in senders.find(demo_home)] == ["v6-trading", "v6 close SPY"]
    for run in runs:
        run.end()
    assert senders.find(demo_home) == []


def test_a_sender_that_its_host_stopped_is_told_of_too(demo_home: Home) -> None:
    trading = locks.begin_run(demo_home, "v6-trading")

    class Host:
        def stop(self, names: list[str], report: object) -> None:
            assert names == ["v6-trading"]
            trading.end()

    ended = senders.silence(demo_home, Host())  # type: ignore[arg-type]
    assert senders.said(ended).startswith("ended: v6-trading (pid ")
