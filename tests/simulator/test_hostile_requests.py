"""Requests of every kind with something wrong in them, sent while two honest clients stream and trade: nothing befalls those."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from v6cli.simulator import answers
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario

from .requests_of_every_kind import ACCOUNT, ID, REQUESTS, STOCK, order

pytestmark = pytest.mark.usefixtures("nothing_fails_behind_the_scenes")

RICH = Scenario(account=AccountSpec(cash=50_000_000.0), positions=[PositionSpec("SPY", 100)])
CANCELS_EVERYTHING = 58
#: A working order is refused by nothing of what is sent, so this is all that honest clients hear.
EXPECTED = {202}

#: What is not simulated, or names an order that is not there any more.
REFUSED = {4: ["202"]} | {kind: ["321"] for kind in (10, 22, 50, 52, 54, 55, 67, 79, 83, 84, 86, 88, 96, 97, 100, 102, 104)}

odd_fields = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "1", "2147483647", "2147483648", "-9223372036854775809", "9" * 400, "1e308", "1e-320", "0x10", "1_000"]
    ),
    st.sampled_from(
        ["nan", "-inf", "1.7976931348623157E308", "1.5", "true", " ", "\N{SNOWMAN}", "\N{ARABIC-INDIC DIGIT SEVEN}", "A" * 70_000]
    ),
    st.sampled_from([b"\xff\xfe", b"\xc3", b"%s%n", b"\n\r\t"]),
    st.sampled_from(
        ["20261118", "99991231 23:59:59", "00000000", "99999999 D", "1 Y", "1 secs", "-5 D", "TRADES,BID", "BAG", "IND", "CASH"]
    ),
    st.integers(-(2**70), 2**70).map(str),
)
changes = st.one_of(
    st.tuples(st.just("replace"), st.integers(1, 140), odd_fields),
    st.tuples(st.just("remove"), st.integers(1, 140), st.none()),
    st.tuples(st.just("insert"), st.integers(1, 140), odd_fields),
    st.tuples(st.just("cut"), st.integers(1, 140), st.none()),
    st.tuples(st.just("append"), st.integers(1, 40), odd_fields),
)
#: A request of many fields comes as often as several of few.
often = [request for request in REQUESTS for _ in range(min(len(request), 25) // 3)]
mutated = st.tuples(st.sampled_from(often), st.lists(changes, min_size=1, max_size=3))


def changed(request, changes):
    """The request's frame after these changes; its number stays."""
    fields = list(request)
    for how, place, value in changes:
        at = 1 + (place - 1) % max(1, len(fields) - 1)
        if how == "replace" and len(fields) > 1:
            fields[at] = value
        elif how == "remove" and len(fields) > 1:
            del fields[at]
        elif how == "insert":
            fields.insert(at, value)
        elif how == "cut":
            del fields[at:]
        elif how == "append":
            fields += [value] * place
    payload = b"".join((field if isinstance(field, bytes) else str(field).encode()) + b"\0" for field in fields)
    return len(payload).to_bytes(4, "big") + payload


class Honest:
    """Two clients, one that streams and one that trades, until they are stopped."""

    def __init__(self, library, streamer, trader):
        self.rounds = self.ticks = 0
        self.errors = []
        self._library, self._trader, self._stopped = library, trader, False
        trader.client.MaxRequests = 0
        for client in (streamer, trader):
            client.errorEvent += lambda id_, code, text, _contract: self.errors.append((id_, code, text))
        for symbol in ("SPY", "QQQ", "IWM"):
            ticker = streamer.reqMktData(library.Stock(symbol, "SMART", "USD"))
            ticker.updateEvent += self._ticked

    def _ticked(self, _ticker):
        self.ticks += 1

    async def trade(self):
        """Place an order, change it, cancel it, ask what is left, again and again."""
        stock = self._library.Stock("SPY", "SMART", "USD")
        while not self._stopped:
            trade = self._trader.placeOrder(stock, self._library.LimitOrder("BUY", 2, 500.0, account=ACCOUNT, tif="DAY", orderRef="honest"))
            await self._reaches(trade, "Submitted")
            trade.order.lmtPrice = 501.0
            self._trader.placeOrder(stock, trade.order)
            mine = await asyncio.wait_for(self._trader.reqOpenOrdersAsync(), 5)
            assert {(each.order.orderId, each.order.lmtPrice) for each in mine} == {(trade.order.orderId, 501.0)}
            self._trader.cancelOrder(trade.order)
            await self._reaches(trade, "Cancelled")
            self.rounds += 1

    async def _reaches(self, trade, status):
        async with asyncio.timeout(5):
            while trade.orderStatus.status != status:
                await asyncio.sleep(0.001)

    def stop(self):
        self._stopped = True


