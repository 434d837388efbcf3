"""One order from its record to its proven end: the only path on which v6 sends.

What a message says is a fact, what does not come is asked for, and what cannot be told stays open: an order that was sent is never
taken for dead because it is silent, nor because somebody asked for its cancel.
"""

from __future__ import annotations

import asyncio
from datetime import tzinfo

from msgspec import Struct

from v6cli import clock
from v6cli.broker import orders
from v6cli.broker.codes import Meaning
from v6cli.broker.connection import Connection
from v6cli.broker.ib import OrderStatus
from v6cli.errors import GatewayUnavailable, Refused
from v6cli.home import Home
from v6cli.models import RecordedIntent
from v6cli.permits import Permit
from v6cli.state import intents
from v6cli.state.database import State
from v6cli.state.intents import Ending
from v6cli.trading import resolve

REASON_WITHIN = 0.5  # wall seconds
REFUSALS = frozenset({"rejected", "refused", "read-only"})  # kinds of messages that may be all that is said of a dead order
ENDS: dict[str, Ending] = {"Filled": "filled", "Cancelled": "cancelled", "ApiCancelled": "cancelled", "Inactive": "rejected"}


class End(Struct, frozen=True):
    """How an order ended: ``filled`` of its quantity at ``average`` a share; ``code`` and ``why`` are IB's where it refused or cancelled."""

    ending: Ending
    filled: float
    average: float | None = None
    why: str = ""
    code: int | None = None


class Heard:
    """What the gateway says of the orders of one connection, by order id, as it says it."""

    def __init__(self, connection: Connection) -> None:
        self._statuses: dict[int, OrderStatus] = {}
        self._messages: dict[int, tuple[Meaning, str]] = {}
        self._waiting: dict[asyncio.Future[None], None] = {}
        connection.client.listen_to_orders(self._hear_status)
        connection.client.listen(self._hear_message)

    def message(self, order_id: int) -> tuple[Meaning, str] | None:
        """The last message about an order: what its code means, and IB's text."""
        return self._messages.get(order_id)

    def refusal(self, order_id: int) -> tuple[Meaning, str] | None:
        """The last message about an order, where it says that IB refuses something of it: the order itself, or a change of it."""
        said = self._messages.get(order_id)
        return said if said is not None and said[0].kind in REFUSALS else None

    def end(self, order_id: int) -> End | None:
        """How the order ended, where a status says so. An order that is Inactive while shares are located is alive."""
        said = self._statuses.get(order_id)
        if said is None or said.status not in ENDS or (said.status == "Inactive" and said.why_held):
            return None
        if said.status == "Filled" and said.remaining:
            return None
        if said.status == "Filled":
            return End("filled", said.filled, said.average)
        meaning, text = self._messages.get(order_id, (None, said.status))
        return End(ENDS[said.status], said.filled, said.average or None, text, meaning.code if meaning else None)

    async def change(self, within: float) -> None:
        """Wait until something is said of any order, at most ``within`` wall seconds."""
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[said] = None
        try:
            await clock.wait(said, within)
        finally:
            self._waiting.pop(said, None)

    async def reason(self, order_id: int, within: float) -> None:
        """Wait for a message about one order, at most ``within`` wall seconds, whatever is said of others meanwhile."""
        deadline = clock.monotonic() + within
        while order_id not in self._messages and (left := deadline - clock.monotonic()) > 0:
            await self.change(left)

    def _hear_status(self, said: OrderStatus) -> None:
        self._statuses[said.order_id] = said
        self._wake()

    def _hear_message(self, request: int, meaning: Meaning, text: str) -> None:
        self._messages[request] = (meaning, text)
        self._wake()

    def _wake(self) -> None:
        for said in self._waiting:
            said.set_result(None)
        self._waiting.clear()


class Desk:
    """Where a connection's orders are placed and seen to their end. ``zone`` is the gateway's own, in which its day ends."""

    def __init__(self, connection: Connection, state: State, home: Home, zone: tzinfo, permit: Permit | None = None) -> None:
        self.connection = connection
        self.state = state
        self.home = home
        self.zone = zone
        self.permit = permit
        self.heard = Heard(connection)

    def next_order_id(self) -> int:
        """An order id that no order of this client id has had. Raises GatewayUnavailable."""
        return self.connection.client.next_order_id(intents.last_order_id(self.state, self.connection.client_id))

    async def place(self, recorded: RecordedIntent) -> Working:
        """Send a recorded order. One that could not leave is ended as not sent. Raises Refused, GatewayUnavailable, CannotWrite."""
        try:
            await orders.send(self.connection, self.home, recorded, self.permit)
        except (Refused, GatewayUnavailable) as error:
            intents.end(self.state, recorded.intent, "not sent", 0.0, error.message)
            raise
        except asyncio.CancelledError:  # nothing is awaited from the write on: what is interrupted has not left
            intents.end(self.state, recorded.intent, "not sent", 0.0, "interrupted before it left")
            raise
        return Working(self, recorded)


