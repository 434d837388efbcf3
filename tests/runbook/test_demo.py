"""What the demo says."""

from __future__ import annotations

from pathlib import Path

import pytest

from v6cli.install import new_home
from v6cli.runbook import demo


def test_the_tour_fits_a_terminal() -> None:
    assert max(map(len, demo.NEXT.splitlines())) <= 80


def test_nothing_is_not_the_working_folder(v6, folder: Path) -> None:
    """``v6 demo "$DIR"`` with the variable unset must not strew a home over the folder that happens to be around."""
    told = v6("demo", "", cwd=folder, check=78)
    assert "DIR is empty" in told.stderr and list(folder.iterdir()) == []


def test_stop_means_the_demo_around_and_else_the_usual_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "share"))
    here, paper = new_home.make(folder / "d", "demo"), new_home.make(folder / "p", "paper")
    monkeypatch.chdir(here.logs)
    assert demo.place(None, around=True) == here.root
    assert demo.place(None) == folder / "share" / "v6" / "demo"
    monkeypatch.chdir(paper.root)
    assert demo.place(None, around=True) == folder / "share" / "v6" / "demo"


def test_what_to_type_next_can_be_typed_as_it_is(v6, folder: Path) -> None:
    told = v6("init", folder / "my home", check=0)
    assert f"next: cd '{folder}/my home' && v6 health" in told.stderr
