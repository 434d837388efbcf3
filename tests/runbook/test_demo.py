"""What the demo says."""

from __future__ import annotations

from v6cli.runbook import demo


def test_the_tour_fits_a_terminal() -> None:
    assert max(map(len, demo.NEXT.splitlines())) <= 80
