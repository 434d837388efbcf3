"""The emergency shutdown as it is typed: what is asked, what is refused, and what it leaves behind."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from v6cli import clock, latch, settings
from v6cli.errors import CannotWrite
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.runbook import emergency_logs, emergency_record, other_homes
from v6cli.services import processes
from v6cli.state import journal, renewal
from v6cli.state.database import open_read_only, open_state

from .terminal import at_a_terminal
from .test_shutdown import places

ROOT = Path(__file__).parents[2]


def records(home: Home) -> list[emergency_record.Record]:
    return [emergency_record.read(path) for path in sorted(home.logs.glob("emergency_*.json"))]


def test_whoever_declines_leaves_the_halt_and_is_told_so(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        code, shown = await asyncio.to_thread(at_a_terminal, stage.home, "emergency", "shutdown", "--reason", "odd", ahead="n")
        assert code == 77 and "declined: nothing was stopped or cancelled; trading stays HALTED" in shown, shown
        assert shown.index("trading state HALTED") < shown.index("working at the gateway") or "client 1" in shown
        assert latch.read(stage.home).reason == "odd"
        assert len(stage.gateway.book.alive) == 1
        assert [record.outcome for record in records(stage.home)] == ["declined"]
        with open_read_only(stage.home) as state:
            (entry,) = journal.entries(state)
        assert (entry.command, entry.outcome, entry.exit_code) == ("emergency shutdown", "refused", 77)

    stage(act)


@pytest.mark.parametrize("name", [("emergency", "shutdown"), ("emergency-stop",)])
def test_whoever_agrees_sees_it_proven_under_either_name(stage, v6, name: tuple[str, ...]) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        code, shown = await asyncio.to_thread(at_a_terminal, stage.home, *name, "-o", "table", ahead="y")
        assert code == 0 and "all proven" in shown and stage.gateway.book.alive == [], shown
        assert max(map(len, shown.partition("open IWM")[0].splitlines())) <= 80, shown
        (path,) = stage.home.logs.glob("emergency_*.json")
        again = await asyncio.to_thread(v6, "orders", "reentry", path)
        assert again.returncode == 0 and "BUY" in again.stdout and "SPY" in again.stdout and "client 1" in again.stdout

    stage(act)


def test_a_journal_that_is_gone_stops_nothing(stage, v6) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        stage.state.write("DROP TABLE journal")
        done = await asyncio.to_thread(v6, "--home", stage.home, "emergency", "shutdown", "--yes")
        assert done.returncode == 0 and "the journal cannot be written" in done.stderr, done.stderr
        assert stage.gateway.book.alive == [] and stage.home.spare_journal.exists()

    stage(act)


def test_a_second_account_has_to_be_typed(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        stage.gateway.faults.set("second-account")
        code, shown = await asyncio.to_thread(at_a_terminal, stage.home, "emergency", "shutdown", ahead="yes")
        assert code == 77 and "DU1234567 and DU7654321" in shown and len(stage.gateway.book.alive) == 1, shown
        code, shown = await asyncio.to_thread(at_a_terminal, stage.home, "emergency", "shutdown", ahead="DU1234567")
        assert code == 0 and stage.gateway.book.alive == [], shown

    stage(act)


def test_without_a_terminal_it_halts_and_cancels_nothing(stage, v6) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        done = await asyncio.to_thread(v6, "--home", stage.home, "emergency", "shutdown")
        assert done.returncode == 77 and "next: v6 emergency shutdown --yes" in done.stderr
        assert latch.read(stage.home).state is TradingState.HALTED and len(stage.gateway.book.alive) == 1

    stage(act)


def test_broken_settings_halt_all_the_same_and_send_only_to_a_typed_account(stage, v6) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        text = stage.home.settings_file.read_text()
        stage.home.settings_file.write_text(text + "\n[[[")
        (stage.home.run / "settings.last.json").unlink()
        done = await asyncio.to_thread(v6, "--home", stage.home, "emergency", "shutdown", "--yes")
        assert done.returncode == 77 and "NO ORDER WAS CANCELLED" in done.stderr and "--account ID" in done.stderr, done.stderr
        assert latch.read(stage.home).state is TradingState.HALTED and len(stage.gateway.book.alive) == 1
        settings.remember(stage.home, stage.settings)
        done = await asyncio.to_thread(v6, "--home", stage.home, "emergency", "shutdown", "--yes")
        assert done.returncode == 0 and stage.gateway.book.alive == [], done.stderr
        assert "the last settings that could be used" in done.stderr

    stage(act)


def test_a_record_that_is_none_is_refused(v6, folder: Path) -> None:
    (folder / "x.json").write_text("{}")
    assert "is no proof record" in v6("orders", "reentry", folder / "x.json", check=65).stderr
    v6("orders", "reentry", folder / "missing.json", check=65)


def test_the_archive_has_the_last_day_and_no_secret(demo_home: Home) -> None:
    demo_home.logs.mkdir(exist_ok=True)
    now = clock.wall()
    lines = [(now - timedelta(hours=30), "long ago"), (now - timedelta(hours=2), "password=hunter2 and token: abc")]
    demo_home.log.write_text("".join(f'{{"time": "{at.isoformat()}", "level": "INFO", "message": "{text}"}}\n' for at, text in lines))
    archive = demo_home.logs / "emergency_x.tar.gz"
    assert "1 log of the last 24 hours" in emergency_logs.collect([demo_home.log, demo_home.logs / "missing.log"], archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as packed:
        (name,) = packed.getnames()
        file = packed.extractfile(name)
        assert isinstance(file, io.BufferedReader)
        text = file.read().decode()
    assert "long ago" not in text and "password=********" in text and "hunter2" not in text and "abc" not in text


def test_a_damaged_state_file_is_moved_aside_whole(demo_home: Home) -> None:
    assert renewal.damage(demo_home) == ""
    open_state(demo_home).close()
    assert renewal.damage(demo_home) == ""
    demo_home.state.write_bytes(b"no SQLite file" * 1000)
    beside = demo_home.state.with_name("v6.sqlite-wal")
    beside.write_bytes(b"nor this")
    assert "damaged" in renewal.damage(demo_home)
    moved = renewal.begin_anew(demo_home, "now")
    names = {path.name: path.read_bytes() for path in moved}
    assert names.pop("v6.sqlite.damaged-now").startswith(b"no SQLite") and names.pop("v6.sqlite.damaged-now-wal") == b"nor this"
    assert set(names) <= {"v6.sqlite.damaged-now-shm"}
    assert renewal.damage(demo_home) == ""


def test_who_has_the_state_file_open_is_found(demo_home: Home) -> None:
    open_state(demo_home).close()
    script = f"import sys; f = open({str(demo_home.state)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert [one.pid for one in processes.having_open([demo_home.state])] == [process.pid]
        process.kill()
    assert processes.having_open([demo_home.state]) == []


def test_other_homes_are_those_installed_or_running(demo_home: Home, folder: Path) -> None:
    other = new_home.make(folder / "o", "demo", port=4103)
    latch.tighten(other, TradingState.REDUCING, "x", "ann")
    units = folder / "units"
    units.mkdir()
    for home, name in ((demo_home, "v6-a.service"), (other, "v6-b.service")):
        (units / name).write_text(f"[Service]\nExecStart=/opt/v6/bin/v6 --home {home} sync --watch\n")
    (units / "v6-gone.service").write_text("[Service]\nExecStart=/opt/v6/bin/v6 --home /nowhere sync --watch\n")
    found = [one for one in other_homes.find(demo_home, [units]) if str(one.home).startswith(str(folder))]
    assert [(str(one.home), one.state, one.line) for one in found] == [
        (str(other), TradingState.REDUCING, f"v6 --home {other} halt"),
    ]  # fmt: skip


@pytest.mark.parametrize(("words", "code"), [(("halt",), 0), (("reduce-only",), 0), (("close-all", "--yes"), 69)])
def test_whoever_halts_one_home_is_told_of_the_others(v6, demo_home: Home, folder: Path, words: tuple[str, ...], code: int) -> None:
    other = new_home.make(folder / "o", "demo", port=4103)
    units = folder / ".config/systemd/user"
    units.mkdir(parents=True)
    (units / "v6-trading.service").write_text(f"[Service]\nExecStart=/opt/v6/bin/v6 --home {other} scheduler run trading\n")
    done = v6(*words, cwd=demo_home.root, environment={"HOME": str(folder)}, check=code)
    line = f"other home, ACTIVE, installed as v6-trading.service: v6 --home {other} halt"
    assert done.stderr.splitlines().count(line) == 1, done.stderr
    assert done.stderr.index("trading state") < done.stderr.index(line), "nothing is looked for before the latch is set"
    assert latch.read(other).state is TradingState.ACTIVE


def test_other_homes_that_cannot_be_looked_for_are_unknown_and_stop_nothing(demo_home: Home, monkeypatch) -> None:
    def broken(_own: Home) -> list[other_homes.OtherHome]:
        raise PermissionError("/proc is closed")

    monkeypatch.setattr(other_homes, "find", broken)
    told = asyncio.run(other_homes.look(demo_home, 2.0))
    assert told == ["whether other homes of this machine trade is UNKNOWN: /proc is closed"]


def test_a_look_for_other_homes_that_hangs_does_not_hold_up_the_end_of_a_halt(demo_home: Home) -> None:
    program = f"""
import time
from v6cli.main import main
from v6cli.services import processes

processes.find = lambda pattern: time.sleep(3600)
main(["--home", {str(demo_home)!r}, "halt"])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "whether other homes of this machine trade is UNKNOWN: no answer within" in done.stderr, done.stderr
    assert latch.read(demo_home).state is TradingState.HALTED


def test_an_archive_that_cannot_be_written_leaves_no_half(demo_home: Home) -> None:
    (demo_home.logs / "x.tar.gz").mkdir(parents=True)
    with pytest.raises(CannotWrite, match="cannot be archived"):
        emergency_logs.collect([], demo_home.logs / "x.tar.gz")
    assert [path.name for path in demo_home.logs.iterdir()] == ["x.tar.gz"]
