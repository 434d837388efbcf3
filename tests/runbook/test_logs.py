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


@pytest.mark.parametrize("kept", [True, False], ids=["last settings", "packaged settings"])
def test_broken_settings_do_not_hide_the_logs(v6, demo_home: Home, kept: bool) -> None:
    """Logs tell why a service does not start, and a broken file is one of the reasons."""
    (demo_home.logs / "v6-position-sync.log").write_text("2026-11-24 09:30:00+00:00 ERROR no gateway\n")
    demo_home.settings_file.write_text(demo_home.settings_file.read_text() + "\nx = [\n")
    if not kept:
        (demo_home.run / "settings.last.json").unlink()
    done = v6("logs", cwd=demo_home.root, check=0)
    assert "no gateway" in done.stdout
    assert "is not valid TOML" in done.stderr
    assert ("the last settings that could be used" if kept else "the packaged settings") in done.stderr
