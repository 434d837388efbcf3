from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from v6cli.errors import BadInput
from v6cli.lake import durability, reader, tables, writer
from v6cli.lake.errors import LakeEmpty, LakeUnreadable
from v6cli.lake.schemas import SYNC_RUNS, TABLES
from v6cli.models import Account, Contract, Fill

from .conftest import START, MakeBatch


def test_tables_have_their_schema_up_front(lake: Path) -> None:
    for name, schema in TABLES.items():
        table = tables.open_table(lake, name)
        assert [field.name for field in table.schema().fields] == [column.name for column in schema.columns]
        assert [field.nullable for field in table.schema().fields] == [not column.required for column in schema.columns]
        assert table.metadata().partition_columns == schema.partitions
        assert table.metadata().configuration["delta.checkpointInterval"] == "20"
        assert set(schema.statistics) <= {column.name for column in schema.columns}


def test_every_field_of_the_models_has_a_column() -> None:
    contract = set(Contract.__struct_fields__)
    assert set(Account.__struct_fields__) <= {column.name for column in TABLES["account_history"].columns}
    assert (set(Fill.__struct_fields__) - {"contract"}) | contract <= {column.name for column in TABLES["executions"].columns}


def test_columns_say_what_they_are() -> None:
    for schema in TABLES.values():
        names = [column.name for column in schema.columns]
        assert len(names) == len(set(names))
        assert all(column.meaning for column in schema.columns)
        assert all(column.unit for column in schema.columns if column.type == "real")


