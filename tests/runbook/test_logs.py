"""Logs as they are asked for."""

from __future__ import annotations

import pytest

from v6cli.errors import BadInput
from v6cli.home import Home
from v6cli.runbook import logs


@pytest.mark.parametrize("text", ["99999999999h", "9999999999999999999999d", "800000d"])
def test_a_span_that_reaches_before_all_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="before all time"):
        logs.since(text)


def test_more_lines_than_there_can_be_are_refused(v6, demo_home: Home) -> None:
    v6("logs", "-n", "99999999999999999999", cwd=demo_home.root, check=64)
