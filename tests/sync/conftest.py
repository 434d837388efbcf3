"""A simulated gateway on a real socket, a home in memory, and syncs between the two."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from v6cli import events, settings
from v6cli.broker.connection import Connection, connect
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.lake import tables
from v6cli.settings import Settings
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway
from v6cli.state.database import State, open_state
from v6cli.sync.reconcile import Syncer, SyncRun


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
            gateway = Gateway(scenarios.load(scenario), quotes_every=0.05, account_every=0.1)
            port = await gateway.start()
            root = Path(tempfile.mkdtemp(prefix="v6-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
            made.append(root)
            home = new_home.make(root / "h", "demo", port=port)
            tables.create(home.lake)
            loaded = settings.load(home)
            quick = msgspec.structs.replace(
                loaded,
                gateway=msgspec.structs.replace(loaded.gateway, timeout=timeout),
                greeks=msgspec.structs.replace(loaded.greeks, wait=0.5),
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
