"""Closing positions, so that closing never opens: combos first, then legs, shorts before the longs that cover them.

Each order is as large as positions, asked for after the last order ended and agreeing with executions, allow. A price walks from the
middle to its cap. Whatever stops it, the orders of this run are cancelled and their end awaited; what is left open is said, and why.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from v6cli import clock
from v6cli.barrier import Halted, Shut
from v6cli.broker import orders
from v6cli.broker.contracts import Directory
from v6cli.errors import BadInput, OutcomeUnknown, Refused, V6Error
from v6cli.events import Doing, Note, Progress, Report
from v6cli.models import Contract, Leg, Order, RecordedIntent
from v6cli.sessions import next_open, open_at
from v6cli.state import intents
from v6cli.trading import resolve
from v6cli.trading.execution import Desk, End, Working
from v6cli.trading.holdings import Held, Holdings
from v6cli.trading.parts import How, Part, fits_a_combo, in_combos
from v6cli.trading.prices import Prices, Unfit, about

LOOK_AT_FILLS = 0.2  # wall seconds between two looks at what others filled, while an order works
CANCELLED_WITHIN = 10.0  # wall seconds
SOCKET = "v6-closing"  # the control socket at which a running closing is asked to cancel one of its orders
DUPLICATE_ID, OFF_TICK = 103, 110  # what IB refuses an order for that may be sent once more: under a new id, at a rounder price


class Left(Struct, frozen=True):
    """What is still open of a contract, and why; a quantity of 0 is an order that may still work though nothing is held."""

    contract: Contract
    quantity: float
    why: str


class Stopped(Refused):
    """The closing was stopped from outside: its permit is void, or somebody keeps the gate shut."""


class Flatten:
    """One closing of several parts, over one connection."""

    def __init__(self, desk: Desk, holdings: Holdings, run: str, how: How, lines: int, report: Report) -> None:
        self.desk = desk
        self.left: dict[int, Left] = {}
        self._holdings = holdings
        self._run = run
        self._how = how
        self._report = report
        self._directory = Directory(desk.connection)
        self._prices = Prices(desk.connection, self._directory, how, lines)
        self._held_by: dict[int, asyncio.Lock] = {}
        self._once_more: dict[tuple[tuple[int, ...], int], None] = {}
        self._working: dict[str, Working] = {}
        self._unwished: dict[int, None] = {}  # contracts of orders that somebody had cancelled
        self._in_hand: dict[int, Part] = {}  # which part is busy with a contract
        self._done = 0

    async def close(self, parts: Sequence[Part]) -> list[Left]:
        """Close them, side by side; what is left open. Raises Stopped, GatewayUnavailable: then no order of this run is left unwatched."""
        self._report(Progress("positions", 0, len(parts)))
        tasks = [asyncio.ensure_future(self._close(part, len(parts))) for part in parts]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return list(self.left.values())

    async def withdraw(self) -> list[Working]:
        """Cancel every order of this run and wait for all ends, for ten seconds at most; those whose end did not come."""
        sent = list(self._working.values())
        for working in sent:
            with contextlib.suppress(V6Error):
                await working.cancel()
        self._report(Note("stopped: the orders of this run are being cancelled"))  # only now: a terminal may take its time
        deadline = clock.monotonic() + CANCELLED_WITHIN  # of them all: what is said of one while another is waited for is heard, too
        silent = []
        for working in sent:
            try:
                end = await working.ended(max(0.0, deadline - clock.monotonic()))
            except V6Error:
                end = None
            if end is None:
                silent.append(working)
        return await self._unproven(silent)

    async def _unproven(self, silent: Sequence[Working]) -> list[Working]:
        """Which of these the gateway's complete lists do not prove dead either: asked for once, for one list at a time is complete."""
        if not silent:
            return []
        try:
            answer = await resolve.ask(self.desk.connection)
            return [working for working in silent if working.judged(answer) is None]
        except V6Error:
            return [working for working in silent if working.end is None]

    async def cancel(self, perm_id: int) -> dict[str, object]:
        """Cancel one of its orders at somebody's request, and leave what that was to close; how it ended.

        Raises BadInput where no order of this closing works under that number, OutcomeUnknown, GatewayUnavailable.
        """
        listed = {one.order_ref for one in await orders.working(self.desk.connection) if one.perm_id == perm_id}
        working = next((one for one in self._working.values() if one.recorded.order_ref in listed), None)
        if working is None:
            raise BadInput(f"no order {perm_id} of the closing that runs works at the gateway", next_step="v6 orders")
        for con_id in about(working.recorded.order):
            self._unwished[con_id] = None
        await working.cancel()
        end = await working.ended(CANCELLED_WITHIN) or await working.asked()
        if end is None:
            raise OutcomeUnknown(f"the cancel of {working.recorded.order_ref} has not been answered", next_step="v6 orders")
        return {"ending": end.ending, "filled": end.filled, "average": end.average, "why": end.why}

    async def _close(self, part: Part, of: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            # One order of a contract at a time; the locks are taken in one order, so that no two parts wait for each other.
            for con_id in sorted(own.con_id for own, _ in part.legs):
                await stack.enter_async_context(self._held_by.setdefault(con_id, asyncio.Lock()))
            self._in_hand.update((own.con_id, part) for own, _ in part.legs)
            try:
                await self._close_legs(part)
            finally:
                self._report(Doing(part.line, ""))
            self._report(Note(self._came_to(part)))
        self._done += 1
        self._report(Progress("positions", self._done, of))

    def _came_to(self, part: Part) -> str:
        """What became of a part, in a line."""
        left = [self.left[own.con_id] for own, _ in part.legs if own.con_id in self.left]
        return f"{part.label}: {left[0].quantity:+g} {left[0].contract} left, {left[0].why}" if left else f"{part.label}: closed"

    def _tell(self, order: Order, doing: str) -> None:
        """What an order is doing now, beside the strategy it closes and, where that is one of several legs, its contract."""
        part = self._in_hand[about(order)[0]]
        of = "" if order.legs or len(part.legs) == 1 else f", {order.contract}"
        self._report(Doing(part.line, f"{part.label}{of}: {order.action} {order.quantity:g} {doing}"))

    async def _close_legs(self, part: Part) -> None:
        """As a combo while that goes, then the shorts, then the longs."""
        wanted = {own.con_id: quantity for own, quantity in part.legs}
        contracts = {own.con_id: own for own, _ in part.legs}
        given_up: dict[int, str] = {}
        # A price that was typed is one leg's: a combo has a price of its own, in which it would be lost.
        as_combo = fits_a_combo(part) and not any(own.con_id in self._how.limits for own, _ in part.legs)
        while True:
            held = await self._holdings.agreed(list(wanted), self._how.own.lag + 10)
            if held is None:
                for con_id, quantity in wanted.items():
                    self._leave(contracts[con_id], quantity, "positions and executions do not agree: run it again")
                return
            rest = {con_id: _within(quantity, held.sizes[con_id]) for con_id, quantity in wanted.items()}
            wanted = {con_id: quantity for con_id, quantity in rest.items() if quantity}
            for con_id in wanted:
                if con_id in self._unwished:
                    given_up.setdefault(con_id, "somebody had its order cancelled: v6 orders cancel")
            open_ = {con_id: quantity for con_id, quantity in wanted.items() if con_id not in given_up}
            if not open_:
                break
            if as_combo and len(wanted) == len(part.legs) and (order := self._combo(part, wanted)):
                as_combo = await self._goes(order, held, contracts)
                continue
            await self._close_single(contracts, open_, held, given_up)
        for con_id, quantity in wanted.items():
            self._leave(contracts[con_id], quantity, given_up[con_id])

    async def _goes(self, order: Order, held: Held, contracts: Mapping[int, Contract]) -> bool:
        """Offer a combo; whether it filled, so that the rest is offered as one too."""
        try:
            end = await self._offer(order, held, [contracts[leg.contract.con_id] for leg in order.legs])
        except Unfit as error:
            self._report(Note(f"{order.contract.symbol}: not as a combo, {error.message}"))
            return False
        return end.ending == "filled" or self._may_be_sent_again(end, about(order))

    async def _close_single(
        self, contracts: Mapping[int, Contract], open_: Mapping[int, float], held: Held, given_up: dict[int, str]
    ) -> None:
        """One leg: a short while there is one; a long only once no short that it may cover is left."""
        shorts = [con_id for con_id, quantity in open_.items() if quantity < 0]
        stuck = [con_id for con_id in given_up if held.sizes[con_id] < 0]
        if not shorts and stuck:
            for con_id in open_:
                given_up[con_id] = f"it may cover {contracts[stuck[0]]}, which is still open"
            return
        con_id = (shorts or list(open_))[0]
        own, quantity = contracts[con_id], open_[con_id]
        size = min(abs(quantity), float(self._how.own.largest))
        order = Order(self.desk.connection.account, own, "BUY" if quantity < 0 else "SELL", size)
        try:
            end = await self._offer(order, held, [own])
        except Unfit as error:
            given_up[con_id] = error.message
            return
        if self._may_be_sent_again(end, about(order)):
            return
        if end.ending == "rejected":
            given_up[con_id] = f"IB refused it: {end.why}"
        elif not end.filled and self._prices.is_enough(con_id):
            given_up[con_id] = self._prices.unwanted(order)

    async def _offer(self, order: Order, held: Held, legs: Sequence[Contract]) -> End:
        """Offer an order at one price after the other, to its end. Raises Unfit, Stopped, GatewayUnavailable."""
        await self._check_hours(legs)
        first, further = await self._prices.limits(order, legs)
        recorded = self._record(order, first, held)
        try:
            working = await self.desk.place(recorded)
        except (Halted, Shut) as error:
            raise Stopped(error.message, next_step=error.next_step) from error
        self._working[recorded.intent] = working  # until its end is known: what stops the closing takes it back
        self._tell(order, f"offered {_at(first)}")
        end = await self._walk(working, further, [own.con_id for own in legs])
        del self._working[recorded.intent]
        self._tell(order, f"{end.ending} {_at(end.average)}" if end.ending == "filled" else end.ending)
        return end

    def _record(self, order: Order, limit: float | None, held: Held) -> RecordedIntent:
        import msgspec

        wanted = msgspec.structs.replace(order, limit=limit)
        desk = self.desk
        try:
            return intents.claim_close(
                desk.state, wanted, self._run, desk.connection.client_id, desk.next_order_id(), self._how.purpose, held.sizes, held.asked
            )
        except (intents.Claimed, intents.Stale) as error:
            raise Unfit(error.message) from error

    async def _walk(self, working: Working, further: Sequence[float], con_ids: Sequence[int]) -> End:
        """Rest at its limit, then at each further one, and take the order back after the last."""
        foreign = self._holdings.foreign(con_ids)
        ahead = iter(further)
        while not (end := await self._rest(working, con_ids, foreign)):
            limit = next(ahead, None)
            if limit is None or working.cancelling or self._holdings.foreign(con_ids) != foreign:
                return await self._take_back(working)
            try:
                limit = self._prices.rounded(limit, working.recorded.order)
                if await working.reprice(limit):
                    self._tell(working.recorded.order, f"moved to {limit:.10g}")
            except (Halted, Shut) as error:
                raise Stopped(error.message, next_step=error.next_step) from error
        return end

    async def _rest(self, working: Working, con_ids: Sequence[int], foreign: int) -> End | None:
        """Wait a dwell for its end, cut short by a fill of somebody else on the same contracts."""
        until = clock.monotonic() + self._how.own.dwell / clock.rate()
        while (left := until - clock.monotonic()) > 0:
            if end := await self._ended(working, min(LOOK_AT_FILLS, left)):
                return end
            if self._holdings.foreign(con_ids) != foreign:
                return None
        return None

    async def _ended(self, working: Working, within: float) -> End | None:
        """Its end, where that came or IB refused it; a price that is off the tick tells of a larger tick."""
        end = await working.ended(within) or await working.refused()
        if working.refusal is not None and working.refusal[0].code == OFF_TICK:
            self._prices.coarsen(about(working.recorded.order))
        return end

    def _may_be_sent_again(self, end: End, key: tuple[int, ...]) -> bool:
        """Whether IB refused it, dead as it is proven to be, for what another order would not have; once for each reason."""
        if end.ending == "filled" or end.code not in {DUPLICATE_ID, OFF_TICK} or (key, end.code) in self._once_more:
            return False
        self._once_more[key, end.code] = None
        return True

    async def _take_back(self, working: Working) -> End:
        await working.cancel()
        end = await working.ended(CANCELLED_WITHIN) or await working.asked()
        if end is None:
            raise Unfit(f"the cancel of {working.recorded.order_ref} has not been answered: whether it fills is not known")
        return end

    async def _check_hours(self, legs: Sequence[Contract]) -> None:
        """Raise Unfit where a leg has expired, or does not trade now."""
        for own in legs:
            if own.expiry is not None and own.expiry < clock.today():
                raise Unfit("it has expired: IB removes it")
            hours = (await self._directory.details(own)).hours
            if open_at(hours, clock.now()) is False and not self._how.queue:
                opens = next_open(hours, clock.now())
                raise Unfit(f"it does not trade now{f': it opens {clock.show(opens)}' if opens else ''}; --queue sends all the same")

    def _combo(self, part: Part, wanted: Mapping[int, float]) -> Order | None:
        """The order that closes the legs at once, in whole combos; None where their proportions have changed."""
        ratios, count = in_combos([wanted[own.con_id] for own, _ in part.legs])
        if ratios != in_combos([quantity for _, quantity in part.legs])[0]:
            return None
        legs = tuple(
            Leg(own, ratio, "BUY" if wanted[own.con_id] < 0 else "SELL") for (own, _), ratio in zip(part.legs, ratios, strict=True)
        )
        first = part.legs[0][0]
        bag = Contract(0, first.symbol, "BAG", currency=first.currency)
        return Order(self.desk.connection.account, bag, "BUY", float(min(count, self._how.own.largest)), None, legs)

    def _leave(self, own: Contract, quantity: float, why: str) -> None:
        self.left[own.con_id] = Left(own, quantity, why)


def _at(price: float | None) -> str:
    return "at the market" if price is None else f"at {price:.10g}"


def _within(wanted: float, held: float) -> float:
    """How much of what was to be closed is still held: never more than either, nothing once the sign has changed."""
    if wanted * held <= 0:
        return 0.0
    return min(wanted, held) if wanted > 0 else max(wanted, held)
