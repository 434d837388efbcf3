"""A dry run leaves no trace, and a home that cannot be written still answers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from v6cli.home import Home
from v6cli.install import new_home
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway

# Root reads and writes whatever the modes say, unless it gives that up; the tests of an ordinary user need nothing of it.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.fixture
def home(folder: Path) -> Iterator[Home]:
    """A home whose gateway answers and whose services nobody runs."""
    port: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        gateway = Gateway(scenarios.load("default"), quotes_every=0.1, account_every=0.1)
        port.append(await gateway.start())
        ready.set()
        await ended.wait()
        await gateway.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    made = new_home.make(folder / "h", "demo", port=port[0])
    yield made
    for path in (made.root, *made.root.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    loop.call_soon_threadsafe(ended.set)
    thread.join(20)
    loop.close()


def run(home: Home, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("V6_")}
    command = [*ORDINARY, sys.executable, "-P", "-m", "v6cli", "--home", str(home.root), *argv]
    return subprocess.run(command, cwd="/", env=environment | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=60, check=False)


def trace(home: Home) -> dict[str, tuple[int, int, str]]:
    """Every file and folder with mode, time of change, and content."""
    return {
        str(path.relative_to(home.root)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in (home.root, *sorted(home.root.rglob("*")))
    }


def forbid_writing(home: Home) -> None:
    for path in (home.root, *home.root.rglob("*")):
        path.chmod(0o500 if path.is_dir() else 0o400)


@pytest.mark.parametrize("synced", [False, True], ids=["before the first sync", "after one"])
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "not writable"])
def test_a_dry_sync_leaves_no_trace(home: Home, synced: bool, writable: bool) -> None:
    if synced:
        done = run(home, "sync", "--force")
        assert done.returncode == 0, done.stderr
    if not writable:
        forbid_writing(home)
    before = trace(home)
    done = run(home, "sync", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "21 positions" in done.stdout and "dry run: nothing was written" in done.stdout
    assert ("nothing changed" in done.stdout) == synced
    assert trace(home) == before


def test_a_dry_sync_while_the_gateway_is_away_leaves_no_trace(home: Home) -> None:
    assert run(home, "sync", "--force").returncode == 0
    assert run(home, "config", "set", "gateway.port", "1").returncode == 0
    before = trace(home)
    done = run(home, "sync", "--dry-run")
    assert done.returncode == 69, done.stderr
    assert trace(home) == before


def test_a_home_that_cannot_be_written_refuses_a_sync(home: Home) -> None:
    forbid_writing(home)
    before = trace(home)
    done = run(home, "sync", "--force")
    assert done.returncode == 74 and "cannot" in done.stderr and str(home.root) in done.stderr
    assert trace(home) == before


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("health",), "IB gateway answers"),
        (("morning-check", "-v"), "all 21 positions synced"),
        (("positions",), "SPY"),
        (("status",), "IB gateway answers"),
        (("positions", "--from-gateway"), "SPY"),
    ],
)
def test_a_home_that_cannot_be_written_still_answers(home: Home, argv: tuple[str, ...], said: str) -> None:
    assert run(home, "sync", "--force").returncode == 0
    forbid_writing(home)
    before = trace(home)
    done = run(home, *argv)
    assert done.returncode in {0, 1, 2} and said in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if argv[0] == "morning-check":
        assert "the result was not recorded" in done.stderr
    assert trace(home) == before


def test_a_home_that_may_not_be_looked_into_is_not_said_to_be_none(home: Home) -> None:
    for folder, says in (
        (home.config, f"cannot read {home.settings_file}: Permission denied"),
        (home.root, "may not be looked into: Permission"),
    ):
        folder.chmod(0)
        done = run(home, "health")
        folder.chmod(0o700)
        assert done.returncode == 78 and says in done.stderr and f"ls -ld {folder}" in done.stderr
