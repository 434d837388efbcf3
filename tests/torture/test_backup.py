"""Backups while two writers commit, compact and vacuum: each verifies, and each table is its pinned version, whole.

What a lake holds follows from the number of its last sync: so many syncs, pictures of twenty positions, executions. A third program
writes to a table of its own without any lock. Every vacuum keeps nothing, every log is cut at each checkpoint.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from v6cli import events, settings
from v6cli.backup import create, extract, verify
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import reader, scan, tables
from v6cli.lake.proof import open_and_count
from v6cli.lake.schemas import TABLES
from v6cli.state.database import open_state

from ..backup.conftest import foreign

WRITE = """
import pathlib, sys
from datetime import UTC, datetime, timedelta
from v6cli.lake import handles, tables
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.schemas import TABLES
from v6cli.lake.writer import Batch, Writer
from v6cli.models import Account, Contract, Fill, Position

lake, who = pathlib.Path(sys.argv[1]), int(sys.argv[2])
handles.CHECKPOINT_EVERY = 5
start = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
writer = Writer(lake, wait=60.0)

def commit(number):
    at = start + timedelta(seconds=number)
    held = [Position("DU1", Contract(con_id, "SPY", "STK"), float(number), 1.0) for con_id in range(20)]
    fill = Fill(f"e{number}", "DU1", Contract(number, "SPY", "STK"), "BOT", 1.0, 2.5, at, 7, 70, 1)
    writer.commit(Batch(SyncRunRecord(f"r{number}", at, "done", "DU1", at=at), held, (), Account("DU1", "USD", at, float(number)), (fill,)))

number = who * 100_000
while True:
    for _ in range(4):
        commit(number := number + 1)
    with tables.hold_writers(lake, "upkeep", 60.0):
        for name in TABLES:
            tables.open_table(lake, name).optimize.compact()
    writer.look_again()
    commit(number := number + 1)
    with tables.hold_writers(lake, "upkeep", 60.0):
        named = tables.pin(lake)
        for name in TABLES:
            table = tables.open_table(lake, name)
            if name not in named.versions or named.versions[name] == table.version():
                table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    writer.look_again()
    print(number, flush=True)
"""

ELSEWHERE = """
import itertools, pathlib, sys
from arro3.core import Array, DataType, Table
from deltalake import DeltaTable, write_deltalake

folder = sys.argv[1]
for number in itertools.count(4):
    kinds = Array([("call %", "put/é")[number % 2]], DataType.utf8())
    write_deltalake(folder, Table.from_arrays([Array([number], DataType.int64()), kinds], names=["x", "kind"]), mode="append", partition_by=["kind"])
    if number % 5 == 0:
        table = DeltaTable(folder)
        table.optimize.compact()
        table.create_checkpoint()
        table.cleanup_metadata()
        table.vacuum(0, dry_run=False, enforce_retention_duration=False)
"""


@pytest.fixture
def home(lake: Path) -> Home:
    """A home in memory around a lake whose logs keep nothing."""
    made = new_home.make(lake.parent / "h", "demo", port=4002)
    if made.lake.exists():
        made.lake.rmdir()
    lake.rename(made.lake)
    for name in TABLES:
        tables.open_table(made.lake, name).alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    foreign(made.lake / "chains" / "spy", [1, 2, 3])
    tables.open_table(made.lake, "chains/spy").alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    open_state(made).close()
    return made


@pytest.mark.timeout(1800)
def test_backups_of_a_lake_that_is_written_compacted_and_vacuumed(home: Home, folder: Path, request: pytest.FixtureRequest) -> None:
    wanted = 50 if request.config.getoption("long") else 5
    programs = [(WRITE, str(home.lake), "1"), (WRITE, str(home.lake), "2"), (ELSEWHERE, str(home.lake / "chains" / "spy"))]
    children = [subprocess.Popen([sys.executable, "-c", *argv], stdout=subprocess.PIPE, text=True) for argv in programs]
    numbers = []
    try:
        for child in children[:2]:
            assert child.stdout.readline(), "the writers write"
        for turn in range(wanted):
            with open_state(home) as state:
                backup = create.create(home, settings.load(home), state, events.ignore)
            assert backup.manifest.lost == []
            numbers.append(check(backup, folder / str(turn)))
            backup.path.unlink()
            time.sleep(0.05)
        assert [child.poll() for child in children] == [None] * 3, "they wrote to the end"
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()
    assert numbers == sorted(numbers) and len(set(numbers)) > wanted // 2, "each is of its own moment"


def check(backup: create.Backup, scratch: Path) -> int:
    """The backup verifies, and each table is what its number says; that number."""
    found = verify.verify(backup.path, scratch.parent, events.ignore)
    assert found.code == 0, found.findings
    extract.extract(backup.path, scratch, events.ignore)
    lake = Home(scratch).lake
    runs = reader.sync_runs(lake, 1_000_000)
    last = runs[0]
    assert backup.manifest.sync is not None and backup.manifest.sync.run == last.run
    for table in backup.manifest.tables:
        assert open_and_count(lake, table.name).version == table.version
        if table.name in last.versions:
            assert table.version == last.versions[table.name]
    assert [one.number for one in runs] == list(range(last.number, 0, -1))
    assert {position.quantity for position in reader.positions(lake)} == {float(last.run[1:])}
    history = scan.select(tables.open_table(lake, "position_history"), "position_history", columns=("run", "quantity"))
    assert Counter((row["run"], row["quantity"]) for row in history) == {(one.run, float(one.run[1:])): 20 for one in runs}
    accounts = scan.select(tables.open_table(lake, "account_history"), "account_history", columns=("run",))
    assert Counter(row["run"] for row in accounts) == {one.run: 1 for one in runs}
    assert {fill.exec_id for fill in reader.executions(lake)} == {f"e{one.run[1:]}" for one in runs}
    elsewhere = sorted(values("chains/spy", lake))
    assert elsewhere == list(range(1, len(elsewhere) + 1))
    return last.number


def values(name: str, lake: Path) -> list[int]:
    from deltalake import QueryBuilder

    found = QueryBuilder().register("t", tables.open_table(lake, name)).execute("select x from t").read_all()
    return found.column("x").to_pylist()
