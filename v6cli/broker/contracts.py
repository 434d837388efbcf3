"""What IB knows of contracts: their own trading hours, and what they are options on."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from msgspec import Struct

from v6cli import clock
from v6cli.broker import translate
from v6cli.broker.connection import Connection
from v6cli.broker.ib import NoAnswer, RequestRefused
from v6cli.models import Contract
from v6cli.sessions import Hours, parse_hours

ASK_AGAIN = 60.0  # wall seconds after a question that nobody answered


class Details(Struct, frozen=True):
    """``hours`` are the contract's own trading hours; None where IB does not say, which is not the same as closed.

    ``tick`` is the smallest step of its price, per share; None where IB does not say.
    """

    hours: Hours | None = None
    underlying: Contract | None = None
    tick: float | None = None


class Directory:
    """Details as asked for once a day: options of one class and expiry share their hours and their underlying.

    A gateway whose security definitions are down says nothing: a sync must not wait for each contract, nor fail, for that.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[object, ...], Details] = {}
        self._asking: defaultdict[tuple[object, ...], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._silent_until = 0.0

    async def details(self, own: Contract) -> Details:
        """The details of a contract; empty ones where IB knows none, or does not say in time: then they are asked for again later.

        Raises GatewayUnavailable where the connection is gone.
        """
        key = (clock.now().date(), own.symbol, own.trading_class, own.expiry) if own.is_option else (clock.now().date(), own.con_id)
        if key not in self._known:
            async with self._asking[key]:  # who asks for the same meanwhile takes the answer of the first
                if key not in self._known:
                    return await self._learn(key, own)
        return self._known[key]

    async def _learn(self, key: tuple[object, ...], own: Contract) -> Details:
        if clock.monotonic() < self._silent_until:
            return Details()
        self._known = {known: details for known, details in self._known.items() if known[0] == key[0]}
        try:
            self._known[key] = await self._ask(own)
        except NoAnswer:
            self._silent_until = clock.monotonic() + ASK_AGAIN
            return Details()
        return self._known[key]

    async def _ask(self, own: Contract) -> Details:
        try:
            answer = await self._connection.client.contract_details(translate.for_request(own, self._connection.client.library))
        except RequestRefused:
            return Details()
        if not answer:
            return Details()
        hours = parse_hours(answer[0].tradingHours, answer[0].timeZoneId)
        return Details(hours, _underlying(own, answer[0]), translate.number(answer[0].minTick) or None)


def _underlying(own: Contract, details: object) -> Contract | None:
    con_id = int(getattr(details, "underConId", 0) or 0)
    if not con_id:
        return None
    return Contract(con_id, own.symbol, str(getattr(details, "underSecType", "")) or "STK", currency=own.currency)
