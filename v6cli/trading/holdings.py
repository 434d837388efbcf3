"""What the account holds while positions are being closed: believed only where positions and executions agree.

Positions may lag the fills that changed them. So what was held at the beginning, and every execution since, must come to what the
gateway says is held now; where they do not, nothing is closed on that contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import timedelta
from math import fsum

from msgspec import Struct

from v6cli import clock
from v6cli.broker import orders
from v6cli.broker.account import position_sizes
from v6cli.broker.connection import Connection
from v6cli.errors import GatewayUnavailable
from v6cli.models import Fill
from v6cli.state import intents
from v6cli.state.database import State

EVERY = 1.0  # home seconds between two questions for executions
EPSILON = 1e-9


class Held(Struct, frozen=True):
    """Quantities by contract id that positions and executions agree on; ``asked`` is the turn of intents before they were asked for."""

    sizes: dict[int, float]
    asked: int


class Holdings:
    """The account's positions, watched by executions every second while it is open: ``async with``.

    ``lag`` is how long positions may lag, in home seconds: a contract that had a fill so lately when it was first looked at has to wait.
    """

    def __init__(self, connection: Connection, state: State, lag: float) -> None:
        self._connection = connection
        self._state = state
        self._lag = timedelta(seconds=lag)
        self._base: dict[int, float] = {}  # what was held of each contract when it was first believed
        self._in_base: dict[int, set[str]] = {}  # the executions that this knows of
        self._fills: dict[int, dict[str, Fill]] = {}
        self._foreign: dict[int, int] = {}
        self._held: dict[int, float] = {}
        self._sure: set[int] = set()
        self._asked = 0
        self._looks = 0
        self._turn = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Holdings:  # noqa: PYI034  nothing inherits from it
        self._note(await orders.executions(self._connection))
        self._foreign.clear()  # what came before the beginning surprises nobody
        self._watch = asyncio.ensure_future(self._keep_watching())
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._watch is not None
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)

    async def agreed(self, contracts: Collection[int], within: float) -> Held | None:
        """What is held of these contracts, asked for after this call; None where that is not agreed on in ``within`` home seconds.

        Raises GatewayUnavailable.
        """
        deadline = clock.now() + timedelta(seconds=within)
        while True:
            await self._look_anew(contracts)
            if all(con_id in self._sure for con_id in contracts):
                return Held({con_id: self._held.get(con_id, 0.0) for con_id in contracts}, self._asked)
            if clock.now() >= deadline:
                return None
            await clock.sleep(EVERY)

    def foreign(self, contracts: Collection[int]) -> int:
        """How many executions of somebody else these contracts have had so far. Raises GatewayUnavailable where nobody watches any more."""
        if self._watch is not None and self._watch.done():
            raise GatewayUnavailable("executions are watched no more") from self._watch.exception()
        return sum(self._foreign.get(con_id, 0) for con_id in contracts)

    async def _keep_watching(self) -> None:
        while True:
            await clock.sleep(EVERY)
            async with self._turn:
                self._note(await orders.executions(self._connection))

    async def _look_anew(self, contracts: Collection[int]) -> None:
        """Wait for a look that began after this call; of those who wait, one looks for all."""
        wanted = self._looks + 1
        async with self._turn:
            if self._looks < wanted:
                self._looks += 1
                await self._look(contracts)

    async def _look(self, contracts: Collection[int]) -> None:
        asked = intents.turn(self._state)
        before = {fill.exec_id for fill in await orders.executions(self._connection)}
        held = await position_sizes(self._connection)
        fills = await orders.executions(self._connection)
        self._note(fills)
        self._held, self._asked = held, asked
        amid = {fill.contract.con_id for fill in fills if fill.exec_id not in before}
        for con_id in {*contracts, *held, *self._fills}:
            self._begin(con_id)
        self._sure = {con_id for con_id in self._base if con_id not in amid and self._agrees(con_id)}

    def _begin(self, con_id: int) -> None:
        """Believe what is held of a contract for the first time, unless a fill is so fresh that positions may not show it yet."""
        known = self._fills.get(con_id, {})
        if con_id not in self._base and not any(fill.at > clock.now() - self._lag for fill in known.values()):
            self._base[con_id] = self._held.get(con_id, 0.0)
            self._in_base[con_id] = set(known)

    def _agrees(self, con_id: int) -> bool:
        since = [fill for identity, fill in self._fills.get(con_id, {}).items() if identity not in self._in_base[con_id]]
        moved = fsum(fill.quantity if fill.side == "BOT" else -fill.quantity for fill in since)
        return abs(self._base[con_id] + moved - self._held.get(con_id, 0.0)) < EPSILON

    def _note(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            known = self._fills.setdefault(fill.contract.con_id, {})
            identity = fill.exec_id.rpartition(".")[0]  # what follows counts corrections of the same execution
            if identity not in known and not intents.known(self._state, fill.order_ref):
                self._foreign[fill.contract.con_id] = self._foreign.get(fill.contract.con_id, 0) + 1
            known[identity] = fill
