"""What every test may use: seeds, a short-lived home, a lake, a running demo, v6 as its user runs it, and a stage for syncs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest

from v6cli import clock, events, settings
from v6cli.broker.connection import Connection, connect
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import tables
from v6cli.settings import Settings
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway
from v6cli.state.database import State, open_state
from v6cli.sync.reconcile import Syncer, SyncRun

from .said import Said

ROOT = Path(__file__).parent.parent
V6 = [sys.executable, "-P", "-m", "v6cli"]

# How long an example takes says what else this machine does.
hypothesis.settings.register_profile("v6", deadline=None)
hypothesis.settings.load_profile("v6")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run each seeded test with all its seeds instead of the first few")
    parser.addoption("--client", metavar="PYTHON", help="hold the conversation with the client library of this Python")
    parser.addoption("--moto", metavar="PYTHON", help="carry copies of backups to the S3 of moto, which this Python has")
    parser.addoption(
        "--seed", type=_seeds, metavar="N or A:B", help="run each seeded test with this seed alone, or with those from A to B-1"
    )


def _seeds(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end) if end else int(first) + 1)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # what the others say arrives at the one process that is none of them
        config.pluginmanager.register(Said())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked ``long`` runs under --long alone."""
    if not config.getoption("long"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``@pytest.mark.seeds(few, many)``: the test's ``seed`` is each of range(few), under --long each of range(many), or those named."""
    marker = metafunc.definition.get_closest_marker("seeds")
    if marker is None:
        return
    few, many = marker.args
    named, every = metafunc.config.getoption("seed"), metafunc.config.getoption("long")
    metafunc.parametrize("seed", named if named is not None else range(many if every else few))


def pytest_itemcollected(item: pytest.Item) -> None:
    """The seed goes into the report, from which a failure is replayed."""
    if item.get_closest_marker("seeds"):
        item.user_properties.append(("seed", item.callspec.params["seed"]))


@pytest.fixture(autouse=True)
def _wall_time_again() -> Iterator[None]:
    """Home time is the process's: a test that ran it faster leaves it as it was."""
    yield
    clock.start()


@pytest.fixture(autouse=True)
def _no_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("V6_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path: sockets live below it."""
    made = Path(tempfile.mkdtemp(prefix="v6-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def lake() -> Iterator[Path]:
    """A lake in memory, its tables empty."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="v6-", dir=place))
    tables.create(root / "lake")
    yield root / "lake"
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def demo_home(folder: Path) -> Home:
    """A demo home in which nothing runs, its gateway on a free port."""
    return new_home.make(folder / "home", "demo", port=free_port())


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def v6():
    """Run v6 as its user does: a process of its own, in a given folder."""

    def run(
        *argv: object, cwd: Path | str = "/", check: int | None = None, environment: dict[str, str] | None = None, **options
    ) -> subprocess.CompletedProcess[str]:
        variables = (
            {name: value for name, value in os.environ.items() if not name.startswith("V6_")}
            | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
            | (environment or {})
        )
        done = subprocess.run(
            [*V6, *map(str, argv)],
            cwd=cwd,
            env=variables,
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 100),
            stdin=subprocess.DEVNULL,
            check=False,
            **options,
        )
        if check is not None:
            assert done.returncode == check, f"v6 {' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


class Demo:
    """A running demo: its home, and v6 in it."""

    def __init__(self, home: Home, run) -> None:
        self.home = home
        self._run = run

    def v6(self, *argv: object, **options) -> subprocess.CompletedProcess[str]:
        return self._run(*argv, cwd=self.home.root, **options)

    def held(self) -> dict[str, float]:
        """What the account holds at the gateway: the quantity of each contract."""
        rows = json.loads(self.v6("positions", "--from-gateway", "-o", "json", check=0).stdout)["rows"]
        return {f"{row['symbol']} {row['expiry']} {row['strike']} {row['right']}": row["quantity"] for row in rows}


@pytest.fixture(scope="session")
def demo(v6) -> Iterator[Demo]:
    """A demo that runs as long as the tests of this process; those that stop something in it start it again."""
    made = Path(tempfile.mkdtemp(prefix="v6-demo-", dir="/tmp"))
    home = new_home.make(made / "d", "demo", port=free_port())
    try:
        v6("demo", home.root, check=0)
        yield Demo(home, v6)
    finally:
        v6("demo", "--stop", home.root, check=0)
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def closing_demo(v6) -> Iterator[Demo]:
    """A demo of one test's own, in which closing is quick and goes as far as it has to."""
    made = Path(tempfile.mkdtemp(prefix="v6-close-", dir="/tmp"))
    home = new_home.make(made / "d", "demo", port=free_port())
    try:
        for key, value in (("closing.dwell", "0.4"), ("closing.percent", "1.0"), ("closing.lag", "3")):
            v6("--home", home, "config", "set", key, value, check=0)
        v6("demo", home.root, check=0)
        yield Demo(home, v6)
    finally:
        v6("demo", "--stop", home.root, check=0)
        shutil.rmtree(made, ignore_errors=True)


class Stage:
    """What a test of the sync works with: gateway, home, state, settings with short waits."""

    def __init__(self, gateway: Gateway, home: Home, state: State, own: Settings) -> None:
        self.gateway = gateway
        self.home = home
        self.state = state
        self.settings = own
        self.runs = 0

    async def connect(self, role: str = "sync") -> Connection:
        return await connect(self.settings, self.home, role, events.ignore)

    @contextlib.asynccontextmanager
    async def as_client(self, role: str, client_id: int | None = None) -> AsyncIterator[Connection]:
        """A connection for as long as the block lasts, as App.gateway gives one to those who ask for a role and a client id."""
        connection = await connect(self.settings, self.home, role, events.ignore, client_id=client_id)
        try:
            yield connection
        finally:
            await connection.close()

    async def sync(self, connection: Connection | None = None, **how: Any) -> SyncRun:
        """One sync on a connection of its own, or on the one given."""
        own = connection or await self.connect()
        self.runs += 1
        try:
            return await Syncer(own, self.home, self.state, self.settings).sync(f"run-{self.runs}", events.ignore, **how)
        finally:
            if connection is None:
                await own.close()


@pytest.fixture
def stage() -> Iterator[Callable[..., Any]]:
    """Run ``act(stage)`` with a gateway serving a scenario; every socket is closed after it."""
    made: list[Path] = []

    def run(act: Callable[[Stage], Awaitable[Any]], scenario: str = "default", timeout: float = 1.0) -> Any:
        async def main() -> Any:
            # The shares below are larger, each for itself, than what the login may send in all.
            gateway = Gateway(scenarios.load(scenario), quotes_every=0.05, account_every=0.1, pacing=False)
            port = await gateway.start()
            root = Path(tempfile.mkdtemp(prefix="v6-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
            made.append(root)
            home = new_home.make(root / "h", "demo", port=port)
            tables.create(home.lake)
            loaded = settings.load(home)
            quick = msgspec.structs.replace(
                loaded,
                gateway=msgspec.structs.replace(loaded.gateway, timeout=timeout),
                greeks=msgspec.structs.replace(loaded.greeks, wait=0.5, budget=2.0),
                messages=msgspec.structs.replace(loaded.messages, sync=45, look=45),
            )
            try:
                with open_state(home) as state:
                    return await act(Stage(gateway, home, state, quick))
            finally:
                await gateway.close()
                assert gateway.connections == []

        return asyncio.run(main())

    yield run
    for root in made:
        shutil.rmtree(root, ignore_errors=True)
