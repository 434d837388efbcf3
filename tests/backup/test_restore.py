"""A restore: the one lake or the other, whatever interrupts it; and nothing that trades is loosened by it."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from v6cli import clock, events, latch, locks, settings
from v6cli.backup import exchange, names, restoration, staging
from v6cli.errors import BadConfiguration, BadInput, CannotWrite, Refused, Unavailable, UsageError
from v6cli.home import Home
from v6cli.lake import contents, reader, tables
from v6cli.lake.writer import Writer
from v6cli.latch import TradingState
from v6cli.models import Contract, Order
from v6cli.runbook import restore, restore_asked, restore_tables, service
from v6cli.runbook.restore import Restore, Rooms
from v6cli.runbook.restore_asked import Wish
from v6cli.state import intents, journal
from v6cli.state.database import open_state

from ..lake.conftest import fill
from .conftest import MakeBackup, back_up, everything, foreign, no_file_to_read

__all__ = ["MakeBackup"]

SPY = Contract(756733, "SPY", "STK")


class Killed(BaseException):
    """The process dies here: nothing of it tidies up after itself but what ``finally`` does, which the torture leaves out, too."""


class Services:
    """Nothing runs in this home: what would be stopped and started is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def shutdown(self, report: events.Report) -> None:
        self.said.append("shutdown")

    def start(self, names: tuple[str, ...], report: events.Report) -> None:
        self.said.append(f"start {' '.join(names)}".strip())


@contextlib.contextmanager
def restoring(home: Home) -> Iterator[Restore]:
    """A restore in a home whose gateway is not there."""
    with open_state(home) as state:
        rooms = Rooms(settings.load(home), Services(), state, "ann", lambda: "", lambda _title: contextlib.nullcontext(events.ignore))  # type: ignore[arg-type]
        yield Restore(home, rooms)


def run(home: Home, wish: Wish) -> Restore:
    with restoring(home) as it:
        with it.staged(wish) as staged:
            begun = it.begin(staged, wish)
        it.carry_out(begun)
        return it


def files(lake: Path) -> dict[str, bytes]:
    """Every file of the lake but the lock of its writers, which says who held it last."""
    return {path: content for path, content in everything(lake).items() if path != tables.WRITERS_LOCK}


def rows(lake: Path) -> dict[str, tuple[int, int]]:
    with contents.look(lake, 0) as found:
        return {table.name: (table.version, table.rows) for table in found.tables}


