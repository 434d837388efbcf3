"""Syncs are killed while they write: lake and mirror are old or new, never half."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from v6cli.home import Home
from v6cli.lake import reader
from v6cli.state import mirror
from v6cli.state.database import open_read_only, open_state


def consistent(home: Home) -> str | None:
    """The run that the lake and the mirror name, both whole; the mirror may be a run behind the lake, and never ahead."""
    assert reader.readable(home.lake) == []
    recorded = reader.last_run(home.lake)
    if not home.state.exists():
        return recorded.run if recorded else None
    with open_read_only(home) as state:
        seen = mirror.read(state)
    if seen is None:
        return recorded.run if recorded else None
    assert recorded is not None and len(seen.positions) == len(reader.positions(home.lake)) == 21
    return recorded.run


MOST_KILLS = 8


@pytest.mark.seeds(3, 60)
def test_killed_at_any_instant_lake_and_mirror_are_old_or_new(stage, seed: int) -> None:
    """Each seed dies once anywhere and, in up to eight attempts, three times while tables are written."""

    async def act(stage) -> None:
        chance = random.Random(seed)
        stage.state.close()
        assert await asyncio.to_thread(_sync_process(stage.home).wait) == 0
        known = {consistent(stage.home)}
        killed_writing = 0
        for attempt in range(MOST_KILLS):
            process = _sync_process(stage.home)
            await asyncio.to_thread(_wait_until_it_writes if attempt else _let_it_run(chance.uniform(0.2, 1.0)), process, stage.home)
            # The writing takes a twentieth of a second, and on a busy machine longer: a kill may come after its end.
            await asyncio.sleep(chance.uniform(0, 0.08 / (attempt or 1)) if attempt else 0)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            killed_writing += await asyncio.to_thread(process.wait) == -9 and attempt > 0
            known.add(consistent(stage.home))
            with open_state(stage.home) as state:
                mirrored = mirror.seen(state)
            assert mirrored is not None and mirrored.run in known, "the mirror is never ahead of the lake"
            if killed_writing == 3:
                break
        assert killed_writing, f"it was over before each of {MOST_KILLS} kills"
        assert await asyncio.to_thread(_sync_process(stage.home).wait) == 0
        after = consistent(stage.home)
        with open_state(stage.home) as state:
            seen = mirror.seen(state)
        assert seen is not None and seen.run == after and after not in known

    stage(act, timeout=5.0)


def _let_it_run(seconds: float) -> Callable[[subprocess.Popen[bytes], Home], None]:
    """Let it run so long, or to its end."""

    def wait(process: subprocess.Popen[bytes], _home: Home) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

    return wait


def _wait_until_it_writes(process: subprocess.Popen[bytes], home: Home) -> None:
    """Return with the first new file of the lake, or once it has ended."""

    def written() -> int:
        return sum(1 for _ in home.lake.rglob("*"))

    before = written()
    while process.poll() is None and written() == before:
        time.sleep(0.001)


def _sync_process(home: Home) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "v6cli", "--home", str(home.root), "sync", "--force"],
        cwd="/",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
