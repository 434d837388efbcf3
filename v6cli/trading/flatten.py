"""Closing positions, so that closing never opens: combos first, then legs, shorts before the longs that cover them.

Each order is as large as positions, asked for after the last order ended and agreeing with executions, allow. A price walks from the
middle to its cap. Whatever stops it, the orders of this run are cancelled and their end awaited; what is left open is said, and why.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import gcd

from msgspec import Struct

from v6cli import clock
from v6cli.barrier import Halted
from v6cli.broker import orders
from v6cli.broker.contracts import Directory
from v6cli.broker.quotes import Tick, Watchlist
from v6cli.errors import BadInput, OutcomeUnknown, Refused, V6Error
from v6cli.events import Doing, Note, Progress, Report
from v6cli.models import Contract, Leg, Order, Position, RecordedIntent
from v6cli.portfolio.grouping import group
from v6cli.sessions import next_open, open_at
from v6cli.settings import Closing
from v6cli.state import intents
from v6cli.trading import walk
from v6cli.trading.execution import Desk, End, Working
from v6cli.trading.holdings import Held, Holdings

LOOK_AT_FILLS = 0.2  # wall seconds between two looks at what others filled, while an order works
CANCELLED_WITHIN = 10.0  # wall seconds
QUOTED_WITHIN = 2.0  # wall seconds
SOCKET = "v6-closing"  # the control socket at which a running closing is asked to cancel one of its orders
OFFERS = 3  # how often a leg that nobody takes walks anew from the market of the moment
LONGEST_COMBO = 4  # legs
TICK = 0.01  # where IB does not say
DUPLICATE_ID, OFF_TICK = 103, 110  # what IB refuses an order for that may be sent once more: under a new id, at a rounder price


class Part(Struct, frozen=True):
    """Legs to be closed together: how much of each contract, signed as it is held. ``name`` is the strategy they came from."""

    symbol: str
    name: str
    legs: tuple[tuple[Contract, float], ...]

    @property
    def label(self) -> str:
        """How it is told from others on a screen."""
        return f"{self.symbol} {self.name}"

    @property
    def line(self) -> str:
        """What the line of its progress is known by."""
        return f"{self.label} {self.legs[0][0].con_id}"


class Left(Struct, frozen=True):
    """What is still open of a contract, and why; a quantity of 0 is an order that may still work though nothing is held."""

    contract: Contract
    quantity: float
    why: str


class How(Struct, frozen=True):
    """How positions are closed. ``limits`` are prices that the operator typed, by contract id, for what has no quote."""

    own: Closing
    market: bool = False
    queue: bool = False
    purpose: str = "close-all"
    limits: Mapping[int, float] = {}


class Stopped(Refused):
    """The closing was stopped from outside: its permit is void, or somebody interrupted it."""


class _Unfit(V6Error):
    """This cannot be closed, or not so; the message says why."""


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
        self._quotes = Watchlist(desk.connection, 4 * LONGEST_COMBO, QUOTED_WITHIN, QUOTED_WITHIN)
        self._looking = asyncio.Semaphore(max(1, lines // LONGEST_COMBO))
        self._held_by: dict[int, asyncio.Lock] = {}
        self._worthless: dict[int, None] = {}
        self._offers: dict[int, int] = {}
        self._ticks: dict[tuple[int, ...], float] = {}
        self._coarse: dict[tuple[int, ...], float] = {}  # the ticks of what IB refused a price of
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
        """Cancel every order of this run and wait for its end; those whose end did not come."""
        alive = []
        for working in list(self._working.values()):
            with contextlib.suppress(V6Error):
                await working.cancel()
        for working in list(self._working.values()):
            try:
                end = await working.ended(CANCELLED_WITHIN) or await working.asked()
            except V6Error:
                end = None
            if end is None:
                alive.append(working)
        return alive

    async def cancel(self, perm_id: int) -> dict[str, object]:
        """Cancel one of its orders at somebody's request, and leave what that was to close; how it ended.

        Raises BadInput where no order of this closing works under that number, OutcomeUnknown, GatewayUnavailable.
        """
        listed = {one.order_ref for one in await orders.working(self.desk.connection) if one.perm_id == perm_id}
        working = next((one for one in self._working.values() if one.recorded.order_ref in listed), None)
        if working is None:
            raise BadInput(f"no order {perm_id} of the closing that runs works at the gateway", next_step="v6 orders")
        for con_id in _key(working.recorded.order):
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
        part = self._in_hand[_key(order)[0]]
        of = "" if order.legs or len(part.legs) == 1 else f", {order.contract}"
        self._report(Doing(part.line, f"{part.label}{of}: {order.action} {order.quantity:g} {doing}"))

    async def _close_legs(self, part: Part) -> None:
        """As a combo while that goes, then the shorts, then the longs."""
        wanted = {own.con_id: quantity for own, quantity in part.legs}
        contracts = {own.con_id: own for own, _ in part.legs}
        given_up: dict[int, str] = {}
        as_combo = _fits_a_combo(part)
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
        except _Unfit as error:
            self._report(Note(f"{order.contract.symbol}: not as a combo, {error.message}"))
            return False
        return end.ending == "filled" or self._may_be_sent_again(end, _key(order))

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
        except _Unfit as error:
            given_up[con_id] = error.message
            return
        if self._may_be_sent_again(end, _key(order)):
            return
        if end.ending == "rejected":
            given_up[con_id] = f"IB refused it: {end.why}"
        elif not end.filled and self._is_enough(con_id):
            given_up[con_id] = self._unwanted(order)

    async def _offer(self, order: Order, held: Held, legs: Sequence[Contract]) -> End:
        """Offer an order at one price after the other, to its end. Raises _Unfit, Stopped, GatewayUnavailable."""
        await self._check_hours(legs)
        first, further = await self._limits(order, legs)
        recorded = self._record(order, first, held)
        try:
            working = await self.desk.place(recorded)
        except Halted as error:
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
            raise _Unfit(error.message) from error

    async def _walk(self, working: Working, further: Sequence[float], con_ids: Sequence[int]) -> End:
        """Rest at its limit, then at each further one, and take the order back after the last."""
        foreign = self._holdings.foreign(con_ids)
        ahead = iter(further)
        while not (end := await self._rest(working, con_ids, foreign)):
            limit = next(ahead, None)
            if limit is None or working.cancelling or self._holdings.foreign(con_ids) != foreign:
                return await self._take_back(working)
            try:
                limit = self._rounded(limit, working.recorded.order)
                if await working.reprice(limit):
                    self._tell(working.recorded.order, f"moved to {limit:.10g}")
            except Halted as error:
                raise Stopped(error.message, next_step=error.next_step) from error
        return end

    async def _rest(self, working: Working, con_ids: Sequence[int], foreign: int) -> End | None:
        """Wait a dwell for its end, cut short by a fill of somebody else on the same contracts."""
        until = clock.monotonic() + self._how.own.dwell / clock.rate()
        while (left := until - clock.monotonic()) > 0:
            if end := await working.ended(min(LOOK_AT_FILLS, left)) or await self._refused(working):
                return end
            if self._holdings.foreign(con_ids) != foreign:
                return None
        return None

    async def _refused(self, working: Working) -> End | None:
        """Its end where IB refused it; a price that is off the tick tells of a larger tick."""
        end = await working.refused()
        if working.refusal is not None and working.refusal[0].code == OFF_TICK:
            self._coarsen(_key(working.recorded.order))
        return end

    def _coarsen(self, key: tuple[int, ...]) -> None:
        """Take the next larger tick from here on, once: no contract has a third one."""
        if key not in self._coarse:
            tick = self._ticks.get(key, TICK)
            self._ticks[key] = self._coarse[key] = walk.coarser(tick) or tick

    def _rounded(self, limit: float, order: Order) -> float:
        """A limit on the tick that is known by now, not beyond it."""
        return walk.inside(limit, 1 if order.action == "BUY" else -1, self._ticks[_key(order)])

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
            raise _Unfit(f"the cancel of {working.recorded.order_ref} has not been answered: whether it fills is not known")
        return end

    async def _check_hours(self, legs: Sequence[Contract]) -> None:
        """Raise _Unfit where a leg has expired, or does not trade now."""
        for own in legs:
            if own.expiry is not None and own.expiry < clock.today():
                raise _Unfit("it has expired: IB removes it")
            hours = (await self._directory.details(own)).hours
            if open_at(hours, clock.now()) is False and not self._how.queue:
                opens = next_open(hours, clock.now())
                raise _Unfit(f"it does not trade now{f': it opens {clock.show(opens)}' if opens else ''}; --queue sends all the same")

    async def _limits(self, order: Order, legs: Sequence[Contract]) -> tuple[float | None, list[float]]:
        """The limit to begin with, None for the market's own price, and those after it. Raises _Unfit for what has no quote."""
        known = self._ticks.get(_key(order), 0.0)
        if order.contract.con_id in self._how.limits:
            typed = self._how.limits[order.contract.con_id]
            return (self._rounded(typed, order) if known else typed), []
        tick = max([known, *[(await self._directory.details(own)).tick or TICK for own in legs]])
        self._ticks[_key(order)] = tick
        ticks = await self._quoted(legs)
        lacking = [own for own in legs if not self._has_price(ticks[own.con_id], own, tick)]
        if not order.legs and order.action == "SELL" and self._is_worthless(ticks[legs[0].con_id], legs[0], tick):
            self._worthless[order.contract.con_id] = None
            return tick, []  # nobody bids for it: offered at the least there is
        if self._how.market and not order.legs and (lacking or order.contract.con_id in self._offers):
            return None, []  # what has no quote, or walked to its cap in vain
        if lacking:
            raise _Unfit(f"no quote of {lacking[0]}: --limit {lacking[0].con_id}=PRICE closes it at yours")
        signs = {leg.contract.con_id: (leg.ratio, leg.action) for leg in order.legs} or {order.contract.con_id: (1, order.action)}
        sides = [
            walk.Side(1 if action == "BUY" else -1, ratio, ticks[con_id].bid or 0.0, ticks[con_id].ask or 0.0)
            for con_id, (ratio, action) in signs.items()
        ]
        first, *further = walk.prices(sides, self._how.own, tick, legs[0].multiplier)
        return first, further

    async def _quoted(self, legs: Sequence[Contract]) -> dict[int, Tick]:
        """What each leg shows now, within this role's market-data lines: so many parts look at a time."""
        async with self._looking:
            return await self._quotes.glance(legs)

    def _combo(self, part: Part, wanted: Mapping[int, float]) -> Order | None:
        """The order that closes the legs at once, in whole combos; None where their proportions have changed."""
        ratios, count = _in_combos([wanted[own.con_id] for own, _ in part.legs])
        if ratios != _in_combos([quantity for _, quantity in part.legs])[0]:
            return None
        legs = tuple(
            Leg(own, ratio, "BUY" if wanted[own.con_id] < 0 else "SELL") for (own, _), ratio in zip(part.legs, ratios, strict=True)
        )
        first = part.legs[0][0]
        bag = Contract(0, first.symbol, "BAG", currency=first.currency)
        return Order(self.desk.connection.account, bag, "BUY", float(min(count, self._how.own.largest)), None, legs)

    def _has_price(self, quote: Tick, own: Contract, tick: float) -> bool:
        """Whether there is a current quote. Nobody bids for what is nearly worthless; an ask no further than the cap is a price all the same."""
        return quote.mid is not None or self._is_worthless(quote, own, tick)

    def _is_worthless(self, quote: Tick, own: Contract, tick: float) -> bool:
        """Whether it is an option that is asked at next to nothing and nobody bids for: without such an ask its bid is unknown, not zero."""
        if not own.is_option or not quote.live or quote.bid is not None or quote.ask is None:
            return False
        return quote.ask <= max(tick, walk.allowance([], self._how.own, tick, own.multiplier))

    def _is_enough(self, con_id: int) -> bool:
        """Whether a leg that nobody took was offered often enough: the market may have moved away while its price walked."""
        self._offers[con_id] = self._offers.get(con_id, 0) + 1
        return self._offers[con_id] >= OFFERS or con_id in self._how.limits or con_id in self._worthless

    def _unwanted(self, order: Order) -> str:
        """Why nobody took a single leg."""
        if order.contract.con_id in self._how.limits:
            return "nobody took it at the price you gave"
        if order.contract.con_id in self._worthless:
            return "nobody bids for it, nor took it at the least price: left to expire"
        return "nobody took it at its cap: a larger --cap, or --market" if not self._how.market else "nobody took it"

    def _leave(self, own: Contract, quantity: float, why: str) -> None:
        self.left[own.con_id] = Left(own, quantity, why)