@pytest.fixture
def later(home: Home, batch) -> tuple[Home, Path, dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """A home with a backup, and two syncs more since then; its tables then and now."""
    backup = back_up(home)
    then = rows(home.lake)
    writer = Writer(home.lake)
    for number in (6, 7):
        writer.commit(batch(number, executions=(fill(number),)))
    return home, backup.path, then, rows(home.lake)


def test_the_lake_of_the_backup_takes_the_place_of_the_one_there_is_and_can_give_it_back(later) -> None:
    home, archive, then, now = later
    before = files(home.lake)
    it = run(home, Wish(archive))
    assert rows(home.lake) == then != now
    assert [one.step for one in it.done] == ["trading state", "services", "safety backup", "exchange", "state", "reconcile", "start"]
    assert latch.read(home).state is TradingState.REDUCING
    with pytest.raises(Unavailable, match="not reconciled with IB"):
        it.check_reconciled()
    kept = restoration.recorded(home)
    assert kept is not None and kept.phase == "done" and Path(kept.safety).is_file()
    with restoring(home) as back:
        back.roll_back(kept)
    assert files(home.lake) == before
    assert restoration.recorded(home) is None and list(home.restore.iterdir()) == []
    assert latch.read(home).state is TradingState.REDUCING


def test_the_earlier_lake_is_kept_until_it_is_let_go(later) -> None:
    home, archive, then, _ = later
    run(home, Wish(archive))
    with restoring(home) as again, pytest.raises(Refused, match="still kept"), again.staged(Wish(archive)):
        pass
    kept = restore_asked.last(home, "discard")
    with restoring(home) as it:
        it.discard(kept)
    assert list(home.restore.iterdir()) == [] and rows(home.lake) == then
    with pytest.raises(BadInput, match="no restore"):
        restore_asked.last(home, "rollback")


def test_what_is_not_agreed_to_changes_nothing(later) -> None:
    home, archive, _, _ = later
    before = everything(home.root / "data")
    with restoring(home) as it, pytest.raises(Refused, match="not confirmed"), it.staged(Wish(archive)) as staged:
        table = restore_tables.plan(staged, Wish(archive), home)
        assert {row[0]: row[5] for row in table.rows}["executions"] == "-2 rows"
        raise Refused("not confirmed")
    after = everything(home.root / "data")
    assert {path: content for path, content in after.items() if "/v6.sqlite" not in path} == {
        path: content for path, content in before.items() if "/v6.sqlite" not in path
    }


PHASES = 5  # times that a restore of everything records how far it is until it is united: begun, its safety backup, exchanging, exchanged


@pytest.mark.parametrize("before", [True, False], ids=["before it is recorded", "after"])
@pytest.mark.parametrize("phase", range(1, PHASES + 1))
@pytest.mark.parametrize("how", ["continue", "rollback"])
def test_killed_at_any_phase_it_is_the_one_lake_or_the_other_and_can_go_on_or_back(
    later, monkeypatch: pytest.MonkeyPatch, how: restore_asked.End, phase: int, before: bool
) -> None:
    home, archive, then, now = later
    really_keep, calls = restoration.keep, []

    def keep(home: Home, own: restoration.Restoration) -> restoration.Restoration:
        calls.append(own.phase)
        if len(calls) == phase + 1 and before:
            raise Killed
        kept = really_keep(home, own)
        if len(calls) == phase and not before:
            raise Killed
        return kept

    with monkeypatch.context() as killing:
        killing.setattr(restoration, "keep", keep)
        with pytest.raises(Killed):
            run(home, Wish(archive))
    assert rows(home.lake) in (then, now)
    with pytest.raises(BadConfiguration, match="a restore is unfinished"):
        restoration.check_finished(home)
    with restoring(home) as it:
        it.end(how, restore_asked.last(home, how))
    assert rows(home.lake) == (then if how == "continue" else now)
    restoration.check_finished(home)
    assert latch.read(home).state is TradingState.REDUCING or phase == 1


@pytest.mark.parametrize("swapped", [False, True])
def test_killed_on_the_way_back_it_can_only_go_back(later, monkeypatch: pytest.MonkeyPatch, swapped: bool) -> None:
    home, archive, _, now = later
    settings_since = home.settings_file.read_text() + "\n# changed since\n"
    home.settings_file.write_text(settings_since)
    run(home, Wish(archive, config=True))
    latch.resume(home, latch.read(home), TradingState.ACTIVE, "fine", "ann")
    really_exchange = exchange.exchange

    def killed(one: Path, other: Path) -> None:
        if swapped:
            really_exchange(one, other)
        raise Killed

    with monkeypatch.context() as killing, restoring(home) as it:
        killing.setattr(exchange, "exchange", killed)
        with pytest.raises(Killed):
            it.roll_back(restore_asked.last(home, "rollback"))
    with restoring(home) as it, pytest.raises(UsageError, match="being rolled back"):
        it.carry_out(restore_asked.last(home, "continue"))
    with restoring(home) as it:
        it.roll_back(restore_asked.last(home, "rollback"))
    assert rows(home.lake) == now and restoration.recorded(home) is None
    assert home.settings_file.read_text() == settings_since
    assert latch.read(home).state is TradingState.REDUCING, "another lake is a reason to look before going on, whichever it is"


@pytest.mark.parametrize("how", ["a restore", "a rollback"])
def test_killed_before_the_services_were_started_it_says_so_and_continue_starts_them(
    v6, later, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    home, archive, then, now = later
    if how == "a rollback":
        run(home, Wish(archive))

    def killed(_self: Services, names: tuple[str, ...], _report: events.Report) -> None:
        if not names:
            raise Killed

    with monkeypatch.context() as killing, pytest.raises(Killed):
        killing.setattr(Services, "start", killed)
        if how == "a rollback":
            with restoring(home) as it:
                it.roll_back(restore_asked.last(home, "rollback"))
        else:
            run(home, Wish(archive))
    restoration.check_finished(home)  # the lake is decided: services may run
    said = "the services were not started again after the restore of"
    assert f"{said} {archive.name}; next: v6 restore --continue" in v6("trading-state", cwd=home.root, check=0).stderr
    assert "stay stopped" in v6("restore", "--continue", "--no-start", "--dry-run", cwd=home.root, check=0).stdout
    with locks.try_hold(home.run / "restore.lock", "v6 restore"):
        assert said not in v6("trading-state", cwd=home.root, check=0).stderr, "it is at it"
    with restoring(home) as it:
        with pytest.raises(Refused, match="unfinished"), it.staged(Wish(archive)):
            pass
        with pytest.raises(Refused):
            restore_asked.last(home, "discard")
        it.end("continue", restore_asked.last(home, "continue"))
        assert it._rooms.services.said == ["start"]
    kept = restoration.recorded(home)
    assert rows(home.lake) == (now if how == "a rollback" else then)
    assert kept is None if how == "a rollback" else kept is not None and kept.phase == "done"
    assert {path.name for path in home.restore.iterdir()} == (set() if kept is None else {kept.id, "restore.json"})
    assert said not in v6("trading-state", cwd=home.root, check=0).stderr


def test_a_service_that_does_not_start_leaves_no_restore_to_go_on_with(later, monkeypatch: pytest.MonkeyPatch) -> None:
    home, archive, _, _ = later

    def fails(_self: Services, _names: tuple[str, ...], _report: events.Report) -> None:
        raise Unavailable("v6-trading did not come up")

    monkeypatch.setattr(Services, "start", fails)
    with pytest.raises(Unavailable):
        run(home, Wish(archive))
    restoration.check_started(home)
    with restoring(home) as it, pytest.raises(Unavailable):
        it.roll_back(restore_asked.last(home, "rollback"))
    assert restoration.recorded(home) is None and list(home.restore.iterdir()) == []


def test_an_unfinished_restore_is_told_of_and_nothing_that_writes_starts(v6, later, monkeypatch: pytest.MonkeyPatch) -> None:
    home, archive, _, _ = later
    with restoring(home) as it, it.staged(Wish(archive)) as staged:
        it.begin(staged, Wish(archive))
    for argv in (("services", "start"), ("services", "restart", "v6-trading"), ("sync", "--force"), ("scheduler", "run", "trading")):
        done = v6(*argv, cwd=home.root, check=78)
        assert "a restore is unfinished" in done.stderr and "v6 restore --continue" in done.stderr
    assert "a restore is unfinished" in v6("trading-state", cwd=home.root, check=0).stderr
    assert "a restore is unfinished" in v6("halt", cwd=home.root).stderr
    v6("restore", "latest", cwd=home.root, check=77)
    with pytest.raises(BadConfiguration):
        service.run(home, settings.load(home), "v6-x", lambda: pytest.fail("it began"))
    v6("restore", "--rollback", "--no-start", "--yes", cwd=home.root)
    assert restoration.recorded(home) is None
    states = json.loads(v6("services", "status", "-o", "json", cwd=home.root, check=0).stdout)["rows"]
    assert {one["state"] for one in states} == {"stopped"}, "not even the gateway that it reconciled with"


def test_a_record_that_cannot_be_read_stops_no_halt(v6, later) -> None:
    home, _, _, _ = later
    home.restore.mkdir()
    home.restore_record.write_text("{")
    assert "how far a restore came is unknown" in v6("halt", cwd=home.root).stderr
    assert latch.read(home).state is TradingState.HALTED
    v6("services", "start", cwd=home.root, check=78)


@pytest.mark.parametrize("state", list(TradingState))
@pytest.mark.parametrize("then", list(TradingState))
def test_the_tighter_trading_state_stands(home: Home, state: TradingState, then: TradingState) -> None:
    def be(wanted: TradingState) -> None:
        latch.resume(home, latch.read(home), TradingState.ACTIVE, "test", "ann")
        if wanted is not TradingState.ACTIVE:
            latch.tighten(home, wanted, "test", "ann")

    be(then)
    archive = back_up(home).path
    be(state)
    run(home, Wish(archive))
    assert latch.read(home).state is (TradingState.HALTED if state is TradingState.HALTED else TradingState.REDUCING)


def sell(home: Home, quantity: float = 10, *, days_ago: int = 0) -> str:
    """An open intent, minted some days ago; its orderRef."""
    with open_state(home) as state:
        order = Order("DU1234567", SPY, "SELL", quantity, 1.0)
        made = intents.claim_close(state, order, "run", 90, 7, "close", {SPY.con_id: 100.0}, intents.turn(state))
        minted = (clock.now() - timedelta(days=days_ago)).isoformat()
        state.write("UPDATE intents SET minted = ? WHERE intent = ?", (minted, made.intent))
        return made.order_ref


def found(home: Home, ref: str) -> str:
    with open_state(home) as state:
        return intents.find(state, ref).state


@pytest.mark.parametrize(("days_ago", "there"), [(7, "unknown"), (0, "open")])
def test_an_open_intent_of_another_day_comes_back_unknown_and_keeps_its_claim(home: Home, days_ago: int, there: str) -> None:
    """On a machine without state: what was open then may have filled since, and nobody can ask any more."""
    ref = sell(home, days_ago=days_ago)
    archive = back_up(home).path
    shutil.rmtree(home.state_folder)
    home.latch.mkdir(parents=True)
    run(home, Wish(archive))
    assert found(home, ref) == there
    with open_state(home) as state, pytest.raises(intents.Claimed):
        intents.claim_close(state, Order("DU1234567", SPY, "SELL", 1, 1.0), "run", 90, 9, "close", {SPY.con_id: 100.0}, intents.turn(state))


def test_what_has_ended_since_stays_ended(home: Home) -> None:
    ref = sell(home)
    archive = back_up(home).path
    with open_state(home) as state:
        intents.end(state, intents.find(state, ref).intent, "filled", 10)
    run(home, Wish(archive))
    assert found(home, ref) == "filled"


def test_what_had_ended_then_ends_and_gives_its_claim_up(home: Home) -> None:
    """The archive knows the end of an intent that a state brought back from before takes for open."""
    ref = sell(home)
    with open_state(home) as state:
        intents.end(state, intents.find(state, ref).intent, "cancelled", 0, "by hand")
    archive = back_up(home).path
    with open_state(home) as state:
        state.write("UPDATE intents SET state = 'open', ended = NULL, turn = NULL")
        state.write("UPDATE claims SET released = 0")
    run(home, Wish(archive))
    assert found(home, ref) == "cancelled"
    sell(home)


def test_the_journal_is_united_and_nothing_of_it_doubled(home: Home) -> None:
    with open_state(home) as state:
        journal.end(state, journal.begin(state, "run-then", "halt", ["halt"]), "done", 0)
    archive = back_up(home).path
    shutil.rmtree(home.state_folder)
    home.latch.mkdir(parents=True)
    with open_state(home) as state:
        journal.end(state, journal.begin(state, "run-now", "sync", ["sync"]), "done", 0)
    for _ in range(2):
        run(home, Wish(archive))
        with restoring(home) as it:
            it.discard(restore_asked.last(home, "discard"))
    with open_state(home) as state:
        assert sorted(one.run for one in journal.entries(state)) == ["run-now", "run-then"]


def test_some_tables_alone_leave_the_others_as_they_are_and_can_be_read_at_once(later) -> None:
    home, archive, then, now = later
    run(home, Wish(archive, only=("executions",)))
    after = rows(home.lake)
    assert after["executions"] == then["executions"]
    assert {name: after[name] for name in now if name not in {"executions", "sync_runs"}} == {
        name: now[name] for name in now if name not in {"executions", "sync_runs"}
    }
    assert len(reader.executions(home.lake)) == then["executions"][1]
    record = tables.pin(home.lake).record
    assert record.outcome == "restored" and "executions" in record.note
    with restoring(home) as it:
        it.roll_back(restore_asked.last(home, "rollback"))
    assert rows(home.lake) == now


def test_one_table_in_a_folder_of_several_leaves_the_others_there(later) -> None:
    home, _, _, _ = later
    foreign(home.lake / "chains" / "qqq", [1])
    archive = back_up(home).path
    foreign(home.lake / "chains" / "qqq", [2])
    foreign(home.lake / "chains" / "spy", [4])
    now = rows(home.lake)
    run(home, Wish(archive, only=("chains/spy",)))
    after = rows(home.lake)
    assert after["chains/qqq"] == now["chains/qqq"] and after["chains/spy"][1] == now["chains/spy"][1] - 1


@pytest.mark.parametrize("archive_is", ["gone", "another"])
def test_an_archive_that_is_no_longer_there_can_only_be_gone_back_from(later, archive_is: str) -> None:
    home, archive, _, now = later
    with restoring(home) as it, it.staged(Wish(archive)) as staged:
        it.begin(staged, Wish(archive))
    if archive_is == "gone":
        archive.unlink()
    else:
        shutil.copy(back_up(home).path, archive)
        archive.with_name(archive.name + ".sha256").unlink()
    with restoring(home) as it, pytest.raises(BadInput, match=r"is gone|is not the archive"):
        it.carry_out(restore_asked.last(home, "continue"))
    with restoring(home) as it:
        it.roll_back(restore_asked.last(home, "rollback"))
    assert rows(home.lake) == now and restoration.recorded(home) is None


def test_what_was_taken_out_and_torn_by_a_crash_is_taken_out_again(later) -> None:
    home, archive, then, _ = later
    with restoring(home) as it, it.staged(Wish(archive)) as staged:
        begun = it.begin(staged, Wish(archive))
    for file in (begun.folder(home) / names.LAKE).rglob("*.parquet"):
        file.write_bytes(b"")
    with restoring(home) as it:
        it.carry_out(restore_asked.last(home, "continue"))
    assert rows(home.lake) == then


def test_a_table_that_is_not_in_the_backup_is_named(later) -> None:
    home, archive, _, _ = later
    with restoring(home) as it, pytest.raises(BadInput, match="no table 'nothing'"), it.staged(Wish(archive, only=("nothing",))):
        pass
    assert list(home.restore.iterdir()) == []


def test_settings_come_back_where_that_is_asked_for_and_go_again(later) -> None:
    home, _, _, _ = later
    was = home.settings_file.read_text()
    home.settings_file.write_text(was + "\n# changed since\n")
    (home.config / "notes.toml").write_text("a = 1\n")
    archive = back_up(home).path
    (home.config / "notes.toml").unlink()
    home.settings_file.write_text(was)
    run(home, Wish(archive, config=True))
    assert (home.config / "notes.toml").read_text() == "a = 1\n"
    assert home.settings_file.read_text().endswith("# changed since\n")
    with restoring(home) as it:
        it.roll_back(restore_asked.last(home, "rollback"))
    assert home.settings_file.read_text() == was and not (home.config / "notes.toml").exists()


def test_a_backup_of_another_account_is_refused(later) -> None:
    home, archive, _, _ = later
    with restoring(home) as it:
        rooms = it._rooms
        it._rooms = msgspec.structs.replace(rooms, settings=msgspec.structs.replace(rooms.settings, account="DU7654321"))
        with pytest.raises(Refused, match="of account DU1234567"), it.staged(Wish(archive)):
            pass
    assert list(home.restore.iterdir()) == []


@pytest.mark.parametrize("layout", ["backup/data/lake", "backup_20240102_163000/data/lake", "data/lake", "./data/lake"])
def test_archives_of_the_older_layouts_are_restored_as_far_as_they_open(later, layout: str) -> None:
    home, _, _, now = later
    old = home.root / "old.tar.gz"
    with tarfile.open(old, "w:gz") as tar:
        tar.add(home.lake, layout)
    shutil.rmtree(home.lake / "executions")
    it_is = Wish(old)
    with restore_asked.looked(home, it_is, settings.load(home), events.ignore) as staged:
        assert "no manifest" in " ".join(restore_tables.plan(staged, it_is, home).notes)
        assert staged.folder is not None and not staged.folder.is_relative_to(home.root)
    run(home, it_is)
    assert rows(home.lake) == now


def hostile(member: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    def make(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(member)
        info.type, info.linkname = kind, link
        tar.addfile(info)

    return make


@pytest.mark.parametrize(
    "make",
    [
        hostile("/etc/evil"),
        hostile("data/lake/../../../evil"),
        hostile("../evil"),
        hostile("data/lake/t/_delta_log/x", tarfile.SYMTYPE, "/etc/passwd"),
        hostile("data/lake/t/_delta_log/x", tarfile.LNKTYPE, "/etc/passwd"),
        hostile("data/lake/t/fifo", tarfile.FIFOTYPE),
        hostile("data/lake/t/sparse", tarfile.GNUTYPE_SPARSE),
        hostile("data/lake/positions/_delta_log/00000000000000000000.json"),
        hostile("data/lake/Positions/x"),
        hostile("nothing/of/it"),
    ],
)
def test_a_hostile_archive_without_a_manifest_leaves_nothing(later, make: Any) -> None:
    home, _, _, now = later
    bad = home.root / "bad.tar.gz"
    with tarfile.open(bad, "w:gz") as tar:
        if make.__closure__[2].cell_contents != "nothing/of/it":
            tar.add(home.lake, "data/lake")
        make(tar)
    outside = {path for path in home.root.parent.rglob("*") if not path.is_relative_to(home.root)}
    with restoring(home) as it, pytest.raises(BadInput, match="is refused"), it.staged(Wish(bad)):
        pass
    assert list(home.restore.iterdir()) == [] and rows(home.lake) == now
    assert {path for path in home.root.parent.rglob("*") if not path.is_relative_to(home.root)} == outside


def test_a_dry_run_writes_nothing(v6, later) -> None:
    home, archive, _, _ = later
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if "logs" not in path.parts}
    done = v6("restore", archive.name, "--dry-run", cwd=home.root, check=0)
    assert "executions" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if "logs" not in path.parts} == before


def looked_at(home: Home) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if "logs" not in path.parts}


def changes(v6, home: Home, how: str) -> tuple[dict[str, str], str]:
    """What a dry run shows of each table, and its notes; it must write nothing."""
    before = looked_at(home)
    shown = json.loads(v6("restore", how, "--dry-run", "-o", "json", cwd=home.root, check=0).stdout)
    assert looked_at(home) == before
    return {row["table"]: row["change"] for row in shown["rows"]}, f"{shown['title']} {' '.join(shown['notes'])}"


def test_a_dry_run_shows_what_going_back_and_letting_go_would_do(v6, later) -> None:
    home, archive, then, now = later
    run(home, Wish(archive, config=True))
    tables, said = changes(v6, home, "--rollback")
    assert tables["executions"] == f"{now['executions'][1] - then['executions'][1]:+} rows" and set(tables) == set(now)
    assert "comes back" in said and "config/v6.toml" in said and "REDUCING" in said
    tables, said = changes(v6, home, "--discard")
    assert set(tables) == set(now) and "for good" in said and "safety backup backup_" in said
    v6("restore", "--continue", "--dry-run", cwd=home.root, check=65)
    assert rows(home.lake) == then and restoration.recorded(home) is not None


def test_a_dry_run_shows_what_going_on_would_do(v6, later, monkeypatch: pytest.MonkeyPatch) -> None:
    home, archive, then, now = later
    with restoring(home) as it, it.staged(Wish(archive)) as staged:
        begun = it.begin(staged, Wish(archive))
    shutil.rmtree(begun.folder(home))
    tables, said = changes(v6, home, "--continue")
    assert tables["executions"] == "-2 rows" and set(tables) == set(now) and "taken out once more" in said
    tables, said = changes(v6, home, "--rollback")
    assert tables == {} and "is in its place already" in said
    v6("restore", "--discard", "--dry-run", cwd=home.root, check=77)
    with monkeypatch.context() as killing:
        killing.setattr(Restore, "_follow", lambda *_: (_ for _ in ()).throw(Killed()))
        with restoring(home) as it, pytest.raises(Killed):
            it.carry_out(restore_asked.last(home, "continue"))
    assert changes(v6, home, "--continue")[0] == {}, "it has come"
    assert changes(v6, home, "--rollback")[0]["executions"] == "+2 rows"
    assert rows(home.lake) == then


def test_a_lake_behind_a_link_is_refused_before_anything_stops(later) -> None:
    home, archive, _, _ = later
    elsewhere = home.root / "elsewhere"
    home.lake.rename(elsewhere)
    home.lake.symlink_to(elsewhere)
    with restoring(home) as it:
        with pytest.raises(Refused, match="behind a link"), it.staged(Wish(archive)):
            pass
        assert it.done == []


@pytest.mark.parametrize("phase", ["begun", "exchanging", "back"])
def test_the_lakes_never_change_places_under_somebody_who_writes(later, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """Half of his commit would be in either lake."""
    home, archive, then, now = later
    monkeypatch.setattr(restore, "WAIT_FOR_WRITERS", 0.1)
    if phase == "begun":
        with restoring(home) as it, it.staged(Wish(archive)) as staged:
            it.begin(staged, Wish(archive))
    elif phase == "exchanging":
        with monkeypatch.context() as killing:
            killing.setattr(exchange, "exchange", lambda *_: (_ for _ in ()).throw(Killed()))
            killing.setattr(exchange, "check_place", lambda *_: None)
            with pytest.raises(Killed):
                run(home, Wish(archive))
    else:
        run(home, Wish(archive))
    how: restore_asked.End = "rollback" if phase == "back" else "continue"
    before = rows(home.lake)
    with tables.hold_writers(home.lake, "sync r9", 1.0), restoring(home) as it, pytest.raises(Refused, match="sync r9"):
        it.end(how, restore_asked.last(home, how))
    assert rows(home.lake) == before
    with restoring(home) as it:
        it.end(how, restore_asked.last(home, how))
    assert rows(home.lake) == (now if phase == "back" else then)


def test_a_lake_that_is_missing_or_torn_comes_back(later) -> None:
    home, archive, then, _ = later
    shutil.rmtree(home.lake)
    run(home, Wish(archive))
    assert rows(home.lake) == then
    with restoring(home) as it:
        it.discard(restore_asked.last(home, "discard"))
    for log in home.lake.glob("*/_delta_log/*.json"):
        log.write_bytes(b"\x00" * 10)
    run(home, Wish(archive))
    assert rows(home.lake) == then


def test_a_service_that_does_not_stop_leaves_the_lake_as_it_is(later) -> None:
    home, archive, _, now = later
    with restoring(home) as it:
        it._rooms.services.shutdown = lambda _report: (_ for _ in ()).throw(CannotWrite("v6-trading still runs"))  # type: ignore[method-assign]
        with it.staged(Wish(archive)) as staged:
            begun = it.begin(staged, Wish(archive))
        with pytest.raises(CannotWrite):
            it.carry_out(begun)
    assert rows(home.lake) == now and restoration.unfinished(home) is not None


def test_what_is_left_by_killed_restores_goes_with_the_next(later) -> None:
    home, archive, _, _ = later
    left = home.restore / "20240101T000000.000000" / names.LAKE
    left.mkdir(parents=True)
    run(home, Wish(archive))
    assert len([path for path in home.restore.iterdir() if path.is_dir()]) == 1


def test_two_things_at_once_are_a_usage_error() -> None:
    with pytest.raises(UsageError):
        restore_asked.instead("", go_on=True, rollback=True, discard=False)
    with pytest.raises(UsageError):
        restore_asked.instead("latest", go_on=False, rollback=True, discard=False)
    assert restore_asked.instead("latest", go_on=False, rollback=False, discard=False) is None


def test_rows_of_a_table_on_one_side_only_are_said(later) -> None:
    home, archive, _, _ = later
    shutil.rmtree(home.lake / "executions")
    with restoring(home) as it, it.staged(Wish(archive)) as staged:
        found = {one.table: one for one in staging.rows(staged, home)}
    assert (found["executions"].rows_now, found["executions"].rows_then) == (None, 5)
    assert msgspec.to_builtins(found["positions"])["rows_then"] is not None


def renumber_the_disk(home: Home, own: restoration.Restoration) -> None:
    assert own.came is not None and own.was is not None
    restoration.keep(home, own.at(own.phase, came=(own.came[0] + 1, own.came[1]), was=(own.was[0] + 1, own.was[1])))


def copy_to_another_disk(home: Home, own: restoration.Restoration) -> None:
    for lake in (home.lake, own.folder(home) / names.LAKE):
        shutil.copytree(lake, copied := lake.with_name("copied"))
        shutil.rmtree(lake)
        copied.rename(lake)


def lose_the_restored_lake(home: Home, own: restoration.Restoration) -> None:
    shutil.rmtree(home.lake)


@pytest.mark.parametrize("happens", [renumber_the_disk, copy_to_another_disk, lose_the_restored_lake])
def test_the_earlier_lake_comes_back_whatever_became_of_the_numbers_of_disk_and_folders(later, happens: Any) -> None:
    home, archive, _, now = later
    run(home, Wish(archive))
    happens(home, restore_asked.last(home, "rollback"))
    with restoring(home) as it:
        it.roll_back(restore_asked.last(home, "rollback"))
    assert rows(home.lake) == now


def is_killed_at_the_exchange(home: Home, archive: Path, monkeypatch: pytest.MonkeyPatch, killed: Callable[[Path, Path], None]) -> None:
    with monkeypatch.context() as killing:
        killing.setattr(exchange, "check_place", lambda *_: None)
        killing.setattr(exchange, "exchange", killed)
        with pytest.raises(Killed):
            run(home, Wish(archive))


def test_lakes_are_not_exchanged_twice_where_the_disk_has_another_number_since(later, monkeypatch: pytest.MonkeyPatch) -> None:
    home, archive, then, _ = later
    really_exchange = exchange.exchange

    def killed(one: Path, other: Path) -> None:
        really_exchange(one, other)
        raise Killed

    is_killed_at_the_exchange(home, archive, monkeypatch, killed)
    renumber_the_disk(home, restore_asked.last(home, "continue"))
    with restoring(home) as it:
        it.carry_out(restore_asked.last(home, "continue"))
    assert rows(home.lake) == then


def test_which_lake_is_which_is_never_guessed(later, monkeypatch: pytest.MonkeyPatch) -> None:
    home, archive, _, now = later

    def killed(_one: Path, _other: Path) -> None:
        raise Killed

    is_killed_at_the_exchange(home, archive, monkeypatch, killed)
    copy_to_another_disk(home, own := restore_asked.last(home, "rollback"))
    with restoring(home) as it, pytest.raises(BadConfiguration, match="cannot be told"):
        it.roll_back(own)
    assert rows(home.lake) == now and restoration.recorded(home) is not None and (own.folder(home) / names.LAKE).is_dir()


def packed_anew(home: Home) -> bytes:
    """The home's lake as a script packs it, the last commits of its tables at the end."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(home.lake.rglob("*"), key=lambda path: (path.name == "00000000000000000007.json", path)):
            if path.is_file():
                tar.add(path, f"data/lake/{path.relative_to(home.lake)}")
    return packed.getvalue()


def cut_before_the_last_commit(plain: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return plain[: tar.getmembers()[-1].offset]


def with_another_byte(plain: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        data = next(one for one in tar if one.name.endswith(".parquet"))
    return plain[: data.offset_data + 20] + b"?" + plain[data.offset_data + 21 :]


@pytest.mark.parametrize(
    ("damage", "compress"),
    [
        (cut_before_the_last_commit, lambda cut, whole: cut),
        (cut_before_the_last_commit, lambda cut, whole: gzip.compress(cut)),  # tar was killed, gzip was not
        (lambda plain: plain, lambda same, whole: gzip.compress(same)[:-4]),
        (with_another_byte, lambda other, whole: gzip.compress(other)[:-8] + gzip.compress(whole)[-8:]),
        (lambda plain: plain, lambda same, whole: lzma.compress(same)[:-4]),
    ],
)
def test_an_archive_of_an_older_layout_that_is_cut_off_or_damaged_is_refused(later, damage: Any, compress: Any) -> None:
    """Its tables open all the same: what is gone is the last commit, what has changed a value."""
    home, _, _, now = later
    plain = packed_anew(home)
    old = home.root / "old.tar.gz"
    old.write_bytes(compress(damage(plain), plain))
    with restoring(home) as it, pytest.raises(BadInput, match="is refused: it is damaged"), it.staged(Wish(old)):
        pass
    assert list(home.restore.iterdir()) == [] and rows(home.lake) == now


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_an_archive_of_an_older_layout_is_read_however_it_was_compressed(later, compress: Any) -> None:
    home, _, _, now = later
    old = home.root / "old.tar.gz"
    old.write_bytes(compress(packed_anew(home)))
    with restoring(home) as it, it.staged(Wish(old)) as staged:
        assert {table.name: (table.version, table.rows) for table in staged.tables} == now


def test_some_tables_alone_of_an_archive_of_an_older_layout_leave_the_others_as_they_are(later, tmp_path: Path) -> None:
    home, archive, then, now = later
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    old = home.root / "old.tar.gz"
    with tarfile.open(old, "w:gz") as tar:
        tar.add(tmp_path / "backup" / "data", "data")
    with restoring(home) as it, pytest.raises(BadInput, match="no table 'nothing'"), it.staged(Wish(old, only=("nothing",))):
        pass
    run(home, Wish(old, only=("executions",)))
    after = rows(home.lake)
    assert after["executions"] == then["executions"]
    assert {name: after[name] for name in now if name not in {"executions", "sync_runs"}} == {
        name: now[name] for name in now if name not in {"executions", "sync_runs"}
    }


def lose_a_table(home: Home) -> None:
    shutil.rmtree(home.lake / "greeks_history")


def empty_the_log_of_syncs(home: Home) -> None:
    for commit in (home.lake / "sync_runs" / "_delta_log").glob("*.json"):
        commit.write_bytes(b"")


def lose_the_lake(home: Home) -> None:
    shutil.rmtree(home.lake)


@pytest.mark.parametrize("damage", [lose_a_table, empty_the_log_of_syncs, lose_the_lake])
def test_some_tables_alone_are_refused_before_anything_stops_where_the_others_cannot_stay(later, damage: Any) -> None:
    """Else nothing but a rollback would end it: no sync can name the versions of tables that cannot be read."""
    home, archive, _, _ = later
    damage(home)
    wish = Wish(archive, only=("executions",))
    with restoring(home) as it, pytest.raises(Refused, match="cannot be read either"), it.staged(wish):
        pass
    with pytest.raises(Refused, match="cannot be read either"), restore_asked.looked(home, wish, settings.load(home), events.ignore):
        pass
    assert list(home.restore.iterdir()) == [] and latch.read(home).state is TradingState.ACTIVE
    run(home, Wish(archive))
    assert rows(home.lake)["executions"] == (5, 5)


def no_folder_to_list(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.lake / "other").mkdir()
    really_scan = os.scandir

    def scan(path: Any = ".") -> Any:
        if str(path) == str(home.lake / "other"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return really_scan(path)

    monkeypatch.setattr(os, "scandir", scan)


@pytest.mark.parametrize("breaks", [no_folder_to_list, no_file_to_read])
def test_a_lake_on_a_disk_that_fails_is_replaced_and_kept_although_it_cannot_be_saved(
    later, monkeypatch: pytest.MonkeyPatch, breaks: Any
) -> None:
    home, archive, then, _ = later
    with monkeypatch.context() as failing:
        breaks(home, failing)
        it = run(home, Wish(archive))
    said = next(one for one in it.done if one.step == "safety backup")
    assert said.status == "degraded"
    assert rows(home.lake) == then
    kept = restoration.recorded(home)
    assert kept is not None and kept.phase == "done" and any((kept.folder(home) / names.LAKE).iterdir())


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
@pytest.mark.parametrize(("size", "times", "why"), [(256 << 20, 1, "a header of 268,435,456 bytes"), (512, 2000, "recursion")])
def test_headers_without_end_of_an_older_layout_are_not_read_into_memory(
    later, tmp_path: Path, kind: bytes, size: int, times: int, why: str
) -> None:
    home, _, _, _ = later
    header = tarfile.TarInfo("h")
    header.type, header.size = kind, size
    endless = tmp_path / "backup_20260102_163000.tar.gz"
    with gzip.open(endless, "wb", 1) as file:
        for _ in range(times):
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
            file.writelines(bytes(min(size, 1 << 20)) for _ in range(0, size, 1 << 20))
    tracemalloc.start()
    try:
        with restoring(home) as it, pytest.raises(BadInput, match=why) as refused, it.staged(Wish(endless)):
            pass
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in refused.value.message and endless.name in refused.value.message


@pytest.mark.parametrize("left", ["chains/spy", ""])
def test_what_is_left_of_a_lake_is_saved_be_it_in_a_folder_of_it(later, left: str) -> None:
    home, archive, then, _ = later
    for name in {name.partition("/")[0] for name in then} - {left.partition("/")[0]}:
        shutil.rmtree(home.lake / name)
    it = run(home, Wish(archive))
    kept = restoration.recorded(home)
    assert kept is not None and rows(home.lake) == then
    if left:
        assert [table.name for table in staging.look(Path(kept.safety), events.ignore).tables] == [left]
    else:
        assert next(one.text for one in it.done if one.step == "safety backup") == "there is no lake to save"


@pytest.mark.parametrize("phase", ["exchanging", "exchanged", "united"])
def test_gone_on_with_it_reduces_again_where_somebody_resumed_meanwhile(later, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    home, archive, then, _ = later
    really_keep = restoration.keep

    def killed(home: Home, own: restoration.Restoration) -> restoration.Restoration:
        really_keep(home, own)
        if own.phase == phase:
            raise Killed
        return own

    with monkeypatch.context() as killing:
        killing.setattr(restoration, "keep", killed)
        with pytest.raises(Killed):
            run(home, Wish(archive))
    latch.resume(home, latch.read(home), TradingState.ACTIVE, "fine", "ann")
    with restoring(home) as it:
        it.carry_out(restore_asked.last(home, "continue"))
    assert rows(home.lake) == then and latch.read(home).state is TradingState.REDUCING
