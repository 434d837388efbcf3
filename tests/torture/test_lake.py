"""Writers of the lake are killed in the middle of commits: what each said it committed is there, and all of it fits together."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from v6cli.lake import reader, scan, tables

from ..lake.writing import picture, start

KILLS = 6


@pytest.mark.seeds(2, 60)
def test_a_lake_survives_writers_that_are_killed(lake: Path, seed: int) -> None:
    chance = random.Random(seed)
    said: list[str] = []
    for who in range(1, KILLS + 1):
        with start(lake, who, 1000) as child:
            assert child.stdout is not None
            said.append(child.stdout.readline().strip())
            time.sleep(chance.uniform(0, 0.15))
            child.kill()
            said += child.stdout.read().split()
        assert child.returncode == -9, "it was killed while it wrote"
        run, held, _, account, _ = picture(lake)
        assert account is not None
        assert {position.quantity for position in held} == {account.net_liquidation} == {float(run[1:])}
        assert len(held) == 20
        assert reader.readable(lake) == []
    runs = {record.run for record in reader.sync_runs(lake, 10_000)}
    assert {f"r{number}" for number in said} <= runs
    written = scan.select(tables.open_table(lake, "executions"), "executions", columns=("exec_id",))
    assert len(written) == len({row["exec_id"] for row in written})