async def answered_or_dropped(raw, port, sent):
    """Send ``sent`` on a connection of its own, then ask the time: what it heard until it was told, or was cut off."""
    heard = []
    async with raw(port, 9) as (reader, writer):
        await raw.read_until(reader, 9)
        writer.write(sent + raw.frame(49, 1))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not heard or heard[-1][0] != "49" or len(heard[-1]) != 3:
                heard.append(await raw.read(reader))
    return heard


async def left(gateway):
    async with asyncio.timeout(5):
        while 9 in gateway.clients:
            await asyncio.sleep(0.001)


def test_every_kind_of_request_is_among_them():
    assert {request[0] for request in REQUESTS} | {CANCELS_EVERYTHING} >= set(answers.HANDLERS)


def test_as_they_are_they_are_understood(serve, raw, at):
    """Only then is one change of them a change from what is valid."""
    at()

    async def act(gateway, connect):
        for request in REQUESTS:
            heard = await answered_or_dropped(raw, connect.port, changed(request, []))
            assert heard[-1][0] == "49"
            refused = [fields[3] for fields in heard if fields[0] == "4" and fields[2] != "-1"]
            assert refused == REFUSED.get(request[0], []), (request, refused)
            await left(gateway)
        assert [ended.limit for ended in gateway.book.ended] == [500.0]

    serve(RICH, act, pacing=False)


def test_a_price_that_rounds_to_nothing_is_no_price(serve, raw, at):
    at()

    async def act(gateway, connect):
        heard = await answered_or_dropped(raw, connect.port, changed(order(STOCK, 1, "LMT", "1e-320"), []))
        assert [fields[3] for fields in heard if fields[0] == "4" and fields[2] == str(ID)] == ["321"]
        assert not gateway.book.alive

    serve(RICH, act, pacing=False)


@pytest.mark.seeds(2, 60)
def test_whatever_is_wrong_with_a_request_honest_clients_go_on(serve, raw, library, at, seed):
    at()

    async def act(gateway, connect):
        honest = Honest(library, await connect(1), await connect(3))  # 2 is the master client, who hears of all orders
        trading = asyncio.create_task(honest.trade())
        loop = asyncio.get_running_loop()

        async def attack(request, changes):
            before = honest.rounds
            heard = await answered_or_dropped(raw, connect.port, changed(request, changes))
            internal = [fields for fields in heard if "internal error" in fields[-1]]
            assert not internal, internal
            await left(gateway)
            async with asyncio.timeout(5):
                while honest.rounds == before and not trading.done():
                    await asyncio.sleep(0)
            assert not trading.done(), trading.exception()

        @seeded(seed)
        @given(mutated)
        @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def run(attempt):
            asyncio.run_coroutine_threadsafe(attack(*attempt), loop).result(30)

        await asyncio.to_thread(run)
        ticks = honest.ticks
        async with asyncio.timeout(5):
            while honest.ticks == ticks:
                await asyncio.sleep(0.01)
        honest.stop()
        await trading
        assert {code for _, code, _ in honest.errors} <= EXPECTED, honest.errors
        assert list(gateway.clients) == [1, 3]

    serve(RICH, act, pacing=False, account_every=60.0)
