"""^C, a request to end, a terminal that goes away, while orders are out: they are taken back and that is confirmed, or they are named."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from v6cli import latch, permits
from v6cli.console import stall
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.runbook import emergency_record, senders
from v6cli.state import intents, journal
from v6cli.state.database import open_read_only

from ..conftest import ROOT, Demo

pytestmark = pytest.mark.timeout(300)


class Acting:
    """A v6 command that runs, and what it says."""

    def __init__(self, demo: Demo, *argv: str) -> None:
        self.file = demo.home.root / "said"
        self._began = self.file.stat().st_size if self.file.exists() else 0
        with self.file.open("ab") as said:
            command = [sys.executable, "-P", "-m", "v6cli", "--home", str(demo.home), *argv]
            around = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=around)

    @property
    def said(self) -> str:
        return self.file.read_bytes()[self._began :].decode()

    def wait_for(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert self.process.poll() is None and time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def interrupt(self, number: int) -> int:
        """Interrupt it; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def patient(closing_demo: Demo) -> Iterator[Demo]:
    """A demo in which a closing order rests long at its first price, in the middle, where nobody takes it."""
    closing_demo.v6("config", "set", "closing.dwell", "30", check=0)
    closing_demo.v6("config", "set", "closing.percent", "0.001", check=0)
    yield closing_demo


def working(demo: Demo) -> list[dict[str, object]]:
    rows = json.loads(demo.v6("orders", "-o", "json", check=0).stdout)["rows"]
    return [row for row in rows if row["state"] in {"Submitted", "PreSubmitted", "PendingSubmit", "PendingCancel"}]


def sent(demo: Demo) -> int:
    with open_read_only(demo.home) as state:
        return len(intents.recent(state, 100))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_closing_takes_its_orders_back(patient: Demo, number: signal.Signals) -> None:
    act = Acting(patient, "close-all", "--yes")
    act.wait_for(lambda: sent(patient) >= 3)
    code = act.interrupt(number)
    assert code == 130 and "none of them works any more" in act.said and "Traceback" not in act.said, (code, act.said)
    assert working(patient) == [] and permits.standing(patient.home) == [] and senders.find(patient.home) == []
    assert latch.read(patient.home).state is TradingState.HALTED
    with open_read_only(patient.home) as state:
        assert intents.unsettled(state) == []
        (entry,) = journal.entries(state, command="close-all")
    assert (entry.outcome, entry.exit_code) == ("interrupted", 130)


def test_an_order_whose_cancel_nobody_answers_is_named(patient: Demo) -> None:
    act = Acting(patient, "close-all", "--symbol", "SPY", "--yes")
    act.wait_for(lambda: sent(patient))
    time.sleep(0.5)
    patient.v6("gateway", "fault", "stuck-cancelling", check=0)
    act.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    code = act.interrupt(signal.SIGINT)  # impatient, and no use: it would leave orders of which nobody speaks
    assert code == 75 and "these orders may still work" in act.said and "Traceback" not in act.said, (code, act.said)
    assert "it is stopping" in act.said
    named = re.findall(r"v6-\w+-\w+\.\d+", act.said.rpartition("may still work")[2])
    assert named and {row["reference"] for row in working(patient)} == set(named)
    patient.v6("gateway", "fault", "stuck-cancelling", "--clear", check=0)
    for key, value in (("closing.dwell", "0.4"), ("closing.percent", "1.0")):
        patient.v6("config", "set", key, value, check=0)
    patient.v6("close-all", "--symbol", "SPY", "--market", "--yes", check=0, timeout=200)


def hung_up(demo: Demo, *argv: str, when: Callable[[], object]) -> int:
    """Run it at a terminal that goes away; its exit code."""
    master, slave = pty.openpty()
    command = [sys.executable, "-P", "-m", "v6cli", "--home", str(demo.home), *argv]
    around = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=around, start_new_session=True)
    os.close(slave)
    os.set_blocking(master, False)
    deadline = time.monotonic() + 60
    while not when():
        assert process.poll() is None and time.monotonic() < deadline
        with contextlib.suppress(BlockingIOError):
            os.read(master, 65536)
        time.sleep(0.02)
    os.close(master)
    process.send_signal(signal.SIGHUP)  # as the kernel does where it is the session's own terminal
    return process.wait(60)


def test_a_closing_whose_terminal_went_away_takes_its_orders_back(patient: Demo) -> None:
    assert hung_up(patient, "close-all", "--yes", when=lambda: sent(patient) >= 3) == 130
    assert working(patient) == [] and permits.standing(patient.home) == [] and senders.find(patient.home) == []
    with open_read_only(patient.home) as state:
        assert intents.unsettled(state) == []


def test_a_shutdown_goes_on_without_its_terminal(closing_demo: Demo) -> None:
    home = closing_demo.home
    assert hung_up(closing_demo, "emergency", "shutdown", "--yes", when=lambda: latch.read(home).state is TradingState.HALTED) == 0
    (record,) = [emergency_record.read(path) for path in home.logs.glob("emergency_*.json")]
    assert record.outcome == "all proven" and len(record.steps) == 9


