"""Stopping services where the home is broken."""

from __future__ import annotations

import pytest

from v6cli.home import Home
from v6cli.results import cell
from v6cli.runbook import services
from v6cli.services.backend import ServiceState


def damage_state(home: Home) -> None:
    home.state.write_bytes(b"no database" * 1000)


def damage_settings(home: Home) -> None:
    with home.settings_file.open("a") as file:
        file.write("\nlimits = [\n")


@pytest.mark.parametrize("damage", [damage_state, damage_settings])
def test_a_broken_home_keeps_nobody_from_stopping_its_services(v6, demo_home: Home, damage) -> None:
    damage(demo_home)
    stopped = v6("services", "stop", cwd=demo_home.root)
    assert stopped.returncode == 0 and "stopped" in stopped.stdout, stopped.stderr
    assert "damaged" in stopped.stderr or "not valid TOML" in stopped.stderr


@pytest.mark.parametrize("damage", [damage_state, damage_settings])
def test_nor_from_stopping_a_demo(v6, demo_home: Home, damage) -> None:
    damage(demo_home)
    stopped = v6("demo", "--stop", demo_home.root)
    assert stopped.returncode == 0 and "is stopped" in stopped.stdout, stopped.stderr
    assert "damaged" in stopped.stderr or "not valid TOML" in stopped.stderr


def test_a_process_id_can_be_copied() -> None:
    table = services.table([ServiceState("ib-gateway", "running", pid=21508)])
    assert cell(table.rows[0][2], table.columns[2]) == "21508"
