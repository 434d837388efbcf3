"""What a table consists of at a version, and how many rows its files have by their ends alone."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable, write_deltalake

from v6cli.lake import contents, footers, tables
from v6cli.lake.errors import LakeUnreadable
from v6cli.lake.proof import open_and_count
from v6cli.lake.schemas import TABLES
from v6cli.lake.table_files import Vanished, log_files
from v6cli.lake.writer import Writer


def log_of(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def commit(version: int) -> str:
    return f"{version:020}.json"


def checkpoint(version: int, part: int = 0, of: int = 0) -> str:
    return f"{version:020}.checkpoint{f'.{part:010}.{of:010}' if of else ''}.parquet"


def test_the_log_is_taken_from_the_last_whole_checkpoint_on(folder: Path) -> None:
    commits = [commit(version) for version in range(8)]
    log = log_of(
        folder / "a", *commits, checkpoint(2), checkpoint(4, 1, 2), checkpoint(4, 2, 2), checkpoint(6, 1, 2), "_last_checkpoint", "x#1"
    )
    assert log_files(log, 1) == commits[:2]
    assert log_files(log, 3) == [checkpoint(2), *commits[2:4]]
    assert log_files(log, 7) == [checkpoint(4, 1, 2), checkpoint(4, 2, 2), *commits[4:8]], "half a checkpoint is none"
    cut = log_of(folder / "b", checkpoint(4), commit(5), commit(7))
    assert log_files(cut, 4) == [checkpoint(4)]
    for version in (3, 7):
        with pytest.raises(Vanished):
            log_files(cut, version)


def test_rows_by_the_ends_of_files_are_those_that_duckdb_counts(lake: Path, batch) -> None:
    writer = Writer(lake)
    for number in range(1, 8):
        writer.commit(batch(number, size=number * 40))
    files = list(lake.rglob("*.parquet"))
    assert len(files) > 20
    seen = footers.Footers()
    for path in files:
        counted = duckdb.execute("select count(*) from read_parquet(?)", [str(path)]).fetchone()[0]
        assert footers.count_rows([path]) == seen.rows(path) == counted


def test_what_is_no_parquet_file_is_said(folder: Path, lake: Path, batch) -> None:
    Writer(lake).commit(batch(1))
    whole = next((lake / "positions").glob("*.parquet")).read_bytes()
    for number, raw in enumerate(
        (b"", b"PAR1", whole[:-1], whole[:-8] + b"\xff\xff\xff\x7fPAR1", whole[:40] + b"\0" * 8 + b"PAR1", b"\0" * 100 + b"\x20\0\0\0PAR1")
    ):
        path = folder / f"{number}.parquet"
        path.write_bytes(raw)
        with pytest.raises(LakeUnreadable, match="cannot be read"):
            footers.count_rows([path])
    with pytest.raises(LakeUnreadable, match="No such file"):
        footers.count_rows([folder / "none.parquet"])


def test_a_table_whose_log_has_no_statistics_is_counted(lake: Path, folder: Path) -> None:
    from arro3.core import Array, DataType, Table

    place = folder / "lake" / "t"
    place.parent.mkdir()
    data = Table.from_arrays([Array([1, 2, 3], DataType.int64())], names=["x"])
    write_deltalake(str(place), data, configuration={"delta.dataSkippingNumIndexedCols": "0"})
    log = place / "_delta_log" / commit(0)
    lines = log.read_text().splitlines()
    log.write_text(
        "\n".join(line.partition('"stats":"')[0] + '"stats":null,"tags":null}}' if '"stats":"' in line else line for line in lines)
    )
    assert DeltaTable(place).get_add_actions(flatten=True).num_rows == 1
    with contents.look(place.parent, 10) as found:
        assert [(table.name, table.rows, table.named) for table in found.tables] == [("t", 3, False)]
    assert open_and_count(place.parent, "t").rows == 3


def test_a_lake_that_no_sync_has_written_to_is_taken_as_it_is(lake: Path) -> None:
    with contents.look(lake, 100) as found:
        assert [table.name for table in found.tables] == sorted(TABLES) and not found.missing and found.sync is None
    with contents.look(lake / "nowhere", 100) as found:
        assert not found.tables and not found.missing


def test_without_the_table_of_syncs_that_is_missing_and_the_rest_is_there(lake: Path, batch) -> None:
    Writer(lake).commit(batch(1))
    for path in (lake / "sync_runs").rglob("*.parquet"):
        path.unlink()
    with contents.look(lake, 100, patience=0.2) as found:
        assert found.missing.keys() == {"sync_runs"} and len(found.tables) == len(TABLES) - 1
    assert tables.open_table(lake, "positions").version() == 1


def delete_by_a_vector(table: Path, where: dict) -> None:
    """A commit as Spark makes it: the same file once more, with a vector that says which of its rows are deleted."""
    first = [json.loads(line) for line in (table / "_delta_log" / commit(0)).read_text().splitlines()]
    add = next(action["add"] for action in first if "add" in action)
    remove = {"path": add["path"], "dataChange": True, "deletionTimestamp": 1}
    vector = {"offset": 1, "sizeInBytes": 40, "cardinality": 3, **where}
    lines = ({"add": {**add, "deletionVector": vector}}, {"remove": remove})
    (table / "_delta_log" / commit(1)).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.parametrize(
    "where",
    [{"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^"}, {"storageType": "p", "pathOrInlineDv": "file:///dev/zero"}],
)
def test_a_table_whose_rows_are_deleted_by_a_file_of_their_own_is_not_taken_without_it(folder: Path, where: dict) -> None:
    from arro3.core import Array, DataType, Table

    rows = Table.from_arrays([Array([1, 2, 3], DataType.int64())], names=["x"])
    write_deltalake(str(folder / "t"), rows, configuration={"delta.enableDeletionVectors": "true"})
    with contents.look(folder, 0, patience=0.0) as found:
        assert [(table.name, table.rows) for table in found.tables] == [("t", 3)], "it may have some, and has none"
    assert open_and_count(folder, "t").rows == 3
    delete_by_a_vector(folder / "t", where)
    with contents.look(folder, 0, patience=0.0) as found:
        assert not found.tables and "deletion vectors" in found.missing["t"]
    DeltaTable(folder / "t").create_checkpoint()
    (folder / "t" / "_delta_log" / commit(0)).unlink()
    with pytest.raises(LakeUnreadable, match="deletion vectors"):
        open_and_count(folder, "t")
    write_deltalake(str(folder / "t"), rows, mode="overwrite")
    assert open_and_count(folder, "t").rows == 3, "the file that had one is gone"