class Working:
    """An order that was sent, until its end is recorded."""

    def __init__(self, desk: Desk, recorded: RecordedIntent) -> None:
        self.desk = desk
        self.recorded = recorded
        self.cancelling = False
        self.end: End | None = None  # once it is recorded
        self.refusal: tuple[Meaning, str] | None = None  # the last one that was looked into

    async def ended(self, within: float) -> End | None:
        """Wait for its end, at most ``within`` wall seconds; None while it lives. The end is recorded before this returns.

        Raises GatewayUnavailable where the connection is gone: what became of the order is then asked on another one.
        """
        deadline = clock.monotonic() + within
        while (end := self.end or self.desk.heard.end(self.recorded.order_id)) is None:
            if not self.desk.connection.client.connected:
                raise GatewayUnavailable(f"the connection was lost while the order {self.recorded.order_ref} worked")
            left = deadline - clock.monotonic()
            if left <= 0:
                return None
            await self.desk.heard.change(min(left, 1.0))
        if self.end is not None:
            return self.end
        if end.ending == "rejected" and end.code is None:  # IB's reason is a message of its own, before the status or after it
            await self.desk.heard.reason(self.recorded.order_id, REASON_WITHIN)
            end = self.desk.heard.end(self.recorded.order_id) or end
        return self._record(end)

    async def refused(self) -> End | None:
        """Its end, where IB refused it and says no more: asked for once after each refusal, for the order may live in spite of it.

        None where nothing was refused, or where it works. Raises GatewayUnavailable.
        """
        said = self.desk.heard.refusal(self.recorded.order_id)
        if said is not None and said is not self.refusal:
            await self.asked()
            self.refusal = said
        return self.end

    async def reprice(self, limit: float) -> bool:
        """Move its limit: recorded first, then sent under its own id. Raises as `Desk.place`; the order goes on working at the old one.

        False, and nothing is sent, where the order is dead or its cancel is asked for by the time the change may leave: it would be a
        new order.
        """
        await self.desk.connection.must_reach_ib()  # a modification sent while the link is down may become a second order
        if await self.refused():
            return False
        self.recorded = intents.modified(self.desk.state, self.recorded, limit)
        return await orders.send(self.desk.connection, self.desk.home, self.recorded, self.desk.permit, needless=self._ends)

    def _ends(self) -> bool:
        """Whether it has ended, or will, by all that is known without asking.

        Raises GatewayUnavailable where it works, and the link to IB was lost while its change waited for its turn.
        """
        if self.cancelling or self.desk.heard.end(self.recorded.order_id) is not None:
            return True
        if self.desk.connection.link_lost:
            raise GatewayUnavailable(f"the link to IB was lost before the order {self.recorded.order_ref} could be moved")
        return False

    async def cancel(self) -> bool:
        """Ask for its cancel; False where that was done before. It ends when the gateway says so, not now."""
        if self.cancelling:
            return False
        await self.desk.connection.client.cancel_order(self.recorded.order_id)
        self.cancelling = True
        return True

    async def asked(self) -> End | None:
        """Its end as the gateway's complete lists prove it; None while it works. Raises GatewayUnavailable."""
        return self.judged(await resolve.ask(self.desk.connection))

    def judged(self, answer: resolve.Answer) -> End | None:
        """As `asked`, where the lists are had already."""
        intent = intents.find(self.desk.state, self.recorded.order_ref)
        if end := self.desk.heard.end(self.recorded.order_id):
            return self._record(end)
        verdict = resolve.judge(intent, answer, self.desk.zone)
        if verdict.ending == "absent" and (refusal := self.desk.heard.refusal(self.recorded.order_id)):
            return self._record(End("rejected", 0.0, why=refusal[1], code=refusal[0].code))  # dead, and this is why
        resolve.settle(self.desk.state, verdict)
        if verdict.ending is not None and verdict.ending != "unknown":
            self.end = End(verdict.ending, verdict.filled or 0.0, why=verdict.why)
        return self.end

    def _record(self, end: End) -> End:
        intents.end(self.desk.state, self.recorded.intent, end.ending, end.filled, end.why, end.code)
        self.end = end
        return end
