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