def test_creating_again_changes_nothing(lake: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*")}
    assert tables.create(lake) == []
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*")} == before


def test_processes_that_create_at_once_make_one_lake(tmp_path: Path) -> None:
    code = "import sys, pathlib\nfrom v6cli.lake import tables\nprint(len(tables.create(pathlib.Path(sys.argv[1]))))"
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lake")], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    made = sorted(int(child.communicate()[0]) for child in children)
    assert made == [0, 0, len(TABLES)]
    assert reader.readable(tmp_path / "lake") == []


def test_a_lake_without_a_sync_says_so(lake: Path) -> None:
    assert reader.last_run(lake) is None
    assert reader.sync_runs(lake) == []
    assert reader.readable(lake) == []
    for read in (tables.pin, reader.positions, reader.greeks, reader.account, reader.executions):
        with pytest.raises(LakeEmpty, match="records no sync yet") as caught:
            read(lake)
        assert (caught.value.exit_code, caught.value.next_step) == (69, "v6 sync --force")


def test_no_lake_names_the_table_and_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(LakeUnreadable, match="no table sync_runs") as caught:
        reader.positions(tmp_path / "lake")
    assert (caught.value.exit_code, caught.value.next_step) == (69, "v6 sync --force")
    assert len(reader.readable(tmp_path / "lake")) == 1
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("name", list(TABLES))
def test_a_corrupt_table_is_named(lake: Path, batch: MakeBatch, name: str) -> None:
    writer.commit(lake, batch(2))
    durability.commit_file(lake / name, 0).write_bytes(b"gar{bage")
    (problem,) = reader.readable(lake)
    assert problem.startswith(f"the lake's table {name} cannot be read")
    assert "\n" not in problem
    with pytest.raises(LakeUnreadable, match=f"table {name} "):
        tables.open_table(lake, name)
    with pytest.raises(LakeUnreadable, match=f"table {name} "):
        writer.commit(lake, batch(3))


@pytest.mark.parametrize("name", list(TABLES))
def test_a_broken_table_is_set_aside_and_made_anew(lake: Path, batch: MakeBatch, name: str) -> None:
    writer.commit(lake, batch(2))
    assert tables.rebuild(lake) == []
    durability.commit_file(lake / name, 0).write_bytes(b"gar{bage")
    assert tables.rebuild(lake) == [lake / ".broken" / f"{name}-1"]
    assert durability.commit_file(lake / ".broken" / f"{name}-1", 0).read_bytes() == b"gar{bage"
    third = batch(3)
    writer.commit(lake, third)
    assert reader.readable(lake) == []
    assert reader.positions(lake) == third.positions
    assert reader.account(lake) == third.account
    assert list(reader.greeks(lake).values()) == third.greeks
    assert reader.positions(lake, third.record.at) == third.positions


def rotten_data(folder: Path) -> None:
    for path in folder.rglob("*.parquet"):
        if path.parent.name != durability.LOG:
            path.write_bytes(b"x")


def emptied_commits(folder: Path) -> None:
    for path in sorted((folder / durability.LOG).glob("*.json"))[-4:]:
        path.write_bytes(b"")


@pytest.mark.parametrize("damage", [rotten_data, emptied_commits])
@pytest.mark.parametrize("syncs", [6, 24])
def test_damage_that_no_crash_could_do_to_the_record_of_syncs_is_set_aside_and_not_taken_for_torn(
    lake: Path, batch: MakeBatch, damage: Callable[[Path], None], syncs: int
) -> None:
    """Before and after a checkpoint."""
    for number in range(1, syncs + 1):
        writer.commit(lake, batch(number))
    histories = {name: tables.open_table(lake, name).version() for name in TABLES if name != SYNC_RUNS}
    damage(lake / SYNC_RUNS)
    before = {path: path.read_bytes() for path in (lake / SYNC_RUNS).rglob("*") if path.is_file()}
    with pytest.raises(LakeUnreadable, match="table sync_runs "):
        writer.commit(lake, batch(syncs + 1))
    assert {path: path.read_bytes() for path in (lake / SYNC_RUNS).rglob("*") if path.is_file()} == before, "nothing is lost"
    assert tables.rebuild(lake) == [lake / ".broken" / "sync_runs-1"]
    kept = {
        path.relative_to(lake / ".broken" / "sync_runs-1"): path.read_bytes() for path in (lake / ".broken").rglob("*") if path.is_file()
    }
    assert kept == {path.relative_to(lake / SYNC_RUNS): content for path, content in before.items()}
    later = batch(syncs + 1)
    writer.commit(lake, later)
    assert reader.readable(lake) == [] and reader.positions(lake) == later.positions
    assert all(tables.open_table(lake, name).version() > version for name, version in histories.items() if name == "position_history")


def test_a_missing_data_file_is_named_not_a_traceback(lake: Path, batch: MakeBatch) -> None:
    writer.commit(lake, batch(2))
    for path in (lake / "positions").glob("*.parquet"):
        path.unlink()
    with pytest.raises(LakeUnreadable, match="table positions cannot be read"):
        reader.positions(lake)
    assert reader.account(lake) is not None


def test_a_moment_before_the_first_sync_is_bad_input(lake: Path, batch: MakeBatch) -> None:
    writer.commit(lake, batch(2))
    with pytest.raises(BadInput, match="at or before 2026-11-24 10:00:00 EST"):
        reader.positions(lake, START)


def loaded(code: str, *arguments: str) -> set[str]:
    text = f"import sys\n{code}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=True).stdout.split())


def test_imports_stay_light(lake: Path, batch: MakeBatch) -> None:
    assert not {"deltalake", "duckdb", "arro3", "pandas", "sqlite3", "asyncio"} & loaded("import v6cli.lake.schemas")
    assert not {"deltalake", "duckdb", "arro3", "pandas"} & loaded("import v6cli.lake.reader, v6cli.lake.writer")
    writer.commit(lake, batch(2))
    reading = "import pathlib\nfrom v6cli.lake import reader\nassert len(reader.positions(pathlib.Path(sys.argv[1]))) == 2"
    assert not {"pyarrow", "pandas", "duckdb", "numpy"} & loaded(reading, str(lake))
    making = "import pathlib\nfrom v6cli.lake import tables\ntables.create(pathlib.Path(sys.argv[1]) / 'another')"
    assert not {"pyarrow", "pandas", "duckdb", "numpy"} & loaded(making, str(lake))


def test_reading_ends_cleanly(lake: Path, batch: MakeBatch) -> None:
    """deltalake's own to_pandas aborts the interpreter at its exit in one run of five."""
    writer.commit(lake, batch(50))
    code = "import sys, pathlib\nfrom v6cli.lake import reader\nprint(len(reader.positions(pathlib.Path(sys.argv[1]))), flush=True)"
    for _ in range(8):
        found = subprocess.run([sys.executable, "-c", code, str(lake)], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout) == (0, "50\n"), found.stderr


def test_a_lake_that_cannot_be_written_can_be_read(lake: Path, batch: MakeBatch) -> None:
    writer.commit(lake, batch(2))
    other = lake.with_name("other")
    tables.create(other)
    writer.commit(other, batch(1))
    for path in [lake.parent, lake, *lake.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = """
import os, pathlib, sys
import deltalake
from v6cli import clock
from v6cli.errors import CannotWrite
from v6cli.lake import reader, writer, durability, handles, rows
clock.read_moment("2026-11-24 10:00")  # an interpreter below /root is closed to others: load all before the drop
writer.commit(pathlib.Path(sys.argv[2]), writer.Batch(reader.last_run(pathlib.Path(sys.argv[2]))))
reader.positions(pathlib.Path(sys.argv[2]))
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
lake = pathlib.Path(sys.argv[1])
print(len(reader.positions(lake)), reader.readable(lake))
try:
    writer.commit(lake, writer.Batch(reader.last_run(lake)))
except CannotWrite as error:
    print(error.exit_code)
"""
    found = subprocess.run([sys.executable, "-c", code, str(lake), str(other)], capture_output=True, text=True, check=False)
    assert found.stdout.split("\n")[:2] == ["2 []", "74"], found.stderr
    for path in [lake.parent, lake, *lake.rglob("*")]:
        os.chmod(path, 0o700 if path.is_dir() else 0o600)  # noqa: PTH101


@pytest.mark.parametrize("name", ["positions", "position_history", SYNC_RUNS])
def test_commits_that_were_emptied_are_no_commits_that_changed_nothing(lake: Path, batch: MakeBatch, name: str) -> None:
    """deltalake reads an empty file of the log as a commit without actions, and shows the table as it was before."""
    written = writer.Writer(lake)
    for number in range(1, 26):
        written.commit(batch(number, 2))
    assert reader.readable(lake) == [] and durability.last_checkpoint(lake / name) > 1
    commits = [durability.commit_file(lake / name, version) for version in range(durability.last_commit(lake / name) or 0)]
    before, after = [], []
    for path in filter(Path.exists, commits):
        (before if int(path.stem) <= durability.last_checkpoint(lake / name) else after).append(path)
    for path in before:
        path.write_bytes(b"")
    assert reader.readable(lake) == [], "what a checkpoint stands for is not read"
    for path in after:
        path.write_bytes(b"")
    assert reader.readable(lake) == [f"the lake's table {name} is damaged: {after[0]} is empty"]
    assert [one.problem for one in reader.versions(lake) if one.table == name] == reader.readable(lake)
    with pytest.raises(LakeUnreadable, match=rf"table {name} is damaged"):
        writer.Writer(lake).commit(batch(30, 2))
    assert [path.name for path in tables.rebuild(lake)] == [f"{name}-1"], "what a forced sync does then"
    writer.Writer(lake).commit(batch(31, 2))
    assert reader.readable(lake) == [] and len(reader.positions(lake)) == 2
