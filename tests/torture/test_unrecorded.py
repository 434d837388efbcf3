"""Closing where the state file is damaged or cannot be written: what cannot be recorded is not sent, and is shown to be typed by hand."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v6cli import latch
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.state import intents, journal, runs
from v6cli.state.database import open_read_only

from ..conftest import ROOT, Demo, free_port

# Root writes whatever the modes say, unless it gives that up.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"] if os.geteuid() == 0 else []
pytestmark = pytest.mark.timeout(300)


def damage(home: Home) -> None:
    for part in ("", "-wal"):
        path = home.state.with_name(home.state.name + part)
        if path.exists():
            with path.open("r+b") as file:
                file.write(random.Random(part).randbytes(max(4096, path.stat().st_size)))


@contextlib.contextmanager
def unwritable(home: Home) -> Iterator[None]:
    folders = [home.root, *(path for path in home.root.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o500)
    try:
        yield
    finally:
        for path in folders:
            path.chmod(0o700)


def ordinary(home: Home, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [*ORDINARY, sys.executable, "-P", "-m", "v6cli", "--home", str(home), *argv]
    around = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(command, env=around, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)


def documents(stdout: str) -> list[dict[str, Any]]:
    decoder, found = json.JSONDecoder(), []
    while rest := stdout.lstrip():
        one, end = decoder.raw_decode(rest)
        found.append(one)
        stdout = rest[end:]
    return found


def to_type(done: subprocess.CompletedProcess[str], held: dict[str, float]) -> dict[str, Any]:
    """What is to be typed by hand: exactly what closes what is held, shorts first, and nothing of it was sent."""
    assert done.returncode == 74 and "v6 sends none" in done.stderr and "type what is shown above into TWS" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "a bug in v6" not in done.stderr
    last = documents(done.stdout)[-1]
    assert last["schema"] == "v6.close-by-hand/1", done.stdout
    rows = last["rows"]
    assert sorted(row["quantity"] * (1 if row["action"] == "SELL" else -1) for row in rows) == sorted(held.values())
    assert [row["action"] for row in rows] == sorted(row["action"] for row in rows), "what is short is bought before a long is sold"
    return last


def test_a_damaged_state_file_is_begun_anew_once_nobody_has_it_open(closing_demo: Demo) -> None:
    home, held = closing_demo.home, closing_demo.held()
    spy = {name: size for name, size in held.items() if name.startswith("SPY ")}
    damage(home)
    # A process that v6 did not start and will not end has it open: no order can be recorded.
    holder = [sys.executable, "-c", f"import sys; f = open({str(home.state)!r}); print(1, flush=True); sys.stdin.read()"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        done = closing_demo.v6("close-all", "--symbol", "SPY", "--yes", "-o", "json")
        shown = to_type(done, spy)
        assert f"(pid {process.pid}) has it open" in done.stderr and all(row["limit"] for row in shown["rows"])
        assert latch.read(home).state is TradingState.HALTED and closing_demo.held() == held
        process.kill()
    done = closing_demo.v6("close-all", "--symbol", "SPY", "--market", "--yes", "-o", "json", check=0)
    assert "beside a new one" in done.stderr and list(home.state_folder.glob("v6.sqlite.damaged-*"))
    assert closing_demo.held() == {name: size for name, size in held.items() if name not in spy}
    with open_read_only(home) as state:
        assert intents.unsettled(state) == [] and runs.last(state, "close-all") is not None
        assert [entry.outcome for entry in journal.entries(state, command="close-all")] == ["done"]
    assert "close-all" in home.spare_journal.read_text()
    rows = json.loads(closing_demo.v6("services", "status", "-o", "json", check=0).stdout)["rows"]
    assert {row["service"]: row["state"] for row in rows}["v6-position-sync"] == "running", "it is started again"


def test_where_nothing_can_be_written_the_orders_are_shown_from_ib_or_as_last_known(closing_demo: Demo) -> None:
    home, held = closing_demo.home, closing_demo.held()
    closing_demo.v6("sync", "--force", check=0)
    with unwritable(home):
        done = ordinary(home, "close-all", "--yes", "-o", "json")
        one = ordinary(home, "close", "SPY", "--yes", "-o", "json")
    shown = to_type(done, held)
    assert any("asked just now" in note for note in shown["notes"])
    to_type(one, {name: size for name, size in held.items() if name.startswith("SPY ")})
    priced = [row for row in shown["rows"] if row["limit"] is not None]
    assert len(priced) > len(held) / 2
    assert all((row["last"] >= row["limit"]) if row["action"] == "BUY" else (row["last"] <= row["limit"]) for row in priced)
    assert closing_demo.held() == held
    closing_demo.v6("services", "stop", "ib-gateway", check=0)
    with unwritable(home):
        done = ordinary(home, "close-all", "--yes", "-o", "json")
    shown = to_type(done, held)
    assert any("ago, the last that is known" in note for note in shown["notes"]) and "UNKNOWN" in done.stderr
    damage(home)
    with unwritable(home):
        done = ordinary(home, "close-all", "--yes")
    assert done.returncode == 74 and "look in TWS" in done.stderr and done.stdout == "", done.stderr


@pytest.mark.machine
def test_on_a_full_disk_no_order_is_sent_and_all_are_shown(folder: Path, v6) -> None:
    place = folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", place], check=True)
    home = new_home.make(place / "h", "demo", port=free_port())
    demo = Demo(home, v6)
    try:
        demo.v6("demo", home.root, check=0)
        held = demo.held()
        with contextlib.suppress(OSError), (place / "fills").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        done = demo.v6("close-all", "--yes", "-o", "json")
        to_type(done, held)
        assert latch.read(home).state is not TradingState.ACTIVE and demo.held() == held
        (place / "fills").unlink()
        demo.v6("close-all", "--market", "--yes", timeout=200)
        assert len(demo.held()) < len(held)
    finally:
        demo.v6("demo", "--stop", home.root)
        subprocess.run(["umount", "-l", place], check=True)
