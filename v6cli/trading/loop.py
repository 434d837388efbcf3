"""The service v6-trading: it knows what became of every order of v6, and lets none that opens work while trading is not active.

It decides nothing by itself. It executes orders on request, follows each to its end, and starts and runs in any trading state: the
gate holds the orders. It depends on IB and on the state alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo

from v6cli import clock, control, latch, locks, settings
from v6cli.broker import account, orders
from v6cli.broker.connection import connect
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import BadInput, CannotWrite, GatewayUnavailable, OutcomeUnknown, Refused, V6Error
from v6cli.events import Event, Note, Report
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.models import Alert, Order, Severity, WorkingOrder
from v6cli.settings import Settings
from v6cli.state import alerts, intents
from v6cli.state.database import State
from v6cli.trading import resolve
from v6cli.trading.execution import Desk, End, Working

SERVICE = "v6-trading"
PULSE = 0.25  # wall seconds between two looks at the latch
ASK_EVERY = 20.0  # wall seconds after which an order that is silent is asked for
CANCEL_WITHIN = 5.0
LONGEST_BACKOFF = 30.0
log = logging.getLogger(SERVICE)


class Trading:
    """The loop, its connection while there is one, and the orders that work."""

    def __init__(self, home: Home, own: Settings, state: State) -> None:
        self._home = home
        self._settings = own
        self._state = state
        self._settled: asyncio.Future[Desk] = asyncio.get_running_loop().create_future()  # the desk, once it may be used
        self._working: dict[str, Working] = {}
        self._failures = 0
        self._run = ""

    async def run(self) -> None:
        """Trade until cancelled. A gateway that goes away is waited for, with growing pauses."""
        run = locks.begin_run(self._home, SERVICE)
        self._run = run.identity
        verbs: dict[str, control.Verb] = {"cancel": self.cancel, "execute": self.execute}
        try:
            async with await control.serve(self._home.control_socket(SERVICE), verbs):
                while True:
                    try:
                        async with self._connected() as desk:
                            await self._watch(desk)
                    except V6Error as error:
                        self._met(error)
                        await clock.pause(min(2.0 ** (self._failures - 1), LONGEST_BACKOFF))
                        self._settings = settings.fresh(self._home, self._settings, log)
        finally:
            run.end()

    # What others ask for, over the control socket.

    async def cancel(self, perm_id: int) -> dict[str, object]:
        """Cancel one of this client id's orders; how it ended. Raises BadInput, Refused, OutcomeUnknown, GatewayUnavailable."""
        desk = await self._at_desk()
        found = next((one for one in await orders.working(desk.connection) if one.perm_id == perm_id), None)
        if found is None:
            raise BadInput(f"no order {perm_id} works at the gateway", next_step="v6 orders")
        known = next((working for working in self._working.values() if working.recorded.order_ref == found.order_ref), None)
        if known is not None:
            return _told(await self._cancelled(known))
        await orders.cancel(desk.connection, found)
        return await self._gone(desk, perm_id)

    async def execute(self, order: dict[str, object], purpose: str, report: Report) -> dict[str, object]:
        """Send an order that may open a position, and follow it to its end. Raises Refused, GatewayUnavailable, OutcomeUnknown."""
        import msgspec

        desk = await self._at_desk()
        wanted = msgspec.convert(order, Order)
        recorded = intents.record(self._state, wanted, self._run, desk.connection.client_id, desk.next_order_id(), purpose)
        report(Note(f"recorded as {recorded.order_ref}"))
        working = await desk.place(recorded)
        self._working[recorded.intent] = working
        try:
            while (end := await working.ended(1.0)) is None:
                pass
        except GatewayUnavailable as error:
            raise OutcomeUnknown(f"what became of {recorded.order_ref} was not heard: {error.message}", next_step="v6 orders") from error
        return _told(end)

    # One connection.

    async def _watch(self, desk: Desk) -> None:
        """Settle what was left open, then follow what works, until the connection is gone."""
        await self._settle_what_was_left(desk)
        self._settled.set_result(desk)
        self._failures = 0
        asked = float("-inf")
        others = asyncio.ensure_future(self._settle_what_others_leave(desk))
        try:
            while desk.connection.client.connected:
                await self._hold_to_the_latch(desk)
                for intent, working in list(self._working.items()):
                    if end := await working.ended(0) or await working.refused():
                        self._done(intent, working, end)
                if clock.monotonic() - asked >= ASK_EVERY:
                    await self._ask_about_the_silent(desk)
                    asked = clock.monotonic()
                await desk.heard.change(PULSE)
            raise GatewayUnavailable("the connection to the gateway was lost")
        except asyncio.CancelledError:
            await self._take_back(desk)
            raise
        finally:
            others.cancel()
            await asyncio.gather(others, return_exceptions=True)

    async def _settle_what_was_left(self, desk: Desk) -> None:
        """Find out what became of open orders, and follow those that work; two of one intent are both cancelled."""
        for verdict in await resolve.resolve(desk.connection, self._state, desk.zone):
            if len(verdict.alive) == 1:
                working = Working(desk, intents.resumed(verdict.intent, verdict.alive[0].order_id))
                self._working[verdict.intent.intent] = working
                log.info("%s works: %s", working.recorded.order_ref, resolve.describe(working.recorded.order))
            elif verdict.alive:
                for one in verdict.alive:
                    await orders.cancel(desk.connection, one)
            else:
                log.info("%s: %s", verdict.intent.order_refs[-1], verdict.ending)

    async def _settle_what_others_leave(self, desk: Desk) -> None:
        """Again and again, beside the watch: the client id of one that has died may be taken for a while, and a halt does not wait for it."""
        while True:
            try:
                await self._settle_what_others_left(desk)
            except (Refused, GatewayUnavailable, CannotWrite) as error:
                log.warning("what others left is not settled yet: %s", error.message)
            await clock.pause(ASK_EVERY)

    async def _settle_what_others_left(self, desk: Desk) -> None:
        """The open intents of runs that have ended under other client ids, asked for under each one's own, if nobody has it."""
        left = {
            one.client_id
            for one in intents.unsettled(self._state)
            if one.state == "open" and one.client_id != desk.connection.client_id and not locks.lives(self._home, one.run)
        }
        for client_id in sorted(left):
            try:
                connection = await connect(self._settings, self._home, "trading", _log, client_id=client_id)
            except ClientIdInUse:
                continue  # whoever has it settles them
            try:
                for verdict in await resolve.resolve(connection, self._state, desk.zone):
                    for one in verdict.alive if not locks.lives(self._home, verdict.intent.run) else ():
                        await orders.cancel(connection, one)
                await resolve.resolve(connection, self._state, desk.zone)
            finally:
                await connection.close()

    async def _hold_to_the_latch(self, desk: Desk) -> None:
        """While trading is not active, no order of this service that opens a position goes on working."""
        state = latch.read(self._home)
        if state.state is TradingState.ACTIVE:
            return
        for working in self._opening():
            if await working.cancel():
                log.warning("trading is %s: cancelling %s", state.state.value, working.recorded.order_ref)

    def _opening(self) -> list[Working]:
        return [working for working in self._working.values() if not working.recorded.closing]

    async def _ask_about_the_silent(self, desk: Desk) -> None:
        """Orders of which nothing was heard lately are asked for; orders that nobody recorded are told of."""
        if silent := list(self._working.items()):  # those that were sent before the lists are asked for: they say nothing of later ones
            answer = await resolve.ask(desk.connection)
            for intent, working in silent:
                if end := working.judged(answer):
                    self._done(intent, working, end)
                else:
                    working.cancelling = False  # a cancel that came to nothing is asked for again
        if latch.read(self._home).state is not TradingState.ACTIVE:
            await self._cancel_what_nobody_recorded(desk)

    async def _cancel_what_nobody_recorded(self, desk: Desk) -> None:
        """Orders under this client id without a record, as of a state begun anew: those that do not reduce a position are cancelled."""
        mine = [one for one in await orders.working(desk.connection) if one.client_id == desk.connection.client_id]
        strange = [one for one in mine if not intents.known(self._state, one.order_ref)]
        held = await account.position_sizes(desk.connection) if strange else {}
        for one in strange:
            if not _reduces(one, held):
                log.warning("cancelling order %s (%s), of which there is no record", one.perm_id, one.contract)
                await orders.cancel(desk.connection, one)

    async def _take_back(self, desk: Desk) -> None:
        """About to end: what may open a position does not go on working unwatched while trading is not active."""
        try:
            async with clock.timeout(CANCEL_WITHIN):
                await self._hold_to_the_latch(desk)
                for working in self._opening():
                    if working.cancelling and (end := await working.ended(CANCEL_WITHIN)):
                        log.info("%s: %s", working.recorded.order_ref, end.ending)
        except (TimeoutError, V6Error) as error:
            why = error.message if isinstance(error, V6Error) else f"their cancels were not answered within {CANCEL_WITHIN:g} s"
            log.warning("orders may be left working: %s", why)

    async def _cancelled(self, working: Working) -> End:
        await working.cancel()
        end = await working.ended(CANCEL_WITHIN) or await working.asked()
        if end is None:
            raise OutcomeUnknown(f"the cancel of {working.recorded.order_ref} has not been answered", next_step="v6 orders")
        return end

    def _done(self, intent: str, working: Working, end: End) -> None:
        del self._working[intent]
        log.info("%s: %s, %g filled%s", working.recorded.order_ref, end.ending, end.filled, f" ({end.why})" if end.why else "")

    async def _gone(self, desk: Desk, perm_id: int) -> dict[str, object]:
        """Wait until an order without a record is listed no more. Raises OutcomeUnknown, GatewayUnavailable."""
        deadline = clock.monotonic() + CANCEL_WITHIN
        while any(one.perm_id == perm_id for one in await orders.working(desk.connection)):
            if clock.monotonic() >= deadline:
                raise OutcomeUnknown(f"the cancel of order {perm_id} has not been answered", next_step="v6 orders")
            await clock.pause(PULSE)
        await desk.connection.must_reach_ib()
        return _told(End("cancelled", 0.0, why="it is listed no more; what it filled is among the executions"))

    async def _at_desk(self) -> Desk:
        """The desk, once what was left open is settled. Raises GatewayUnavailable."""
        try:
            async with clock.timeout(CANCEL_WITHIN):
                return await asyncio.shield(self._settled)
        except TimeoutError:
            raise GatewayUnavailable(f"{SERVICE} is not connected to the gateway") from None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Desk]:
        connection = await connect(self._settings, self._home, "trading", _log)
        log.info("connected to the gateway at %s:%s", self._settings.gateway.host, self._settings.gateway.port)
        self._working.clear()
        try:
            yield Desk(connection, self._state, self._home, ZoneInfo(self._settings.gateway.time_zone))
        finally:
            if self._settled.done():
                self._settled = asyncio.get_running_loop().create_future()
            await connection.close()

    def _met(self, error: V6Error) -> None:
        """Something failed: say so in the log and, where somebody else has this service's place, as an alert."""
        self._failures += 1
        log.warning("%s", error.message)
        if isinstance(error, ClientIdInUse | Refused):
            try:
                alerts.raise_alert(self._state, Alert("trading-refused", Severity.CRITICAL, error.message, error.next_step or "v6 health"))
            except CannotWrite as refused:
                log.error("the alert could not be written: %s", refused.message)  # noqa: TRY400  its traceback says no more


def _reduces(order: WorkingOrder, held: dict[int, float]) -> bool:
    """Whether the order can only make a position smaller."""
    sign = 1 if order.action == "BUY" else -1
    position = held.get(order.contract.con_id, 0.0)
    return position * sign < 0 and order.quantity - order.filled <= abs(position)


def _told(end: End) -> dict[str, object]:
    return {"ending": end.ending, "filled": end.filled, "average": end.average, "why": end.why}


def _log(event: Event) -> None:
    if isinstance(event, Note):
        log.info("%s", event.text)
