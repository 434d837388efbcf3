"""What the demo says."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from v6cli import settings
from v6cli.install import new_home
from v6cli.runbook import demo
from v6cli.services.catalogue import services_of
from v6cli.services.supervisord import Supervisord

from ..conftest import ROOT, V6, free_port


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


@pytest.mark.parametrize("argv", [(), ("--check",)])
def test_an_interrupted_demo_says_what_goes_on_and_what_ends_it(v6, folder: Path, argv: tuple[str, ...]) -> None:
    home = new_home.make(folder / "a demo", "demo", port=free_port())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [*V6, "demo", str(home), *argv]
    backend = Supervisord(home, services_of(simulated_gateway=settings.load(home).gateway.simulated))
    try:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment) as acting:
            assert acting.stderr is not None
            said = []
            for line in acting.stderr:
                said.append(line)
                if line.startswith("waiting for the first sync"):
                    acting.send_signal(signal.SIGINT)
        assert acting.returncode == 130, said
        lines = [line.split("to end them: ")[1] for line in said if "the services of the demo go on" in line]
        running = {one.state for one in backend.status(())} != {"stopped"}
        assert running is bool(lines) is not bool(argv), said
        for line in lines:
            assert shlex.split(line) == ["v6", "demo", "--stop", str(home)]
            v6(*shlex.split(line)[1:], check=0)
            assert {one.state for one in backend.status(())} == {"stopped"}
    finally:
        v6("demo", "--stop", home, check=0)