def _key(order: Order) -> tuple[int, ...]:
    """What an order is about, in contract ids: its legs, else its contract."""
    return tuple(leg.contract.con_id for leg in order.legs) or (order.contract.con_id,)


def _at(price: float | None) -> str:
    return "at the market" if price is None else f"at {price:.10g}"


def _within(wanted: float, held: float) -> float:
    """How much of what was to be closed is still held: never more than either, nothing once the sign has changed."""
    if wanted * held <= 0:
        return 0.0
    return min(wanted, held) if wanted > 0 else max(wanted, held)


def _fits_a_combo(part: Part) -> bool:
    """Two to four options of one currency in whole numbers; the rest goes leg by leg."""
    return 2 <= len(part.legs) <= LONGEST_COMBO and all(own.is_option and quantity == int(quantity) for own, quantity in part.legs)


def _in_combos(quantities: Sequence[float]) -> tuple[list[int], int]:
    """Quantities as ratios of a number of equal combos, and that number."""
    whole = [abs(int(quantity)) for quantity in quantities]
    count = reduce(gcd, whole)
    return [quantity // count for quantity in whole], count


class Plan(Struct, frozen=True):
    """What is to be closed, in parts, and what has expired and is left to IB."""

    parts: tuple[Part, ...]
    expired: tuple[Position, ...] = ()

    @property
    def sizes(self) -> dict[int, float]:
        """Quantity by contract id over all parts."""
        found: dict[int, float] = {}
        for part in self.parts:
            for own, quantity in part.legs:
                found[own.con_id] = found.get(own.con_id, 0.0) + quantity
        return found


def plan(positions: Sequence[Position], chosen: Callable[[Part], bool] = lambda _part: True) -> Plan:
    """Positions as the strategies they came from, those that are ``chosen``; expired contracts apart."""
    today = clock.today()
    expired = tuple(one for one in positions if one.contract.expiry is not None and one.contract.expiry < today)
    groups = group([one for one in positions if one not in expired])
    parts = [Part(own.symbol, own.name, tuple((leg.position.contract, leg.quantity) for leg in own.legs)) for own in groups]
    return Plan(tuple(part for part in parts if chosen(part)), expired)
