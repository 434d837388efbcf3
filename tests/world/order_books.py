"""Whether v6's orders keep its promises: what it writes, what it recorded and what the gateway has, held against each other."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import fsum
from typing import Any
from unittest.mock import patch

from v6cli import clock, latch, permits
from v6cli.broker.ib import Client
from v6cli.home import Home
from v6cli.latch import Latch, TradingState
from v6cli.models import Contract
from v6cli.permits import Permit
from v6cli.runbook import halt
from v6cli.simulator.orders import Order
from v6cli.simulator.server import Gateway
from v6cli.simulator.ticket import Ticket
from v6cli.simulator.world import Process
from v6cli.state import intents
from v6cli.state.database import State
from v6cli.trading.flatten import Flatten
from v6cli.trading.holdings import Holdings

PLACE_ORDER = b"3\0"
STRANGERS = ("stranger",)  # processes that are none of v6's
#: The longest that positions lag behind what moved them without an execution.
LAG = timedelta(seconds=25)


class Books:
    """``wrong`` is what was found. Permits, halts whose barrier has returned and questions for positions are heard while v6 works."""

    def __init__(self, home: Home, gateway: Gateway) -> None:
        self.wrong: dict[str, None] = {}
        self.orders: dict[int, Order] = {}
        self.permits: dict[str, Permit] = {}
        self.asked: dict[str, datetime] = {}  # when the positions were asked for that an intent closes
        self.written = 0
        self._home = home
        self._gateway = gateway
        self._record = sqlite3.connect(home.state, isolation_level=None)
        self._standing: dict[str, TradingState] = {}
        self._names: dict[str, tuple[int, int]] = {}  # client id and order id under which an orderRef was written
        self._about: tuple[Client, Any] | None = None
        self._in_doubt: dict[str, None] = {}  # references of orders whose change came while the link was lost
        self._moved: list[tuple[datetime, int, float]] = []  # by others than v6
        self._looked: dict[int, datetime] = {}
        self._over: Counter[tuple[str, int]] = Counter()
        gateway.watch = self._judge_alive
        self._add, self._trade, self._arrive = gateway.book.add, gateway.account.trade, gateway.uplink.place
        gateway.book.add = self._came  # type: ignore[method-assign]
        gateway.account.trade = self._traded  # type: ignore[method-assign]
        gateway.uplink.place = self._arrived  # type: ignore[method-assign]

    def close(self) -> None:
        """Let the state file go."""
        self._record.close()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Hear of each order before it is written, of each intent that ends, of permits, halts and questions for positions."""
        place, end, grant, tighten, look, record = (
            Client.place,
            intents.end,
            permits.grant,
            halt.tighten,
            Holdings._look,
            Flatten._record,
        )

        def placed(client: Client, order_id: int, contract: Any, order: Any) -> None:
            self._about = client, order
            try:
                place(client, order_id, contract, order)
            finally:
                self._about = None

        def ended(state: State, intent: str, *how: Any, **more: Any) -> None:
            end(state, intent, *how, **more)
            self._judge_intent(intent)

        def granted(home: Home, run: str, *how: Any) -> Permit:
            self.permits[run] = grant(home, run, *how)
            return self.permits[run]

        def tightened(home: Home, *how: Any) -> Any:
            done = tighten(home, *how)
            if not done.kept:
                self.shut()
            return done

        async def looks(holdings: Holdings, *how: Any) -> None:
            began = clock.now()
            await look(holdings, *how)
            self._looked[id(holdings)] = began

        def recorded(flatten: Flatten, *how: Any) -> Any:
            made = record(flatten, *how)
            self.asked[made.intent] = self._looked[id(flatten._holdings)]
            return made

        with contextlib.ExitStack() as stack:
            for owner, name, instead in (
                (Client, "place", placed),
                (intents, "end", ended),
                (permits, "grant", granted),
                (halt, "tighten", tightened),
                (Holdings, "_look", looks),
                (Flatten, "_record", recorded),
            ):
                stack.enter_context(patch.object(owner, name, instead))
            yield

    # Halts.

    def shut(self) -> None:
        """The barrier of a halt has returned: every mark that stands now is obeyed from here on."""
        self._standing = {mark.name: mark.state for mark in latch.read(self._home).marks}

    def resuming(self, seen: Latch) -> None:
        """These marks are about to be removed."""
        for mark in seen.marks:
            self._standing.pop(mark.name, None)

    # What is written.

    def wrote(self, process: Process | None, data: bytes) -> None:
        """Judge what a process writes, at the moment it does."""
        if process is None or data[4:6] != PLACE_ORDER or process.name in STRANGERS:
            return
        self.written += 1
        if self._about is None:
            self._note("an order was written past Client.place")
            return
        client, order = self._about
        ref = order.orderRef
        row = self._row(
            "SELECT i.closing, i.state, i.client_id, i.run, a.order_id FROM attempts a JOIN intents i USING (intent) WHERE a.order_ref = ?",
            ref,
        )
        if row is None:
            self._note(f"{ref} was written without a record")
            return
        closing, state, client_id, run, order_id = row
        if state != "open":
            self._note(f"{ref} was written though it is {state}")
        if ref in self._names:
            self._judge_modification(client, ref)
        elif (client_id, order_id) in self._names.values():
            self._note(f"{ref} was written under the name of another order")
        if self._names.setdefault(ref, (client_id, order.orderId)) != (client_id, order_id) or order.orderId != order_id:
            self._note(f"{ref} was sent twice")
        self._judge_halts(ref, bool(closing), self.permits.get(run))

    def _judge_modification(self, client: Client, ref: str) -> None:
        """No modification is written while the link is known to be lost."""
        if self._gateway.uplink.lost:
            told = [meaning.kind for _, meaning, _ in client.messages if meaning.kind in {"lost", "restored"}]
            if told and told[-1] == "lost":
                self._note(f"{ref} was modified over a link that was known to be lost")

    def _judge_halts(self, ref: str, closing: bool, permit: Permit | None) -> None:
        for mark, state in self._standing.items():
            if not closing or (state is TradingState.HALTED and (permit is None or mark not in permit.halts)):
                self._note(f"{ref}, {'closing' if closing else 'opening'}, left after {state.value}")

    # What the gateway has.

    def _arrived(self, ticket: Ticket, now: datetime) -> None:
        """A modification that comes while the link is lost may become a second order: it may have been under way by then."""
        old = self._gateway.book.working(ticket.client_id, ticket.order_id)
        if old is not None and self._gateway.uplink.lost:
            self._in_doubt[old.order_ref] = None
        self._arrive(ticket, now)

    def _came(self, order: Order) -> None:
        self._add(order)
        self.orders[order.perm_id] = order
        row = self._row("SELECT i.state FROM attempts a JOIN intents i USING (intent) WHERE a.order_ref = ?", order.order_ref)
        if row is not None and row[0] not in {"open", "unknown"}:
            self._note(f"{order.order_ref} arrived though it is {row[0]}")

    def _judge_alive(self) -> None:
        for ref, count in Counter(order.order_ref for order in self._gateway.book.alive if order.order_ref).items():
            if count > 1 and ref not in self._in_doubt:
                self._note(f"{ref} is alive {count} times")

    def _traded(self, contract: Contract, quantity: float, price: float, fee: float, order_ref: str = "") -> float | None:
        holding = self._gateway.account.holdings.get(contract.con_id)
        before = holding.quantity if holding is not None else 0.0
        realized = self._trade(contract, quantity, price, fee, order_ref)
        row = self._row("SELECT i.closing, i.intent FROM attempts a JOIN intents i USING (intent) WHERE a.order_ref = ?", order_ref)
        if row is None:
            self._moved.append((clock.now(), contract.con_id, quantity))
        elif row[0]:
            over = abs(quantity) if before * quantity >= 0 else max(0.0, abs(quantity) - abs(before))
            self._over[order_ref, contract.con_id] += over
            since = self.asked.get(row[1], clock.now()) - LAG
            allowed = self.moved(contract.con_id, since)
            if self._over[order_ref, contract.con_id] > allowed:
                self._note(f"{order_ref} closes, and opened {self._over[order_ref, contract.con_id]:g} of {contract}")
        return realized

    def moved(self, con_id: int, since: datetime) -> float:
        """How much others than v6 have moved a position since then."""
        return fsum(abs(moved) for at, known, moved in self._moved if known == con_id and at >= since)

    # What is recorded.

    def judge_the_end(self) -> None:
        """Every intent against the gateway's books, and what may be unknown."""
        for (intent,) in self._record.execute("SELECT intent FROM intents ORDER BY number").fetchall():
            self._judge_intent(intent)

    def _judge_intent(self, intent: str) -> None:
        row = self._row("SELECT state, filled, minted FROM intents WHERE intent = ?", intent)
        assert row is not None
        state, filled, minted = row
        if state == "open":
            return
        if state == "unknown":
            if datetime.fromisoformat(minted).astimezone(clock.eastern()).date() == clock.today():
                self._note(f"{intent} is unknown, and it is of today")
            return
        refs = {ref for (ref,) in self._record.execute("SELECT order_ref FROM attempts WHERE intent = ?", (intent,)).fetchall()}
        orders = [order for order in self.orders.values() if order.order_ref in refs]
        if any(order.alive for order in orders):
            self._note(f"{intent} is {state} while its order works")
        if abs(fsum(order.filled for order in orders) - (filled or 0.0)) > 1e-9:
            self._note(f"{intent} is {state} with {filled} filled, the gateway has {fsum(order.filled for order in orders):g}")

    def _row(self, sql: str, *parameters: str) -> Any:
        return self._record.execute(sql, parameters).fetchone()

    def _note(self, what: str) -> None:
        self.wrong[f"{what}, at {clock.show(clock.now())}"] = None
