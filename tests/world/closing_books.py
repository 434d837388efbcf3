"""Whether closings and shutdowns say what is so: their last word against what the gateway has at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from unittest.mock import patch

from v6cli import clock
from v6cli.broker.ib import Client
from v6cli.errors import OutcomeUnknown, Refused
from v6cli.events import Report
from v6cli.home import Home
from v6cli.models import Contract
from v6cli.runbook.close_all import CloseAll, Grown
from v6cli.runbook.shutdown import Shutdown
from v6cli.simulator.orders import Order
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import Process
from v6cli.trading.flatten import Left, Stopped

from .order_books import LAG, Books

_WORKING = re.compile(r"these orders may still work: (.*)$", re.DOTALL)


class ClosingBooks(Books):
    """As `Books`, and each closing and shutdown is judged as it ends. ``met`` counts how they ended."""

    def __init__(self, home: Home, gateway: Gateway, met: Counter[str]) -> None:
        super().__init__(home, gateway)
        self.met = met
        self._came_at: dict[int, datetime] = {}
        self._first_written: dict[str, datetime] = {}
        self._proven: datetime | None = None
        self._opened: list[tuple[str, int]] = []
        self.of_others: set[str] = set()  # references of orders on what is not held: only a cancel of everything may take them

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """As `Books.hearing`, and of each closing and shutdown that comes to its end."""
        confirm, close, shut, more = CloseAll._confirm, CloseAll.carry_out, Shutdown.carry_out, CloseAll.agree_to_more
        cancel = Client.cancel_order
        asked: dict[int, datetime] = {}

        async def confirms(closing: CloseAll, *how: object) -> list[Left]:
            asked[id(closing)] = clock.now()
            return await confirm(closing, *how)  # type: ignore[arg-type]

        async def closes(closing: CloseAll, report: Report) -> list[Left]:
            try:
                left = await close(closing, report)
            except OutcomeUnknown as error:
                self._judge_words(closing, error)
                raise
            except (Refused, asyncio.CancelledError) as error:
                self._judge_stop(closing, error)
                raise
            self._judge_left(closing, left, asked[id(closing)])
            return left

        async def shuts(shutdown: Shutdown, report: Report) -> None:
            began = clock.now()
            await shut(shutdown, report)
            self._judge_shutdown(shutdown, began)

        def agrees(closing: CloseAll, ask: Callable[[str], str] | None, grown: Grown) -> None:
            try:
                more(closing, ask, grown)
            except Refused as error:
                if "nothing was closed" in error.message and (sent := self._first_written.keys() & self._refs_of(closing)):
                    self._note(f"{closing.wish.what} says {error.message!r}, and has sent {sorted(sent)}")
                raise

        async def cancels(client: Client, order_id: int) -> None:
            for order in self._gateway.book.alive:
                if (order.client_id, order.order_id) == (client._ib.client.clientId, order_id) and order.order_ref in self.of_others:
                    self._note(f"{order.order_ref}, on what nobody closes, is cancelled")
            await cancel(client, order_id)

        with (
            super().hearing(),
            patch.object(Client, "cancel_order", cancels),
            patch.object(CloseAll, "agree_to_more", agrees),
            patch.object(CloseAll, "_confirm", confirms),
            patch.object(CloseAll, "carry_out", closes),
            patch.object(Shutdown, "carry_out", shuts),
        ):
            yield

    @property
    def held(self) -> dict[int, float]:
        """What the account holds and can trade."""
        found = self._gateway.account.holdings.values()
        today = clock.today()
        return {
            one.contract.con_id: one.quantity for one in found if one.quantity and not (one.contract.expiry and one.contract.expiry < today)
        }

    # What is written, and what comes.

    def wrote(self, process: Process | None, data: bytes) -> None:
        super().wrote(process, data)
        if self._about is not None:
            self._first_written.setdefault(self._about[1].orderRef, clock.now())

    def _came(self, order: Order) -> None:
        super()._came(order)
        self._came_at[order.perm_id] = clock.now()
        written = self._first_written.get(order.order_ref)
        if self._proven is not None and written is not None and written < self._proven:
            self._note(f"{order.order_ref} arrived after a shutdown had proven that nothing works")

    def _traded(self, contract: Contract, quantity: float, price: float, fee: float, order_ref: str = "") -> float | None:
        row = self._row("SELECT i.closing FROM attempts a JOIN intents i USING (intent) WHERE a.order_ref = ?", order_ref)
        if row is not None and not row[0]:
            self._opened.append((order_ref, contract.con_id))
        return super()._traded(contract, quantity, price, fee, order_ref)

    def _opened_unseen(self, con_id: int, asked: datetime) -> bool:
        """Whether an opening order that v6 wrote since then filled: trading was resumed, and no list need have shown it."""
        return any(known == con_id and self._first_written[ref] >= asked for ref, known in self._opened)

    # Last words.

    def _judge_left(self, closing: CloseAll, left: list[Left], asked: datetime) -> None:
        self.met["left" if any(one.quantity for one in left) else "may work yet" if left else "flat"] += 1
        said = {one.contract.con_id: one.quantity for one in left}
        held = self.held
        for con_id in said if not closing.wish.everything else sorted({*said, *held}):
            wrong = abs(said.get(con_id, 0.0) - held.get(con_id, 0.0)) > 1e-9
            if wrong and not self.moved(con_id, asked - LAG) and not self._opened_unseen(con_id, asked):
                self._note(f"{closing.wish.what} says {said.get(con_id, 0.0):+g} of {con_id}, the gateway has {held.get(con_id, 0.0):+g}")
        for one in left:
            if not one.why:
                self._note(f"{closing.wish.what} leaves {one.contract} and does not say why")
        said_of = " ".join(one.why for one in left)
        for order in self._alive_of(closing):
            if order.order_ref.rpartition(".")[0] not in said_of and str(order.perm_id) not in said_of:
                self._note(f"{closing.wish.what} has ended, and says nothing of {order.order_ref}, which works")

    def _judge_words(self, closing: CloseAll, error: OutcomeUnknown) -> None:
        self.met["not finished"] += 1
        found = _WORKING.search(error.message)
        named = set(re.split(r"[ ,;]+", found.group(1))) if found else set()
        for order in self._alive_of(closing):
            if order.order_ref not in named:
                self._note(f"{closing.wish.what} says {error.message!r}, and {order.order_ref} works")

    def _judge_stop(self, closing: CloseAll, error: BaseException) -> None:
        """It was stopped, by a halt or ^C, and names no order: then none of its works."""
        self.met["stopped"] += isinstance(error, Stopped)
        for order in self._alive_of(closing):
            self._note(f"{closing.wish.what} was stopped ({error!r}), says nothing of {order.order_ref}, and it works")

    def _alive_of(self, closing: CloseAll) -> list[Order]:
        """This closing's orders that work at the gateway."""
        refs = self._refs_of(closing)
        return [order for order in self._gateway.book.alive if order.order_ref in refs]

    def _refs_of(self, closing: CloseAll) -> set[str]:
        found = self._record.execute("SELECT a.order_ref FROM attempts a JOIN intents i USING (intent) WHERE i.run = ?", (closing._run,))
        return {ref for (ref,) in found.fetchall()}

    def _judge_shutdown(self, shutdown: Shutdown, began: datetime) -> None:
        self.met[f"shutdown {shutdown.exit_code}"] += 1
        if shutdown.keeper.record.exit_code != shutdown.exit_code:
            self._note(f"the record of a shutdown says {shutdown.keeper.record.exit_code}, it ended with {shutdown.exit_code}")
        if shutdown.exit_code:
            return
        proof = next(step for step in shutdown.keeper.record.steps if step.name == "proof")
        if not shutdown.wish.keep_orders:
            for order in self._gateway.book.alive:
                if self._came_at.get(order.perm_id, began) < proof.began or order.order_ref in self._first_written:
                    self._note(f"a shutdown has proven that nothing works, and {order.perm_id} of client {order.client_id} does")
        self._proven = clock.now()
