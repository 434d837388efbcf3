"""What is true now, each part looked up once and shared by every check that needs it.

Nothing here judges and nothing here hides: what could not be looked up is kept as the error that says why.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from msgspec import Struct

from v6cli import clock, latch
from v6cli.broker import account as broker_account
from v6cli.broker import orders
from v6cli.broker.connection import Connection
from v6cli.errors import V6Error
from v6cli.home import Home
from v6cli.latch import Latch
from v6cli.models import Account, Position
from v6cli.services import logs, processes
from v6cli.services.backend import Backend, ServiceState
from v6cli.services.processes import Found, Holder
from v6cli.settings import Settings
from v6cli.state import alerts, mirror
from v6cli.state.alerts import RaisedAlert
from v6cli.state.database import open_read_only
from v6cli.state.mirror import Mirror
from v6cli.threads import aside

T = TypeVar("T")
Open = Callable[[], AbstractAsyncContextManager[Connection]]


class GatewayFacts(Struct, frozen=True):
    """What one session with the gateway showed. ``skew`` is its clock minus ours, in wall seconds."""

    account: Account
    positions: list[Position]
    may_write: bool | V6Error
    skew: float
    farms_down: list[str]
    link_lost: bool


class GatewayProcess(Struct, frozen=True):
    """Processes of this machine: who listens at the gateway's port (None where nobody does, or where the gateway's host is
    another machine: not ``here``), and all that look like an IB gateway.
    """

    here: bool
    listens: Holder | None
    running: list[Found]


class StateFacts(Struct, frozen=True):
    """What the state file holds: the mirror of the last sync (None before the first) and the open alerts."""

    mirror: Mirror | None
    alerts: list[RaisedAlert]


class Machine(Struct, frozen=True):
    """Fractions in use: the disk of the home, and memory."""

    disk: float
    memory: float


class Facts:
    """The facts of one home, looked up on first use and only once, side by side.

    Each method raises the V6Error that says why a fact is not to be had.
    """

    def __init__(self, home: Home, settings: Settings, backend: Backend, open_gateway: Open) -> None:
        self.home = home
        self.settings = settings
        self._backend = backend
        self._open = open_gateway
        self._found: dict[str, asyncio.Future[Any]] = {}

    async def gateway(self) -> GatewayFacts:
        """One session: login, account, positions, whether orders may be written, clock. Raises GatewayUnavailable, Refused."""
        return await self._once("gateway", self._look_at_gateway)

    async def gateway_process(self) -> GatewayProcess:
        """The gateway's process on this machine."""
        return await self._once("process", lambda: aside(_look_for_process, self.settings.gateway.host, self.settings.gateway.port))

    async def services(self) -> list[ServiceState]:
        """The state of each service. Raises ServiceUnavailable."""
        return await self._once("services", lambda: aside(self._backend.status, ()))

    async def state(self) -> StateFacts:
        """Mirror and alerts. Raises Unavailable, also where the mirror is that of another account."""
        return await self._once("state", lambda: aside(_look_at_state, self.home, self.settings.account))

    async def lake_problems(self) -> list[str]:
        """What is wrong with the lake; empty when every table can be read."""
        from v6cli.lake.reader import readable

        return await self._once("lake", lambda: aside(readable, self.home.lake))

    async def machine(self) -> Machine:
        """Disk and memory."""
        return await self._once("machine", lambda: aside(_look_at_machine, self.home))

    async def errors(self, since: datetime) -> list[logs.Repeated]:
        """Errors in the logs of the services since then, the same ones counted together."""
        return await self._once(f"errors since {since:%Y-%m-%d %H:%M}", lambda: aside(self._read_errors, since))

    async def latch(self) -> Latch:
        """The trading state."""
        return await self._once("latch", lambda: aside(latch.read, self.home))

    async def _once(self, name: str, look: Callable[[], Awaitable[T]]) -> T:
        if name not in self._found:
            self._found[name] = asyncio.ensure_future(look())
            self._found[name].add_done_callback(_heard)
        found: T = await asyncio.shield(self._found[name])
        return found

    async def _look_at_gateway(self) -> GatewayFacts:
        async with self._open() as connection:
            (positions, account), skew, may_write, reaches_ib = await asyncio.gather(
                broker_account.positions_and_account(connection), _skew(connection), _may_write(connection), connection.reaches_ib()
            )
            return GatewayFacts(account, positions, may_write, skew, connection.farms_down, not reaches_ib)

    def _read_errors(self, since: datetime) -> list[logs.Repeated]:
        names = [state.name for state in self._backend.status(())]
        files = [path for name in names for path in self._backend.log_files(name)]
        return logs.summarise(logs.read(files, since=since, level="error"))


def _heard(found: asyncio.Future[Any]) -> None:
    """What nobody waits for any more, because its step ran out of time, is no reason for a complaint of asyncio's."""
    if not found.cancelled():
        found.exception()


async def _skew(connection: Connection) -> float:
    """The gateway's clock minus ours, in home time: its answer is taken for the middle of the round trip, and of the second it names."""
    asked = clock.now()
    theirs = await connection.client.current_time()
    middle = asked + (clock.now() - asked) / 2
    return float((theirs - middle).total_seconds() + 0.5)


async def _may_write(connection: Connection) -> bool | V6Error:
    try:
        return await orders.may_write(connection)
    except V6Error as error:
        return error


def _look_for_process(host: str, port: int) -> GatewayProcess:
    here = _is_this_machine(host)
    return GatewayProcess(here, processes.holder_of(port) if here else None, processes.gateway_processes())


def _is_this_machine(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"localhost", os.uname().nodename}


def _look_at_state(home: Home, account: str) -> StateFacts:
    with open_read_only(home) as state:
        seen = mirror.read(state)
        if seen is not None:
            seen.check_account(account)
        return StateFacts(seen, alerts.open_alerts(state))


def _look_at_machine(home: Home) -> Machine:
    import shutil

    import psutil

    usage = shutil.disk_usage(home.root)
    return Machine(disk=1 - usage.free / usage.total, memory=psutil.virtual_memory().percent / 100)


def back(seconds: float) -> datetime:
    """So long ago, in the time of the logs."""
    return clock.wall() - timedelta(seconds=seconds)


def sizes(positions: Sequence[Position]) -> dict[int, float]:
    """Quantity by contract id."""
    return {one.contract.con_id: one.quantity for one in positions}
