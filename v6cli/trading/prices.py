"""What an order that closes is offered at: the market of the moment, on the ticks that IB has let pass, within what was agreed to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from v6cli.broker.connection import Connection
from v6cli.broker.contracts import Directory
from v6cli.broker.quotes import Tick, Watchlist
from v6cli.errors import V6Error
from v6cli.models import Contract, Order
from v6cli.trading import walk
from v6cli.trading.parts import LONGEST_COMBO, How

QUOTED_WITHIN = 2.0  # wall seconds
OFFERS = 3  # how often a leg that nobody takes walks anew from the market of the moment
TICK = 0.01  # where IB does not say


class Unfit(V6Error):
    """This cannot be closed, or not so; the message says why."""


class Prices:
    """The prices of one closing, and what has become of them: which were off the tick, and which nobody took."""

    def __init__(self, connection: Connection, directory: Directory, how: How, lines: int) -> None:
        self._directory = directory
        self._how = how
        self._quotes = Watchlist(connection, 4 * LONGEST_COMBO, QUOTED_WITHIN, QUOTED_WITHIN)
        self._looking = asyncio.Semaphore(max(1, lines // LONGEST_COMBO))
        self._worthless: dict[int, None] = {}
        self._offers: dict[int, int] = {}
        self._ticks: dict[tuple[int, ...], float] = {}
        self._coarse: dict[tuple[int, ...], float] = {}  # the ticks of what IB refused a price of

    async def limits(self, order: Order, legs: Sequence[Contract]) -> tuple[float | None, list[float]]:
        """The limit to begin with, None for the market's own price, and those after it. Raises Unfit for what has no quote."""
        known = self._ticks.get(about(order), 0.0)
        if order.contract.con_id in self._how.limits:
            typed = self._how.limits[order.contract.con_id]
            await self._check_typed(typed, order)
            return (self.rounded(typed, order) if known else typed), []
        tick = max([known, *[(await self._directory.details(own)).tick or TICK for own in legs]])
        self._ticks[about(order)] = tick
        ticks = await self._quoted(legs)
        lacking = [own for own in legs if not self._has_price(ticks[own.con_id], own, tick)]
        if not order.legs and order.action == "SELL" and self._is_worthless(ticks[legs[0].con_id], legs[0], tick):
            self._worthless[order.contract.con_id] = None
            return tick, []  # nobody bids for it: offered at the least there is
        if self._how.market and not order.legs and (lacking or order.contract.con_id in self._offers):
            return None, []  # what has no quote, or walked to its cap in vain
        if lacking:
            raise Unfit(f"no quote of {lacking[0]}: --limit {lacking[0].con_id}=PRICE closes it at yours")
        signs = {leg.contract.con_id: (leg.ratio, leg.action) for leg in order.legs} or {order.contract.con_id: (1, order.action)}
        sides = [
            walk.Side(1 if action == "BUY" else -1, ratio, ticks[con_id].bid or 0.0, ticks[con_id].ask or 0.0)
            for con_id, (ratio, action) in signs.items()
        ]
        first, *further = walk.prices(sides, self._how.own, tick, legs[0].multiplier)
        return first, further

    async def _check_typed(self, typed: float, order: Order) -> None:
        """Raise Unfit where the market itself asks for less, or bids more: a price that gives money away is most often a slip."""
        quote = (await self._quoted([order.contract]))[order.contract.con_id]
        natural = quote.ask if order.action == "BUY" else quote.bid
        if self._how.market or quote.mid is None or natural is None:
            return
        if typed > natural if order.action == "BUY" else typed < natural:
            raise Unfit(f"your price {typed:.10g} is beyond the market's own, {natural:.10g}: with --market it is offered all the same")

    async def _quoted(self, legs: Sequence[Contract]) -> dict[int, Tick]:
        """What each leg shows now, within this role's market-data lines: so many parts look at a time."""
        async with self._looking:
            return await self._quotes.glance(legs)

    def _has_price(self, quote: Tick, own: Contract, tick: float) -> bool:
        """Whether there is a current quote. Nobody bids for what is nearly worthless; an ask no further than the cap is a price all the same."""
        return quote.mid is not None or self._is_worthless(quote, own, tick)

    def _is_worthless(self, quote: Tick, own: Contract, tick: float) -> bool:
        """Whether it is an option that is asked at next to nothing and nobody bids for: without such an ask its bid is unknown, not zero."""
        if not own.is_option or not quote.live or quote.bid is not None or quote.ask is None:
            return False
        return quote.ask <= max(tick, walk.allowance([], self._how.own, tick, own.multiplier))

    def is_enough(self, con_id: int) -> bool:
        """Whether a leg that nobody took was offered often enough: the market may have moved away while its price walked."""
        self._offers[con_id] = self._offers.get(con_id, 0) + 1
        return self._offers[con_id] >= OFFERS or con_id in self._how.limits or con_id in self._worthless

    def unwanted(self, order: Order) -> str:
        """Why nobody took a single leg."""
        if order.contract.con_id in self._how.limits:
            return "nobody took it at the price you gave"
        if order.contract.con_id in self._worthless:
            return "nobody bids for it, nor took it at the least price: left to expire"
        return "nobody took it at its cap: a larger --cap, or --market" if not self._how.market else "nobody took it"

    def coarsen(self, key: tuple[int, ...]) -> None:
        """Take the next larger tick from here on, once: no contract has a third one."""
        if key not in self._coarse:
            tick = self._ticks.get(key, TICK)
            self._ticks[key] = self._coarse[key] = walk.coarser(tick) or tick

    def rounded(self, limit: float, order: Order) -> float:
        """A limit on the tick that is known by now, not beyond it."""
        return walk.inside(limit, 1 if order.action == "BUY" else -1, self._ticks[about(order)])


def about(order: Order) -> tuple[int, ...]:
    """What an order is about, in contract ids: its legs, else its contract."""
    return tuple(leg.contract.con_id for leg in order.legs) or (order.contract.con_id,)
