"""Processes that write to a lake, and all that a reader sees of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from v6cli.lake import reader
from v6cli.models import Account, Greeks, Position

Picture = tuple[str, list[Position], dict[int, Greeks], Account | None, list[str]]


def picture(lake: Path) -> Picture:
    """All that a reader sees."""
    last = reader.last_run(lake)
    assert last is not None
    return last.run, reader.positions(lake), reader.greeks(lake), reader.account(lake), [found.exec_id for found in reader.executions(lake)]


COMMIT_MANY = """
import pathlib, sys
from datetime import UTC, datetime, timedelta
from v6cli.lake.rows import SyncRunRecord
from v6cli.lake.writer import Batch, Writer
from v6cli.models import Account, Contract, Fill, Position

lake, who, times = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
start = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
fill = lambda number: Fill(f"e{number}", "DU1", Contract(number, "SPY", "STK"), "BOT", 1.0, 2.5, start, 7, 70, 1)
writer = Writer(lake)
for turn in range(times):
    number = who * 1000 + turn
    at = start + timedelta(seconds=number)
    held = [Position("DU1", Contract(con_id, "SPY", "STK"), float(number), 1.0) for con_id in range(20)]
    writer.commit(Batch(SyncRunRecord(f"r{number}", at, "done", "DU1", at=at), held, (), Account("DU1", "USD", at, float(number)), (fill(number), fill(7))))
    print(number, flush=True)
"""


def start(lake: Path, who: int, times: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", COMMIT_MANY, str(lake), str(who), str(times)], stdout=subprocess.PIPE, text=True)
