"""Resuming, as its user types it."""

from __future__ import annotations

import pytest

from v6cli import latch
from v6cli.home import Home


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_resume_whose_reason_says_nothing_is_refused(v6, demo_home: Home, reason: str) -> None:
    latch.tighten(demo_home, latch.TradingState.HALTED, "because", "ann")
    v6("resume", "--yes", "--reason", reason, cwd=demo_home.root, check=64)
    assert latch.read(demo_home).state is latch.TradingState.HALTED


def test_a_reduce_only_below_a_halt_says_that_it_is_recorded(v6, demo_home: Home) -> None:
    latch.tighten(demo_home, latch.TradingState.HALTED, "because", "ann")
    done = v6("reduce-only", cwd=demo_home.root, check=0)
    assert "HALTED" in done.stderr and "recorded" in done.stderr
