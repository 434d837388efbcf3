"""The gateway itself: who is connected, under which client id, and which function answers what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from v6cli import clock
from v6cli.errors import CannotWrite
from v6cli.models import Contract
from v6cli.simulator import answers, beat, farms, faults
from v6cli.simulator import state as states
from v6cli.simulator.account import Account
from v6cli.simulator.book import Book
from v6cli.simulator.chains import Chains
from v6cli.simulator.checks import Refused
from v6cli.simulator.connection import Connection
from v6cli.simulator.desk import Desk
from v6cli.simulator.faults import Faults, Parameter
from v6cli.simulator.floor import Floor
from v6cli.simulator.holdings import stock_listing
from v6cli.simulator.link import Link
from v6cli.simulator.managed import Managed
from v6cli.simulator.market import Market, moved
from v6cli.simulator.mishaps import Mishaps
from v6cli.simulator.outside import Outside
from v6cli.simulator.pacing import HistoryPace, MessagePace
from v6cli.simulator.quotes import Quoter
from v6cli.simulator.scenario import Scenario, replay
from v6cli.simulator.scripted import working
from v6cli.simulator.sessions import Calendar, Exchange, day_of, new_york_exchanges
from v6cli.simulator.statement import Statement
from v6cli.simulator.uplink import Uplink
from v6cli.simulator.wire import Request

logger = logging.getLogger(__name__)

_LISTENING_BACKLOG = 100
_IDS_AHEAD = 100


class Gateway:
    """A simulated IB gateway for one account.

    ``connections`` are all open sockets, ``clients`` those that started the API, by client id. ``quotes_every`` (the scenario's
    cadence when left out) and ``account_every`` are wall seconds between pushes. ``watch`` is called after each request and each
    beat. The file ``state`` keeps account, orders and ids across restarts.
    Positions are resolved when the gateway is made, unless they were saved there: raises BadConfiguration.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        calendar: Calendar = new_york_exchanges,
        quotes_every: float | None = None,
        account_every: float = 3.0,
        pacing: bool = True,
        state: Path | None = None,
    ) -> None:
        self.scenario = scenario
        self.pacing = pacing
        self.exchange = Exchange(always=scenario.market == "always", calendar=calendar)
        now = clock.now()
        replayed = replay(scenario, moved(now))
        self.market = Market(scenario.seed, self.exchange, [stock_listing(stock) for stock in scenario.stocks], replayed)
        self.chains = Chains(self.exchange, self.market.listings)
        self.account = Account(scenario, self.market, now)
        self.faults = Faults(scenario.faults)
        self.quoter = Quoter(self.market, self.account.holdings, self.faults)
        self._state = state
        self._unsaved = state is not None
        self._next_ids: dict[int, int] = {}
        self._saved_ids: dict[int, int] = {}
        saved = states.load(state, self.account.id, scenario.seed, self.market.listings) if state is not None else None
        if saved is None:
            self.book = Book(working(scenario, self.account.initial, day_of(now).toordinal()))
        else:
            self.account.restore(saved.cash, saved.initial, saved.holdings, saved.fills)
            self.book = Book(saved.at_ib, saved.ended, saved.highest_ids, saved.numbers)
            self._next_ids, self._saved_ids = dict(saved.next_ids), dict(saved.next_ids)
        self.statement = Statement(self.account, self.faults)
        self.announcer = answers.Announcer(self)
        mishaps = Mishaps(self.faults)
        reached = min(saved.at, now) if saved is not None else now
        self.floor = Floor(self.book, self.account, self.market, self.chains, self.quoter, self.announcer, mishaps, reached)
        self.desk = Desk(self.account, self.floor, self.announcer, mishaps, scenario.cancel_seconds)
        self.message_pace = MessagePace()
        self.history_pace = HistoryPace()
        self.link = Link(self)
        self.uplink = Uplink(self.desk, self.faults, self._refused)
        self._outside = Outside(self.account, self.market, self.floor, self.desk, self.uplink, self.announcer, self._binds_orders_by_hand)
        self.managed = Managed(self.account, self.statement, self.faults, self.market)
        self.faults.changed = self._announce
        self.watch: Callable[[], None] = lambda: None
        self._connections: dict[Connection, None] = {}
        self._clients: dict[int, Connection] = {}
        self._quotes_every = scenario.cadence if quotes_every is None else quotes_every
        self._account_every = account_every
        self._server: asyncio.Server | None = None
        self._beat: asyncio.Task[None] | None = None
        for order in self.book.alive:
            self.use_id(order.client_id, order.order_id)

    @property
    def connections(self) -> list[Connection]:
        """Every open socket, oldest first."""
        return list(self._connections)

    @property
    def clients(self) -> dict[int, Connection]:
        """Connections that started the API, by client id."""
        return dict(self._clients)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen, and return the port: the one asked for, or a free one for 0. Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=_LISTENING_BACKLOG)
        self._beat = loop.create_task(beat.keep(self, self._quotes_every, self._account_every))
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and end every connection; returns when none is left."""
        if self._server is not None:
            self._server.close()
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
        for connection in self.connections:
            connection.drop("the gateway ends")
        while self._connections:
            await clock.pause(0)
        if self._server is not None:
            await self._server.wait_closed()
        self.save()
        self._server = self._beat = None

    # What connections report.

    def arrived(self, connection: Connection) -> None:
        """A socket was opened."""
        self._connections[connection] = None

    def gone(self, connection: Connection) -> None:
        """A socket came to its end; only now is its client id free again."""
        self._connections.pop(connection, None)
        if connection.client_id is not None and self._clients.get(connection.client_id) is connection:
            del self._clients[connection.client_id]

    def answer(self, connection: Connection, request: Request) -> None:
        """Answer one request. Before the API is started nothing else is."""
        if connection.client_id is None and request.kind != answers.START_API:
            connection.error(-1, 504, "Not connected")
            return
        try:
            self.advance()
            handler = answers.HANDLERS.get(request.kind, answers.refuse)
            if request.kind in answers.NEED_IB:
                self.uplink.ask(lambda _now: connection.attempt(request, lambda: handler(connection, request)), clock.now())
            else:
                handler(connection, request)
        finally:
            self.announcer.flush()
            self.watch()
        if connection.client_id is not None and request.id > 0:
            self.use_id(connection.client_id, request.id)

    def advance(self) -> None:
        """End the faults that have lasted, and work the orders, up to now."""
        now = clock.now()
        self.faults.advance(now)
        if not self.uplink.lost:
            self.floor.advance(now)

    # Client ids and order ids.

    def admit(self, connection: Connection, client_id: int) -> bool:
        """Take ``client_id`` for this connection; False when another still has it."""
        if client_id in self._clients:
            return False
        if self.faults.strikes("ids-roll-back") is not None:
            self.book.forget_ids(client_id)
            self._next_ids[client_id] = self._saved_ids[client_id] = self.book.highest_ids[client_id] + 1
        connection.client_id = client_id
        self._clients[client_id] = connection
        return True

    def next_id(self, client_id: int) -> int:
        """An id above every one this client id has used, in this or an earlier connection."""
        return self._next_ids.get(client_id, 1)

    def use_id(self, client_id: int, used: int) -> None:
        """Note that ``used`` is taken."""
        # Ids are Java's ints at the real gateway, and none is issued past the largest.
        if self.next_id(client_id) <= used < (1 << 31) - 1:
            self._next_ids[client_id] = used + 1
            if self._state is not None and used >= self._saved_ids.get(client_id, 0):
                # Ids are saved some way ahead: not every request costs a write.
                self._saved_ids[client_id] = min(used + _IDS_AHEAD, (1 << 31) - 1)
                self.changed()

    # What outlives this process.

    def changed(self) -> None:
        """Note that something has to be saved before it is told."""
        self._unsaved = self._state is not None

    def save(self) -> None:
        """Save what has changed since the last time, where it can be."""
        try:
            self.write_state()
        except CannotWrite as error:
            # Better a gateway without memory than none; the next change tries again.
            logger.warning("%s", error.message)

    def write_state(self) -> None:
        """Save what has changed since the last time. Raises CannotWrite."""
        if self._unsaved and self._state is not None:
            states.save(self._state, self.account, self.book, self._saved_ids, self.scenario.seed, self.floor.reached)
            self._unsaved = False

    # Faults.

    def _announce(self, name: str, begins: bool, forms: list[dict[str, Parameter]]) -> None:
        if begins:
            for form in forms:
                self._outside.happens(name, form)
        self.managed.update()
        self.link.changed(name, begins, forms)
        for code, text in farms.changes(begins, forms) if name == "farm-broken" else ():
            for connection in self._clients.values():
                connection.error(-1, code, text)

    def _refused(self, client_id: int, order_id: int, refusal: Refused) -> None:
        if client_id in self._clients:
            self._clients[client_id].error(order_id, refusal.code, refusal.text)

    def _binds_orders_by_hand(self) -> bool:
        client = self._clients.get(0)
        return client is not None and client.binds

    def lacks_greeks(self, contract: Contract) -> bool:
        """Whether computations of the option model are withheld for this contract."""
        holding = self.account.holdings.get(contract.con_id)
        if holding is not None and not holding.greeks:
            return True
        order_ref = holding.order_ref if holding is not None else ""
        return any(
            faults.concerns(held, contract) or order_ref in faults.names(held.get("of")) for held in self.faults.each("missing-greeks")
        )