def test_nobody_has_to_read_what_an_emergency_says(closing_demo: Demo) -> None:
    v6 = shlex.join([sys.executable, "-P", "-m", "v6cli", "--home", str(closing_demo.home)])
    around = os.environ | {"PYTHONPATH": str(ROOT)}

    def typed(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{v6} {line}"], env=around, capture_output=True, text=True, check=False, timeout=200
        )

    for read_by in ("| true", ">/dev/full", ">&-"):
        done = typed(f"halt {read_by}")
        assert done.returncode == 0 and "HALTED" in done.stderr, (read_by, done)
    assert "the command goes on" in typed("halt >/dev/full").stderr
    done = typed("close-all --symbol QQQ --market --yes >/dev/full")
    assert done.returncode == 0 and not [name for name in closing_demo.held() if name.startswith("QQQ")], done
    done = typed("emergency shutdown --close-all --yes | true")
    assert done.returncode in {0, 75}, done  # a long that nobody bids for is left
    closing_demo.v6("services", "start", check=0)
    assert not [name for name, quantity in closing_demo.held().items() if quantity < 0]


@contextlib.contextmanager
def stopped_terminal() -> Iterator[int]:
    """A terminal at which somebody pressed ^S."""
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    yield slave
    os.close(slave)
    os.close(master)


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """A pipe that has no more room, and whose reader lives and reads nothing."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writes, b"." * 4096)
    os.set_blocking(writes, True)
    yield writes
    assert os.get_blocking(writes), "the shell has it open, too"
    os.close(writes)
    os.close(reads)


@contextlib.contextmanager
def running(home: Home, *argv: str, **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "v6cli", "--home", str(home), *argv]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}, stdin=subprocess.DEVNULL, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("stalled", [stopped_terminal, full_pipe], ids=lambda stalled: stalled.__name__)
def test_nobody_has_to_go_on_reading_what_an_emergency_says(
    closing_demo: Demo, stalled: Callable[[], contextlib.AbstractContextManager[int]]
) -> None:
    def typed(*argv: str) -> int:
        with stalled() as nowhere, running(closing_demo.home, *argv, stdout=nowhere, stderr=nowhere) as process:
            return process.wait()

    assert typed("close", "SPY", "--market", "--yes") == 0
    assert not [name for name in closing_demo.held() if name.startswith("SPY")]
    assert latch.read(closing_demo.home).state is TradingState.ACTIVE
    assert typed("reduce-only") == 0 and latch.read(closing_demo.home).state is TradingState.REDUCING
    assert typed("close-all", "--symbol", "QQQ", "--market", "--yes") == 0
    assert not [name for name in closing_demo.held() if name.startswith("QQQ")]
    assert typed("halt") == 0 and latch.read(closing_demo.home).state is TradingState.HALTED
    assert typed("orders", "cancel", "--all", "--yes") == 0
    assert typed("emergency", "shutdown", "--yes") == 0
    (record,) = [emergency_record.read(path) for path in closing_demo.home.logs.glob("emergency_*.json")]
    assert record.outcome == "all proven" and len(record.steps) == 9
    with open_read_only(closing_demo.home) as state:
        ended = [(entry.command, entry.outcome, entry.exit_code) for entry in journal.entries(state) if entry.command != "config set"]
    assert {"close", "close-all", "halt", "emergency shutdown"} <= {command for command, *_ in ended}
    assert all((outcome, code) == ("done", 0) for _, outcome, code in ended), ended


@pytest.mark.timeout(150)
def test_a_closing_whose_terminal_stopped_takes_its_orders_back(patient: Demo) -> None:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    with running(patient.home, "close-all", "--yes", stdout=slave, stderr=slave) as process:
        while sent(patient) < 3:
            with contextlib.suppress(BlockingIOError):
                os.read(master, 65536)
        termios.tcflow(slave, termios.TCOOFF)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    os.close(slave)
    os.close(master)
    assert working(patient) == [] and permits.standing(patient.home) == [] and senders.find(patient.home) == []
    with open_read_only(patient.home) as state:
        assert intents.unsettled(state) == []


@pytest.mark.timeout(150)
def test_stdout_that_nobody_reads_is_told_on_stderr(closing_demo: Demo) -> None:
    with full_pipe() as nowhere, running(closing_demo.home, "halt", stdout=nowhere, stderr=subprocess.PIPE) as process:
        _, said = process.communicate()
    assert process.returncode == 0 and b"what is to be seen on stdout is not being read" in said, said


def test_any_other_command_waits_for_its_reader(v6, demo_home: Home) -> None:
    wanted = v6("--home", demo_home, "config", "show", "-o", "json", check=0).stdout
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(writes, b"." * 4096)
    os.set_blocking(writes, True)
    with running(demo_home, "config", "show", "-o", "json", stdout=writes) as process:
        os.close(writes)
        time.sleep(3 * stall.PATIENCE)  # longer than an emergency would wait
        with os.fdopen(reads, "rb") as reader:
            shown = reader.read()[filled:]
        assert process.wait() == 0
    assert shown.decode() == wanted


@pytest.mark.seeds(2, 12)
def test_a_shutdown_keeps_what_was_done_and_another_proves_it(closing_demo: Demo, seed: int) -> None:
    chance = random.Random(seed)
    act = Acting(closing_demo, "emergency", "shutdown", "--yes")
    act.wait_for(lambda: latch.read(closing_demo.home).state is TradingState.HALTED)
    time.sleep(chance.uniform(0, 2.5))
    code = act.interrupt(signal.SIGINT)
    assert code in {0, 130} and "Traceback" not in act.said, (code, act.said)
    assert latch.read(closing_demo.home).state is TradingState.HALTED
    records = [emergency_record.read(path) for path in sorted(closing_demo.home.logs.glob("emergency_*.json"))]
    if "interrupted after" in act.said:
        assert "next: v6 emergency shutdown" in act.said and [record.outcome for record in records] == ["interrupted"]
        assert records[0].exit_code == 130 and len(records[0].steps) < 9
    closing_demo.v6("emergency", "shutdown", "--yes", check=0)
    assert senders.find(closing_demo.home) == []
    closing_demo.v6("services", "start", check=0)
