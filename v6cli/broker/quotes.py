"""Greeks and quotes as the gateway sends them, within this role's share of the login's market-data lines.

A book that fits into the lines keeps its subscriptions from sync to sync and costs no further messages. A larger one is
rotated: a line is let go as soon as its contract has answered or had its time, and each look goes as far as its budget of
seconds lasts, on from where the last one ended. It ends earlier where somebody waits for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from v6cli import clock
from v6cli.broker import translate
from v6cli.broker.codes import Meaning
from v6cli.broker.connection import Connection
from v6cli.events import Progress, Report
from v6cli.models import Contract

SPARE = 5  # lines kept free for underlyings that have to be asked for
RETRY_REFUSED = 60.0  # wall seconds after which a refused line is asked for again: another session may have ended
DATA_LOST = 1101  # the link to IB is back, and every subscription is gone
ALLOWED = frozenset({10090, 10167})  # part of the data is missing, or delayed: the stream goes on


class Tick(Struct, frozen=True):
    """What one line showed: IB's model greeks (per share, theta per day, vega per volatility point) and the quote.

    None is what IB did not send, or sent as its mark for nothing. ``live`` is false for frozen and delayed data, whose
    bid and ask are no quote. ``at`` is when the model last spoke (home time, UTC), None where it never did.
    """

    con_id: int
    live: bool
    at: datetime | None = None
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    implied_volatility: float | None = None
    price: float | None = None
    underlying_price: float | None = None
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    close: float | None = None
    refused: str = ""

    @property
    def has_model(self) -> bool:
        """Whether the model sent all four greeks."""
        return None not in (self.delta, self.gamma, self.theta, self.vega)

    @property
    def mid(self) -> float | None:
        """The middle of a current quote; None where there is none: one side missing, crossed, frozen or delayed."""
        if not self.live or self.bid is None or self.ask is None or self.bid <= 0 or self.ask < self.bid:
            return None
        return (self.bid + self.ask) / 2


class _Line:
    """One subscribed contract."""

    def __init__(self, own: Contract, raw: Any, request: int, ticker: Any) -> None:
        self.own = own
        self.raw = raw
        self.request = request
        self.ticker = ticker
        self.at: datetime | None = None
        self.refused = ""
        self._over_from: float | None = None
        self.answered = asyncio.Event()
        self._model: Any = None
        ticker.updateEvent += self._updated

    def _updated(self, ticker: Any) -> None:
        if ticker.modelGreeks is not None and ticker.modelGreeks is not self._model:
            self._model = ticker.modelGreeks
            self.at = clock.now()
        if self.tick().has_model or (not self.own.is_option and self.tick().mid is not None):
            self.answered.set()

    def refuse(self, text: str) -> None:
        self.refused = text
        self._over_from = clock.monotonic() + RETRY_REFUSED
        self.answered.set()

    def lose(self) -> None:
        self._over_from = clock.monotonic()

    @property
    def over(self) -> bool:
        """Whether nothing more comes on this line, so that it is time to ask anew."""
        return self._over_from is not None and clock.monotonic() >= self._over_from

    def let_go(self) -> None:
        self.ticker.updateEvent -= self._updated

    def tick(self) -> Tick:
        ticker, model = self.ticker, self.ticker.modelGreeks
        live = ticker.marketDataType in {0, 1, None}
        return Tick(
            con_id=self.own.con_id,
            live=live,
            at=self.at,
            delta=_greek(model, "delta"),
            gamma=_greek(model, "gamma"),
            theta=_greek(model, "theta"),
            vega=_greek(model, "vega"),
            implied_volatility=_greek(model, "impliedVol"),
            price=_greek(model, "optPrice"),
            underlying_price=_greek(model, "undPrice"),
            bid=_side(ticker.bid, ticker.bidSize),
            ask=_side(ticker.ask, ticker.askSize),
            last=_positive(ticker.last),
            close=_positive(ticker.close),
            refused=self.refused,
        )


class Watchlist:
    """The market-data lines of one connection."""

    def __init__(self, connection: Connection, lines: int, wait: float, budget: float, hurried: Callable[[], bool] = lambda: False) -> None:
        self._connection = connection
        self._hurried = hurried
        self._spare = min(SPARE, lines // 4)
        self._lines = lines - self._spare
        self._wait = wait
        self._budget = budget
        self._turns: dict[int, int] = {}
        self._held: dict[int, _Line] = {}
        self._by_request: dict[int, _Line] = {}
        connection.client.listen(self._hear)

    async def look(self, contracts: Sequence[Contract], report: Report) -> dict[int, Tick]:
        """What each contract shows now. A contract that does not answer in time has a Tick without greeks; one whose turn did
        not come has none.

        Raises GatewayUnavailable where the connection is gone.
        """
        wanted = {own.con_id: own for own in contracts}
        for con_id in [con_id for con_id, line in self._held.items() if con_id not in wanted or line.over]:
            await self._release(self._held.pop(con_id))
        if len(wanted) <= self._lines:
            return await self._look_and_hold(list(wanted.values()), report)
        return await self._rotate(list(wanted.values()), report)

    async def _look_and_hold(self, contracts: list[Contract], report: Report) -> dict[int, Tick]:
        lines = []
        for number, own in enumerate(contracts, 1):
            if own.con_id not in self._held:
                self._held[own.con_id] = await self._subscribe(own)
            lines.append(self._held[own.con_id])
            report(Progress("greeks", number, len(contracts)))
        await _answers(lines, self._wait)
        return {line.own.con_id: line.tick() for line in lines}

    async def _rotate(self, contracts: list[Contract], report: Report) -> dict[int, Tick]:
        ticks: dict[int, Tick] = {}
        room = asyncio.Semaphore(self._lines)
        next_one = asyncio.Lock()  # or as many as there are lines would be on their way when the time is over
        ends = clock.monotonic() + self._budget
        while self._held:
            await self._release(self._held.popitem()[1])

        async def one(own: Contract) -> None:
            async with room:
                async with next_one:
                    if clock.monotonic() >= ends or self._hurried():
                        return
                    self._turns[own.con_id] = self._turns.get(own.con_id, 0) + 1
                    line = await self._subscribe(own)
                ticks[own.con_id] = await self._answer(line)
            report(Progress("greeks", len(ticks), len(contracts)))

        fewest_first = sorted(contracts, key=lambda own: self._turns.get(own.con_id, 0))
        await asyncio.gather(*(one(own) for own in fewest_first))
        return ticks

    async def glance(self, contracts: Sequence[Contract]) -> dict[int, Tick]:
        """What a few more contracts show now, on the spare lines, none of which is kept; nothing where no line is spare.

        Raises GatewayUnavailable.
        """
        ticks: dict[int, Tick] = {}
        if not self._spare:
            return ticks
        room = asyncio.Semaphore(self._spare)

        async def one(own: Contract) -> None:
            async with room:
                ticks[own.con_id] = await self._glance(own)

        await asyncio.gather(*(one(own) for own in contracts))
        return ticks

    async def _glance(self, own: Contract) -> Tick:
        return await self._answer(await self._subscribe(own))

    async def _answer(self, line: _Line) -> Tick:
        """What a line shows once it has answered or had its time; it is let go then."""
        try:
            await _answers([line], self._wait)
            return line.tick()
        finally:
            await self._release(line)

    async def _subscribe(self, own: Contract) -> _Line:
        raw = translate.for_request(own, self._connection.client.library)
        request, ticker = await self._connection.client.subscribe(raw)
        line = self._by_request[request] = _Line(own, raw, request, ticker)
        return line

    async def _release(self, line: _Line) -> None:
        line.let_go()
        del self._by_request[line.request]
        await self._connection.client.unsubscribe(line.request, line.raw)

    def _hear(self, request: int, meaning: Meaning, text: str) -> None:
        if meaning.code == DATA_LOST:
            for held in self._by_request.values():
                held.lose()
        line = self._by_request.get(request)
        if line and meaning.kind in {"data", "refused"} and meaning.code not in ALLOWED:
            line.refuse(text)


async def _answers(lines: list[_Line], wait: float) -> None:
    """Wait until every line has answered, at most ``wait`` wall seconds; who did not is left with what it has.

    A held line is waited for once: what is silent now is silent at the next look too, until it speaks.
    """
    try:
        async with clock.timeout(wait):
            await asyncio.gather(*(line.answered.wait() for line in lines))
    except TimeoutError:
        for line in lines:
            line.answered.set()


def _greek(model: Any, name: str) -> float | None:
    """One number of the model; IB marks a greek it cannot compute as -2, which the libraries pass on for vega and theta."""
    value = translate.number(getattr(model, name, None))
    return None if value == -2.0 and name in {"delta", "gamma", "theta", "vega"} else value


def _positive(value: Any) -> float | None:
    found = translate.number(value)
    return found if found is not None and found > 0 else None


def _side(price: Any, size: Any) -> float | None:
    """One side of a quote; size 0 and a price of -1 are none."""
    return _positive(price) if (translate.number(size) or 0) > 0 else None
