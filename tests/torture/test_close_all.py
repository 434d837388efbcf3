"""v6 close-all is killed again and again while it closes: no position ever grows or turns, and the last run ends it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from v6cli import permits
from v6cli.state import intents
from v6cli.state.database import open_read_only

from ..conftest import ROOT, Demo

KILLS = 5  # of each seed: ten in the short run, sixty in the long one


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


@pytest.mark.seeds(2, 12)
@pytest.mark.timeout(600)
def test_killed_at_any_instant_it_is_ended_by_the_next_run(closing_demo: Demo, seed: int) -> None:
    chance = random.Random(seed)
    before = last = closing_demo.held()
    codes = []
    for _ in range(KILLS):
        codes.append(killed_after(closing_demo, chance.uniform(0.5, 7.0)))
        now = closing_demo.held()
        assert set(now) <= set(last), "something new is held"
        for name, size in now.items():
            assert size * last[name] > 0 and abs(size) <= abs(last[name]), f"{name} became {size:+g} from {last[name]:+g}"
        last = now
        assert permits.standing(closing_demo.home) == [], "a permit outlives its run"
    assert -9 in codes and set(codes) <= {-9, 0, 75}, (codes, (closing_demo.home.root / "said").read_text())
    done = closing_demo.v6("close-all", "--market", "--yes", "-o", "json", timeout=250)
    left = closing_demo.held()
    assert done.returncode == (75 if left else 0), done.stdout + done.stderr
    assert said_of_each(done.stdout, left), done.stdout + done.stderr
    assert before
    with open_read_only(closing_demo.home) as state:
        assert intents.unsettled(state) == []
