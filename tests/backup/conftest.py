"""Homes that hold something worth a backup, and archives made of them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v6cli import events, settings
from v6cli.backup import create
from v6cli.backup.create import Backup
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import tables
from v6cli.lake.writer import Writer
from v6cli.state.database import open_state

from ..conftest import free_port
from ..lake.conftest import batch, fill

__all__ = ["batch"]

MakeBackup = Callable[..., Backup]


@pytest.fixture
def home(batch) -> Iterator[Home]:
    """A demo home in memory whose lake has seen five syncs, and another program's table beside v6's own."""
    root = Path(tempfile.mkdtemp(prefix="v6-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    made = new_home.make(root / "h", "demo", port=free_port())
    tables.create(made.lake)
    writer = Writer(made.lake)
    for number in range(1, 6):
        writer.commit(batch(number, executions=(fill(number),)))
    foreign(made.lake / "chains" / "spy", [1, 2, 3])
    open_state(made).close()
    yield made
    shutil.rmtree(root, ignore_errors=True)


def foreign(folder: Path, values: list[int], *, mode: str = "append") -> None:
    """Write to a table that v6 does not know, in partitions whose names need an encoding."""
    from arro3.core import Array, DataType, Table
    from deltalake import write_deltalake

    folder.parent.mkdir(parents=True, exist_ok=True)
    kinds = Array([("call %", "put/é")[value % 2] for value in values], DataType.utf8())
    table = Table.from_arrays([Array(values, DataType.int64()), kinds], names=["x", "kind"])
    write_deltalake(str(folder), table, mode=mode, partition_by=["kind"])


def no_file_to_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk gives no data file of one table any more."""
    bad = {path.stat().st_ino for path in (home.lake / "executions").rglob("*.parquet")}
    really_read = os.read

    def read(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_ino in bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really_read(descriptor, size)

    monkeypatch.setattr(os, "read", read)


def back_up(home: Home, **how) -> Backup:
    """One backup, nobody watching."""
    with open_state(home) as state:
        return create.create(home, settings.load(home), state, events.ignore, **how)


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
