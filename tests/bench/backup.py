"""A backup of a lake of 0.9 GB, 20,000 small files and some large ones, against `tar -czf` of the same tree; and the way back.

The whole program is measured: start, pinning every table, state, the sum of every file, and the archive made durable, which tar leaves
to chance. The physical floor, reading every file once, stands in the note. Of a restore it is what a person waits for before the lakes
are exchanged: the archive taken out to a fresh folder, every sum checked, every table opened and counted, all of it brought to the disk;
against `tar -xzf` and `sync -f`, on a disk and in memory.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import V6, Bound, in_turns, judged, spread

from v6cli import events
from v6cli.backup import exchange, staging
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import tables
from v6cli.results import bytes_text
from v6cli.state.database import open_state

COMMITS, PARTITIONS = 20, 1000  # a file each: 20,000
LARGE = 6
TURNS = 2
MEMORY = 0.150  # GB


def measure() -> list[Bound]:
    """Time, size and memory of a backup."""
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir=os.environ.get("V6_BENCH_DIR", "/tmp")) as name:
        home = generated(Path(name))
        archive, backed_up = Path(name) / "tar.tar.gz", Path(name) / "backup.tar.gz"
        sizes: list[int] = []
        memory: list[float] = []

        def backup() -> float:
            seconds, peak = run_measured([V6, "--home", str(home.root), "-q", "backup"])
            memory.append(peak)
            made = next(home.backups.glob("*.tar.gz"))
            sizes.append(made.stat().st_size)
            made.replace(backed_up)
            return seconds

        def tar() -> float:
            began = time.perf_counter()
            subprocess.run(["tar", "-czf", archive, "-C", home.root, "data/lake"], check=True)
            return time.perf_counter() - began

        taken = in_turns(TURNS, {"v6 backup": backup, "tar -czf": tar, "reading": lambda: read_all(home.lake)})
        total = sum(path.stat().st_size for path in home.lake.rglob("*") if path.is_file())
        note = f"{bytes_text(total)} in {sum(1 for _ in home.lake.rglob('*.parquet')):,} files; the floor, reading all once: {spread(taken['reading'])} ms"
        theirs = archive.stat().st_size
        return [
            Bound("v6 backup, 0.9 GB", "tar -czf", 0.10, taken["v6 backup"], taken["tar -czf"], note),
            Bound("its archive, MB", "tar -czf's", 1.07, [size / 1e9 for size in sizes], [theirs / 1e9]),
            Bound("its peak memory, MB", "bound", 1.0, [max(memory)], [MEMORY]),
            taken_out("a restore, on disk", 0.8, backed_up, Path(name)),
            taken_out("a restore, in memory", 0.6, backed_up, Path("/dev/shm")),
        ]


def taken_out(what: str, allowed: float, archive: Path, place: Path) -> Bound:
    """The archive taken out, looked at and brought to the disk, each time to a fresh folder; what was taken out goes at the end.

    Creating files right after as many were removed is many times slower for a while.
    """
    with tempfile.TemporaryDirectory(prefix="v6-bench-", dir=place) as name:
        folders = (Path(name) / str(number) for number in itertools.count())

        def restore() -> float:
            return run_measured([sys.executable, __file__, "--stage", str(archive), str(next(folders))])[0]

        def tar() -> float:
            folder = next(folders)
            folder.mkdir()
            began = time.perf_counter()
            subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
            subprocess.run(["sync", "-f", folder], check=True)
            return time.perf_counter() - began

        taken = in_turns(TURNS, {what: restore, "tar -xzf": tar})
        return Bound(what, "tar -xzf, sync -f", allowed, taken[what], taken["tar -xzf"])


def stage(archive: Path, into: Path) -> None:
    """What a restore does before it asks, and before the lakes change places."""
    staged = staging.stage(archive, into, events.ignore)
    exchange.sync_everything(into)
    assert {table.name for table in staged.tables} >= {"chains", "bars"}


def generated(folder: Path) -> Home:
    """A home with v6's own tables, one of 20,000 files of 10 to 50 kB, and one of some files of 50 MB.

    A process of its own makes it: what it needs in memory would count for each child of this one.
    """
    home = new_home.make(folder / "home", "demo", port=4002)
    tables.create(home.lake)
    open_state(home).close()
    subprocess.run([sys.executable, __file__, "--generate", home.lake], check=True)
    return home


def generate(lake: Path) -> None:
    """Snapshots of option chains with their greeks, a file for each contract's day, and a table of the same in large files."""
    import numpy as np
    from deltalake import write_deltalake

    chance = np.random.default_rng(25)
    for commit in range(COMMITS):
        rows = 120 + 620 * commit // COMMITS
        write_deltalake(str(lake / "chains"), _greeks(chance, PARTITIONS, rows), mode="append", partition_by=["contract"])
    for _ in range(LARGE):
        write_deltalake(str(lake / "bars"), _greeks(chance, 1, 1_020_000), mode="append")


def _greeks(chance: Any, contracts: int, rows: int) -> Any:
    """Quotes in cents that walk, and greeks of a model, as ``greeks_history`` has them."""
    import arro3.core as arro
    import numpy as np

    count = contracts * rows
    underlying = 500 + np.cumsum(chance.integers(-5, 6, count)) / 100
    volatility = 0.2 + chance.normal(0, 0.01, count)
    distance = (np.log(underlying / 500) + volatility**2 / 2) / volatility + chance.normal(0, 1e-3, count)
    gamma = np.exp(-(distance**2) / 2) / (underlying * volatility * 2.5066)
    columns = {
        "contract": np.repeat(np.arange(contracts, dtype=np.int64), rows),
        "second": np.tile(np.arange(rows, dtype=np.int64) * 30, contracts),
        "underlying_price": np.round(underlying, 2),
        "price": np.round(underlying * volatility * 0.4 + chance.normal(0, 0.2, count), 2),
        "implied_volatility": volatility,
        "delta": 0.5 + distance / 2.6,
        "gamma": gamma,
        "theta": -gamma * underlying**2 * volatility**2 / 730,
        "vega": gamma * underlying**2 * volatility / 100,
    }
    return arro.Table.from_arrays([arro.Array(values) for values in columns.values()], names=list(columns))


def run_measured(argv: list[str]) -> tuple[float, float]:
    """Run a program to its end; wall seconds and its peak memory in GB. It must exit 0.

    A process between starts it: what the one that forks has in memory counts for the child as well, and this one may be large.
    """
    done = subprocess.run([sys.executable, __file__, "--run", *argv], stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def run(argv: list[str]) -> None:
    """Run a program to its end and print what it took."""
    began = time.perf_counter()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {child.returncode}")
    print(seconds, used.ru_maxrss / 1e6)


def read_all(folder: Path) -> float:
    """Read every file once."""
    began = time.perf_counter()
    for root, _, files in os.walk(folder):
        for name in files:
            with open(f"{root}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
                while file.read(1 << 20):
                    pass
    return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1:2] == ["--generate"]:
        generate(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["--run"]:
        run(sys.argv[2:])
    elif sys.argv[1:2] == ["--stage"]:
        stage(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(judged(measure()))
