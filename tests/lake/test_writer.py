"""Each table is old or new, never half, and the last sync names what belongs together."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from v6cli import clock
from v6cli.errors import CannotWrite, Refused
from v6cli.lake import durability, handles, reader, scan, tables, writer
from v6cli.lake.errors import LakeUnreadable
from v6cli.lake.rows import Row, SyncRunRecord
from v6cli.lake.schemas import SYNC_RUNS, TABLES
from v6cli.lake.writer import Batch, Writer

from .conftest import START, MakeBatch, call, fill
from .writing import Picture, picture, start

ORDER = ["positions", "position_history", "greeks_history", "account_history", "executions", "sync_runs"]


def expected(batch: Batch, executions: Sequence[str]) -> Picture:
    greeks = {found.con_id: found for found in batch.greeks}
    return batch.record.run, list(batch.positions), greeks, batch.account, list(executions)


def count(lake: Path, name: str) -> int:
    """Rows of a table at its latest version, named or not."""
    return len(scan.select(tables.open_table(lake, name), name))


class Stopped(BaseException):
    """The process ends here."""


def stop_after(monkeypatch: pytest.MonkeyPatch, name: str, *, before: bool = False) -> None:
    real = handles.write

    def write(table: object, written: str, rows: Sequence[Row]) -> None:
        if before and written == name:
            raise Stopped(name)
        real(table, written, rows)  # type: ignore[arg-type]
        if written == name:
            raise Stopped(name)

    monkeypatch.setattr(handles, "write", write)


def test_a_commit_is_what_readers_see(lake: Path, batch: MakeBatch) -> None:
    first = batch(3, executions=(fill(1), fill(2)))
    written = writer.commit(lake, first)
    assert written == dict.fromkeys(ORDER, 1)
    assert picture(lake) == expected(first, ["e1", "e2"])
    record = reader.last_run(lake)
    assert record is not None
    assert record.versions == {name: 1 for name in ORDER if name != SYNC_RUNS}
    assert (record.number, record.positions, record.greeks_known, record.greeks_unknown, record.executions) == (1, 3, 3, 0, 2)
    assert record.ended is not None


def test_a_book_that_went_flat_is_flat(lake: Path, batch: MakeBatch) -> None:
    held = Writer(lake)
    held.commit(batch(3))
    held.commit(batch(4, size=0))
    assert reader.positions(lake) == []
    assert reader.greeks(lake) == {}
    assert reader.positions(lake, START + timedelta(minutes=3)) == batch(3).positions
    assert reader.positions(lake, START + timedelta(minutes=4)) == []


def test_a_sync_without_a_picture_leaves_the_one_before(lake: Path, batch: MakeBatch) -> None:
    first = batch(3)
    writer.commit(lake, first)
    failed = SyncRunRecord("failed", START + timedelta(hours=1), "failed", "DU1", note="no gateway")
    assert writer.commit(lake, Batch(failed)) == {"sync_runs": 2}
    assert picture(lake) == ("failed", *expected(first, [])[1:])
    record = reader.last_run(lake)
    assert record is not None
    assert (record.positions, record.greeks_known, record.at) == (None, None, None)


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "cold"])
@pytest.mark.parametrize("name", ORDER)
def test_a_commit_that_stops_leaves_the_sync_before_and_the_next_repairs(
    lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, name: str, held: bool, before: bool
) -> None:
    keeper = Writer(lake)
    first, second, third = (
        batch(1, executions=(fill(1),)),
        batch(2, executions=(fill(1), fill(2))),
        batch(3, executions=(fill(1), fill(2), fill(3))),
    )
    keeper.commit(first)
    with monkeypatch.context() as patch:
        stop_after(patch, name, before=before)
        with pytest.raises(Stopped):
            keeper.commit(second)
    named = name == SYNC_RUNS and not before
    assert picture(lake) == (expected(second, ["e1", "e2"]) if named else expected(first, ["e1"]))
    (keeper if held else Writer(lake)).commit(third)
    assert picture(lake) == expected(third, ["e1", "e2", "e3"])
    assert count(lake, "executions") == 3
    assert reader.positions(lake, START + timedelta(minutes=1)) == first.positions
    assert reader.positions(lake, START + timedelta(minutes=2)) == (second if named else first).positions


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", ORDER)
def test_a_run_that_is_committed_again_counts_once(
    lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, name: str, before: bool
) -> None:
    keeper = Writer(lake)
    keeper.commit(batch(1))
    second = batch(2, executions=(fill(1),))
    with monkeypatch.context() as patch:
        stop_after(patch, name, before=before)
        with pytest.raises(Stopped):
            keeper.commit(second)
    keeper.commit(second)
    assert picture(lake) == expected(second, ["e1"])
    assert reader.positions(lake, START + timedelta(minutes=2)) == second.positions
    assert [count(lake, table) for table in ("position_history", "greeks_history", "account_history")] == [3, 3, 2]


def test_executions_are_written_once_and_completed_once(lake: Path, batch: MakeBatch) -> None:
    keeper = Writer(lake)
    keeper.commit(batch(1, executions=(fill(1), fill(1), fill(2))))
    assert count(lake, "executions") == 2
    keeper.commit(batch(2, executions=(fill(1), fill(2, commission=0.65))))
    assert count(lake, "executions") == 3
    for again in (keeper, Writer(lake)):
        written = again.commit(batch(3, executions=(fill(1), fill(2), fill(2, commission=0.65))))
        assert "executions" not in written
    assert count(lake, "executions") == 3
    assert [(found.exec_id, found.commission) for found in reader.executions(lake)] == [("e1", None), ("e2", 0.65)]


def test_executions_of_one_batch_keep_the_commission_that_came(lake: Path, batch: MakeBatch) -> None:
    writer.commit(lake, batch(1, executions=(fill(1, commission=0.65), fill(1))))
    assert [found.commission for found in reader.executions(lake)] == [0.65]


def test_executions_since(lake: Path, batch: MakeBatch) -> None:
    late = START.replace(hour=4, minute=59) + timedelta(days=1)  # 23:59 in New York, the same day
    writer.commit(lake, batch(1, executions=(fill(1), fill(2, at=late), fill(3, at=late + timedelta(minutes=1)))))
    assert [found.exec_id for found in reader.executions(lake, START + timedelta(seconds=1))] == ["e2", "e3"]
    assert [found.exec_id for found in reader.executions(lake, late + timedelta(minutes=1))] == ["e3"]
    days = scan.select(tables.open_table(lake, "executions"), "executions", columns=("date",), order="date")
    assert [row["date"].isoformat() for row in days] == ["2026-11-24", "2026-11-24", "2026-11-25"]


def test_a_clock_that_is_set_back_does_not_hide_the_last_sync(lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.commit(lake, batch(5))
    monkeypatch.setattr(clock, "now", lambda: START - timedelta(days=1))
    writer.commit(lake, batch(2))
    assert picture(lake) == expected(batch(2), [])


def test_history_outlives_checkpoints_and_expired_logs(lake: Path, batch: MakeBatch) -> None:
    keeper = Writer(lake)
    for number in range(1, 46):
        keeper.commit(batch(number, size=2, executions=(fill(number),)))
    for name in TABLES:
        assert durability.last_checkpoint(lake / name) == 40
    old = time.time() - 86_400
    for path in (lake / "positions" / durability.LOG).iterdir():
        os.utime(path, (old, old))
    for number in range(46, 61):
        keeper.commit(batch(number, size=2, executions=(fill(number),)))
    assert len(list((lake / "positions" / durability.LOG).glob("*.json"))) < 25
    assert picture(lake) == expected(batch(60, size=2), sorted(f"e{number}" for number in range(1, 61)))
    assert reader.positions(lake, START + timedelta(minutes=7)) == batch(7, size=2).positions
    assert reader.readable(lake) == []
    assert len(reader.sync_runs(lake, 5)) == 5
    assert [record.number for record in reader.sync_runs(lake, 3)] == [60, 59, 58]


def test_a_checkpoint_that_fails_does_not_fail_the_commit(
    lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(table: Path, version: int) -> None:
        raise OSError(28, "No space left on device")

    keeper = Writer(lake)
    with monkeypatch.context() as patch:
        patch.setattr(durability, "sync_checkpoint", refuse)
        with caplog.at_level(logging.WARNING):
            for number in range(1, 22):
                keeper.commit(batch(number, size=1))
    assert "no checkpoint of the lake's table positions: [Errno 28]" in caplog.text
    assert picture(lake) == expected(batch(21, size=1), [])


def test_everything_written_is_private(lake: Path, batch: MakeBatch) -> None:
    old = os.umask(0o022)
    try:
        keeper = Writer(lake)
        for number in range(1, 22):
            keeper.commit(batch(number, size=1, executions=(fill(number),)))
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(old)
    found = list(lake.rglob("*"))
    assert {oct(path.stat().st_mode & 0o777) for path in found if path.is_file()} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in [lake, *found] if path.is_dir()} == {"0o700"}
    assert any("checkpoint" in path.name for path in found)


def test_durable_before_it_is_named(lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of the other tables is synced before sync_runs is written, and sync_runs' own before commit returns."""
    synced: set[tuple[int, int]] = set()
    real_fsync, real_write = os.fsync, handles.write

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.add((found.st_dev, found.st_ino))
        real_fsync(descriptor)

    def unsynced(*, but: str = "") -> list[str]:
        places = [place for name in TABLES if name != but for place in [lake / name, *(lake / name).rglob("*")]]
        return [str(place) for place in places if (place.stat().st_dev, place.stat().st_ino) not in synced]

    def write(table: object, name: str, rows: Sequence[Row]) -> None:
        if name == SYNC_RUNS:
            assert unsynced(but=SYNC_RUNS) == []
        real_write(table, name, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    for name in TABLES:
        durability.sync_commit(lake / name, 0)
    monkeypatch.setattr(handles, "write", write)
    writer.commit(lake, batch(2, executions=(fill(1),)))
    assert unsynced() == []


TORN = {
    "the log file is empty": lambda log, data: log.write_bytes(b""),
    "the log file is garbage": lambda log, data: log.write_bytes(b"\0" * 300),
    "the log file ends early": lambda log, data: log.write_bytes(log.read_bytes()[:-40]),
    "the data is missing": lambda log, data: data.unlink(),
    "the data is empty": lambda log, data: data.write_bytes(b""),
    "the data is zeros": lambda log, data: data.write_bytes(b"\0" * data.stat().st_size),
}


@pytest.mark.parametrize("how", TORN)
@pytest.mark.parametrize("name", ["positions", "position_history", "sync_runs"])
def test_what_a_loss_of_power_tore_is_taken_back(
    lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    writer.commit(lake, batch(1))
    before = set((lake / name).rglob("*.parquet"))
    with monkeypatch.context() as patch:
        stop_after(patch, name)
        with pytest.raises(Stopped):
            writer.commit(lake, batch(2))
    (data,) = set((lake / name).rglob("*.parquet")) - before
    TORN[how](durability.commit_file(lake / name, 2), data)
    if name != SYNC_RUNS:
        assert picture(lake) == expected(batch(1), [])
    third = batch(3)
    writer.commit(lake, third)
    assert picture(lake) == expected(third, [])
    assert reader.positions(lake, START + timedelta(minutes=2)) == batch(1).positions
    assert reader.readable(lake) == []


def test_two_processes_lose_nothing(lake: Path) -> None:
    children = [start(lake, who, 12) for who in (1, 2)]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0, 0]
    runs = reader.sync_runs(lake, 100)
    assert sorted(record.run for record in runs) == sorted(f"r{who}{turn:03}" for who in (1, 2) for turn in range(12))
    assert [record.number for record in runs] == list(range(24, 0, -1))
    assert sorted(found.exec_id for found in reader.executions(lake)) == sorted(
        [*(f"e{who}{turn:03}" for who in (1, 2) for turn in range(12)), "e7"]
    )
    assert count(lake, "executions") == 25
    assert count(lake, "position_history") == 24 * 20


def test_a_snapshot_shows_one_sync_while_others_are_written(lake: Path) -> None:
    with start(lake, 1, 25) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen = set()
        while child.poll() is None:
            snapshot = tables.pin(lake)
            held, account = reader.positions(snapshot), reader.account(snapshot)
            number = int(snapshot.record.run[1:])
            assert account is not None
            assert {position.quantity for position in held} == {account.net_liquidation} == {float(number)}
            assert len(reader.executions(snapshot)) == number - 1000 + 2
            assert len(held) == 20
            seen.add(snapshot.record.run)
    assert child.returncode == 0
    assert len(seen) > 3


def test_a_writer_that_does_not_end_is_named(lake: Path, batch: MakeBatch) -> None:
    with tables.hold_writers(lake, "sync r7", 0.0), pytest.raises(Refused, match=rf"written by sync r7 \(pid {os.getpid()}\)"):
        Writer(lake, wait=0.05).commit(batch(1))


def test_a_lake_exchanged_under_a_writer_is_seen(lake: Path, batch: MakeBatch) -> None:
    keeper, other = Writer(lake), lake.with_name("other")
    tables.create(other)
    keeper.commit(batch(1, executions=(fill(9),)))
    writer.commit(other, batch(2, executions=(fill(1),)))
    lake.rename(lake.with_name("old"))
    other.rename(lake)
    keeper.commit(batch(3, executions=(fill(1), fill(2))))
    assert [record.run for record in reader.sync_runs(lake)] == ["r3", "r2"]
    assert picture(lake) == expected(batch(3), ["e1", "e2"])
    assert count(lake, "executions") == 2


def test_no_lake_is_not_made_by_a_commit(tmp_path: Path, batch: MakeBatch) -> None:
    with pytest.raises(LakeUnreadable, match="no lake in"):
        writer.commit(tmp_path / "lake", batch(1))
    assert not (tmp_path / "lake").exists()


@pytest.mark.machine
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_said_and_the_sync_before_stays(lake: Path, batch: MakeBatch) -> None:
    place = lake.with_name("disk")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)], check=True)
    try:
        small = place / "lake"
        tables.create(small)
        keeper, number = Writer(small), 0
        with pytest.raises(CannotWrite, match=r"cannot write the lake's table .*(No space|os error 28)") as caught:
            for number in range(1, 500):
                keeper.commit(batch(number, size=50, executions=(fill(number),)))
        assert caught.value.exit_code == 74
        assert number > 1
        assert reader.positions(small) == batch(number - 1, size=50).positions
        assert reader.readable(small) == []
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        keeper.commit(batch(number, size=50, executions=(fill(number),)))
        assert reader.positions(small, START + timedelta(minutes=number)) == batch(number, size=50).positions
        assert len(reader.executions(small)) == number
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_contract_without_known_greeks_is_counted_unknown(lake: Path, batch: MakeBatch) -> None:
    made = batch(3)
    writer.commit(lake, Batch(made.record, made.positions, made.greeks[:1], made.account))
    record = reader.last_run(lake)
    assert record is not None
    assert (record.greeks_known, record.greeks_unknown) == (1, 2)
    assert call(0).is_option


def test_a_writer_that_was_idle_while_the_log_was_cut_looks_again(lake: Path, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commits that would show it that others wrote are gone; the checkpoint that let them go is there."""
    monkeypatch.setattr(handles, "CHECKPOINT_EVERY", 4)
    for name in TABLES:
        tables.open_table(lake, name).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    idle, busy = Writer(lake), Writer(lake)
    idle.commit(batch(1))
    for number in range(2, 12):
        busy.commit(batch(number))
    assert not durability.commit_file(lake / "positions", 3).exists(), "the log was cut"
    idle.commit(batch(12))
    assert [record.number for record in reader.sync_runs(lake)] == list(range(12, 0, -1))
    assert {position.quantity for position in reader.positions(lake)} == {12.0}
