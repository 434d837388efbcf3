"""Emergency shutdowns of real processes, amid orders, with something broken each time: afterwards nothing works and nothing leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from msgspec import Struct

from v6cli import events, latch, settings
from v6cli.broker import orders
from v6cli.broker.connection import connect
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.runbook import emergency_record, senders
from v6cli.services import processes

from ..conftest import free_port
from ..others import OWNER, becoming, seen_by_all

ROOT = Path(__file__).parents[2]
# Root writes whatever the modes say, unless it gives that up.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"] if os.geteuid() == 0 else []

# Stands in for the trading service: an order every 50 ms, through the gate or, run away, past it.
TRADER = """
import signal, sys
from pathlib import Path
from v6cli import barrier, locks
from v6cli.broker.ib import _library
from v6cli.errors import V6Error
from v6cli.home import Home
home, port, manner = Home(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
if manner == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
run = locks.begin_run(home, "v6-trading")
library = _library()
ib = library.IB()
ib.client.MaxRequests = 0
ib.connect("127.0.0.1", port, clientId=1)
def place():
    ib.placeOrder(library.Stock("SPY", "SMART", "USD"), library.LimitOrder("BUY", 1, 100.0, tif="GTC"))
    print("placed", flush=True)
while True:
    try:
        if manner == "runaway":
            place()
        else:
            with barrier.passage(home, closing=False):
                place()
    except (V6Error, ConnectionError):
        pass
    ib.sleep(0.05)
"""


class Ground:
    """A demo home whose services run, with a trader in it."""

    def __init__(self, home: Home, v6: Callable[..., subprocess.CompletedProcess[str]], folder: Path) -> None:
        self.home = home
        self.port = settings.load(home).gateway.port
        self._v6 = v6
        self._said = folder / "trader"
        self.trader_as: list[str] = []  # what runs a command as whoever the trader is
        self.trader: subprocess.Popen[bytes] | None = None

    def v6(self, *argv: str, **how: object) -> subprocess.CompletedProcess[str]:
        return self._v6("--home", self.home, *argv, **how)

    def start(self, manner: str) -> None:
        """Services, and a trader that has begun to place orders."""
        self.v6("services", "start", check=0)
        self.v6("services", "stop", "v6-trading", check=0)  # its place is the trader's
        self.v6("sync", "--force", check=0)
        with self._said.open("wb") as said:
            argv = [*self.trader_as, sys.executable, "-P", "-c", TRADER, str(self.home), str(self.port), manner]
            self.trader = subprocess.Popen(argv, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=said, stderr=said)
        deadline = time.monotonic() + 30
        while self._said.read_bytes().count(b"placed") < 5:
            assert self.trader.poll() is None and time.monotonic() < deadline, self._said.read_text()
            time.sleep(0.05)

    def pid(self, service: str) -> int:
        rows = json.loads(self.v6("services", "status", "-o", "json").stdout)["rows"]
        return int(next(row["pid"] for row in rows if row["service"] == service))

    def supervisor(self) -> psutil.Process:
        (found,) = processes.find(rf"supervisor\.supervisord -c {self.home.run}/supervisord\.conf$")
        return psutil.Process(found.pid)

    def working(self) -> int:
        """How many orders work, as a fresh client is told."""

        async def ask() -> int:
            one = await connect(self._own, self.home, "cancel", events.ignore)
            try:
                listed = await orders.everything(one)
                assert listed.complete
                return len(listed.orders)
            finally:
                await one.close()

        return asyncio.run(ask())

    @property
    def _own(self) -> settings.Settings:
        kept = settings.last(self.home)
        assert kept is not None
        return kept

    def end(self) -> None:
        for process in (self.trader,):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                process.wait()


class Case(Struct, frozen=True):
    """What is broken, how it is mended, and the exit code while it is broken. ``manner`` is the trader's."""

    breaks: Callable[[Ground], object] = lambda _ground: None
    mends: Callable[[Ground], object] = lambda _ground: None
    code: int = 0
    told: str = ""
    manner: str = "obeys"


def _garbage(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(size).randbytes(size))


def _damage_state(ground: Ground) -> None:
    """The -wal, too: it may hold whole pages in place of damaged ones."""
    for part in ("", "-wal"):
        path = ground.home.state.with_name(ground.home.state.name + part)
        if path.exists():
            _garbage(path, max(4096, path.stat().st_size))


def _break_lake(ground: Ground) -> None:
    for path in ground.home.lake.rglob("*"):
        if path.is_file():
            path.write_bytes(b"no lake")


def _break_settings(ground: Ground) -> None:
    with ground.home.settings_file.open("a") as file:
        file.write("\n[[[ nonsense\n")


def _mend_settings(ground: Ground) -> None:
    text = ground.home.settings_file.read_text()
    ground.home.settings_file.write_text(text.replace("\n[[[ nonsense\n", ""))


def _signals_gateway(number: int) -> Callable[[Ground], None]:
    def send(ground: Ground) -> None:
        (found,) = processes.find(rf"{ground.home} gateway simulate$")
        os.kill(found.pid, number)

    return send


def _stop_trader(ground: Ground) -> None:
    assert ground.trader is not None
    ground.trader.send_signal(signal.SIGSTOP)


CASES = {
    "nothing is broken": Case(),
    "the gateway is dead": Case(
        lambda ground: ground.v6("services", "stop", "ib-gateway", check=0),
        lambda ground: ground.v6("services", "start", "ib-gateway", check=0),
        75, "nothing listens at",
    ),
    "the state file is damaged": Case(_damage_state, told="beside a new one"),
    "the trader runs away, deaf": Case(manner="deaf"),
    "the gateway says nothing": Case(
        lambda ground: ground.v6("gateway", "fault", "silent", check=0),
        lambda ground: ground.v6("gateway", "fault", "silent", "--clear", check=0),
        75, "did not complete the login",
    ),
    "the gateway hangs": Case(_signals_gateway(signal.SIGSTOP), _signals_gateway(signal.SIGCONT), 75, "did not complete the login"),
    "the sync hangs": Case(lambda ground: os.kill(ground.pid("v6-position-sync"), signal.SIGSTOP)),
    "the trader hangs": Case(_stop_trader, told="ended: v6-trading"),
    "the trader passes the gate": Case(manner="runaway"),
    "the supervisor was killed": Case(lambda ground: ground.supervisor().kill()),
    "the supervisor hangs": Case(lambda ground: ground.supervisor().suspend()),
    "the lake is damaged": Case(_break_lake),
    "the settings are broken": Case(_break_settings, _mend_settings, told="working with the last settings"),
    "the latch is missing": Case(lambda ground: shutil.rmtree(ground.home.latch)),
}  # fmt: skip
NAMES = list(CASES)


@pytest.fixture
def ground(folder: Path, v6) -> Iterator[Ground]:
    made = Ground(new_home.make(folder / "h", "demo", port=free_port()), v6, folder)
    yield made
    made.end()
    _mend_settings(made)
    with contextlib.suppress(psutil.Error, ValueError):
        made.supervisor().resume()
    v6("--home", made.home, "services", "stop")


def shuts_down(ground: Ground, case: Case, chance: random.Random) -> str:
    """Break it, shut down, judge; what was said."""
    case.breaks(ground)
    time.sleep(chance.uniform(0, 0.5))
    done = ground.v6("emergency", "shutdown", "--yes", "--reason", "torture")
    said = done.stdout + done.stderr
    assert done.returncode == case.code, said
    assert case.told in " ".join(said.split()), said
    assert "Traceback" not in said and "a bug in v6" not in said, said
    assert latch.read(ground.home).state is TradingState.HALTED
    assert ground.trader is not None and ground.trader.wait(5) is not None
    assert senders.find(ground.home) == []
    return said


def proven_afterwards(ground: Ground, case: Case) -> None:
    """Mended, another shutdown proves everything, no order has left since, and the services start again."""
    case.mends(ground)
    if case.code:
        ground.v6("emergency-stop", "--yes", check=0)
    assert ground.working() == 0
    time.sleep(0.5)
    assert ground.working() == 0
    ground.v6("services", "start", check=0)


@pytest.mark.timeout(240)
@pytest.mark.seeds(4, 2 * len(NAMES))
def test_whatever_is_broken_nothing_works_afterwards(ground: Ground, seed: int) -> None:
    case, chance = CASES[NAMES[seed % len(NAMES)]], random.Random(seed)
    ground.start(case.manner)
    shuts_down(ground, case, chance)
    newest = max(ground.home.logs.glob("emergency_*.json"), key=lambda path: path.stat().st_mtime)
    record = emergency_record.read(newest)
    assert record.exit_code == case.code and len(record.steps) == 9
    if not case.code:
        assert ground.working() == 0
        assert record.orders and all(saved.left is False for saved in record.orders)
    proven_afterwards(ground, case)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("hangs", [False, True])
def test_the_trading_service_itself_is_ended(ground: Ground, hangs: bool) -> None:
    ground.v6("services", "start", check=0)
    pid = ground.pid("v6-trading")
    if hangs:
        os.kill(pid, signal.SIGSTOP)
    done = ground.v6("emergency", "shutdown", "--yes", "-o", "json", check=0)
    rows = json.loads(done.stdout)["rows"]
    assert any(row["step"] == "Trading stopped" and row["status"] == "ok" for row in rows), rows
    assert senders.find(ground.home) == [] and processes.of(pid) is None
    ground.v6("services", "start", check=0)


@pytest.mark.timeout(240)
def test_a_home_that_cannot_be_written_is_silenced_all_the_same(ground: Ground) -> None:
    """The halt is not recorded, and says so; everything else is done, and the record is printed."""
    ground.start("runaway")
    folders = [ground.home.root, *(path for path in ground.home.root.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o500)
    try:
        argv = [*ORDINARY, sys.executable, "-P", "-m", "v6cli", "--home", str(ground.home), "emergency", "shutdown", "--yes"]
        done = subprocess.run(
            argv,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
    finally:
        for path in folders:
            path.chmod(0o700)
    said = done.stdout + done.stderr
    assert done.returncode == 74 and "NOT RECORDED" in said and "Traceback" not in said, said
    record = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert record["orders"] and all(saved["left"] is False for saved in record["orders"])
    assert record["exit_code"] == 74 and len(record["steps"]) == 9
    assert ground.trader is not None and ground.trader.wait(5) is not None
    proven_afterwards(ground, Case(code=74))


@pytest.mark.machine
@pytest.mark.timeout(240)
def test_root_ends_what_another_user_runs_and_leaves_nothing_of_its_own(folder: Path) -> None:
    """Services and a runaway trader are the owner's; the command that root types becomes that one."""
    folder.chmod(0o755)
    (folder / "o").mkdir()
    os.chown(folder / "o", OWNER.pw_uid, OWNER.pw_gid)
    home, as_owner = Home(folder / "o" / "h"), becoming(OWNER.pw_uid, OWNER.pw_gid)

    def v6(*argv: object, check: int | None = None, who: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [*seen_by_all(), *(who or []), sys.executable, "-P", "-m", "v6cli", *map(str, argv)]
        around = {name: value for name, value in os.environ.items() if not name.startswith(("V6_", "SUDO_"))} | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd="/", env=around, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
        )
        assert check in {None, done.returncode}, done.stdout + done.stderr
        return done

    v6("init", home.root, "--profile", "demo", "--port", free_port(), check=0, who=as_owner)
    ground = Ground(home, v6, folder)
    ground.trader_as = [*seen_by_all(), *as_owner]
    try:
        ground.start("runaway")
        shuts_down(ground, Case(manner="runaway"), random.Random(0))
        (path,) = home.logs.glob("emergency_*.json")
        record = emergency_record.read(path)
        assert (record.exit_code, record.operator) == (0, "root") and record.orders
        assert all(saved.left is False for saved in record.orders)
        proven_afterwards(ground, Case())
        assert [
            one.pid for one in processes.carrying({"SUPERVISOR_SERVER_URL": f"unix://{home.run}/supervisor.sock"}) if _is_roots(one.pid)
        ] == []
        assert [str(one) for one in (home.root, *home.root.rglob("*")) if one.lstat().st_uid != OWNER.pw_uid] == []
    finally:
        ground.end()
        v6("--home", home, "services", "stop")


def _is_roots(pid: int) -> bool:
    return psutil.Process(pid).uids().effective == 0


@pytest.mark.machine
@pytest.mark.timeout(240)
def test_on_a_full_disk_it_halts_and_proves_and_says_what_it_could_not_write(folder: Path, v6) -> None:
    place = folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", place], check=True)
    try:
        ground = Ground(new_home.make(place / "h", "demo", port=free_port()), v6, folder)
        try:
            ground.start("obeys")
            with contextlib.suppress(OSError), (place / "fills").open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            said = shuts_down(ground, Case(code=74), random.Random(0))
            assert ground.working() == 0 and "all proven" not in said
            assert "No space left" in said
            (place / "fills").unlink()
            proven_afterwards(ground, Case(code=74))
        finally:
            ground.end()
            ground.v6("services", "stop")
    finally:
        subprocess.run(["umount", "-l", place], check=True)
