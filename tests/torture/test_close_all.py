"""v6 close-all is killed again and again while it closes: no position ever grows or turns, and the last run ends it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v6cli import permits
from v6cli.install import new_home
from v6cli.state import intents
from v6cli.state.database import open_read_only

from ..conftest import ROOT, Demo, free_port

KILLS = 5


@pytest.fixture
def trading(v6: Any) -> Iterator[Demo]:
    made = Path(tempfile.mkdtemp(prefix="v6-close-", dir="/tmp"))
    home = new_home.make(made / "d", "demo", port=free_port())
    try:
        for key, value in (("closing.dwell", "0.5"), ("closing.percent", "1.0"), ("closing.lag", "3")):
            v6("--home", home, "config", "set", key, value, check=0)
        v6("demo", home.root, check=0)
        yield Demo(home, v6)
    finally:
        v6("demo", "--stop", home.root)
        shutil.rmtree(made, ignore_errors=True)


def held(demo: Demo) -> dict[str, float]:
    rows = json.loads(demo.v6("positions", "--from-gateway", "-o", "json", check=0).stdout)["rows"]
    return {f"{row['symbol']} {row['expiry']} {row['strike']} {row['right']}": row["quantity"] for row in rows}


def said_of_each(stdout: str, left: dict[str, float]) -> bool:
    """Whether what is left is listed, and nothing else kept it open than a market in which it has no price."""
    decoder = json.JSONDecoder()
    _plan, end = decoder.raw_decode(stdout)
    outcome, _ = decoder.raw_decode(stdout[end:].lstrip())
    reasons = ("left to expire", "no quote of", "it may cover")
    return len(outcome["rows"]) == len(left) and all(any(reason in row["why"] for reason in reasons) for row in outcome["rows"])


def killed_after(demo: Demo, seconds: float) -> int:
    """Begin a close-all and kill it; its exit code, -9 where it was killed in time."""
    argv = [sys.executable, "-P", "-m", "v6cli", "--home", str(demo.home), "close-all", "--market", "--yes"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (demo.home.root / "said").open("ab") as said, subprocess.Popen(argv, stdout=said, stderr=said, env=environment) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@pytest.mark.seeds(1, 12)
@pytest.mark.timeout(600)
def test_killed_at_any_instant_it_is_ended_by_the_next_run(trading: Demo, seed: int) -> None:
    chance = random.Random(seed)
    before = last = held(trading)
    codes = []
    for _ in range(KILLS):
        codes.append(killed_after(trading, chance.uniform(0.5, 9.0)))
        now = held(trading)
        assert set(now) <= set(last), "something new is held"
        for name, size in now.items():
            assert size * last[name] > 0 and abs(size) <= abs(last[name]), f"{name} became {size:+g} from {last[name]:+g}"
        last = now
        assert permits.standing(trading.home) == [], "a permit outlives its run"
    assert -9 in codes and set(codes) <= {-9, 0, 75}, (codes, (trading.home.root / "said").read_text())
    done = trading.v6("close-all", "--market", "--yes", "-o", "json", timeout=250)
    left = held(trading)
    assert done.returncode == (75 if left else 0), done.stdout + done.stderr
    assert said_of_each(done.stdout, left), done.stdout + done.stderr
    assert before
    with open_read_only(trading.home) as state:
        assert intents.unsettled(state) == []
