"""Faults of the links: each does what it says while it is set, and healing it brings old and new clients back."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from v6cli.simulator.scenario import AccountSpec, OrderSpec, PositionSpec, Scenario

ACCOUNT = "DU1234567"
TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
RICH = Scenario(account=AccountSpec(cash=1_000_000.0))
HELD = Scenario(account=AccountSpec(cash=1_000_000.0), positions=[PositionSpec("SPY", 10)])


@pytest.fixture
def frozen(at):
    """Home time stands still until it is moved."""
    at(rate=1e-9)
    return lambda seconds: at(TUESDAY + timedelta(seconds=seconds), rate=1e-9)


def spy(library):
    return library.Stock("SPY", "SMART", "USD")


def limit(library, action, quantity, price, **how):
    return library.LimitOrder(action, quantity, price, **({"tif": "DAY", "account": ACCOUNT, "orderRef": "ref/1"} | how))


def errors_of(client):
    found = []
    client.errorEvent += lambda id_, code, text, _contract: found.append((id_, code))
    return found


def codes(heard):
    return [code for _, code in heard]


async def conversation(client, library):
    """What a healthy gateway answers to anyone: positions, open orders, a contract, a quote, the time."""
    async with asyncio.timeout(10):
        await client.reqPositionsAsync()
        await client.reqAllOpenOrdersAsync()
        (details,) = await client.reqContractDetailsAsync(spy(library))
        (ticker,) = await client.reqTickersAsync(details.contract)
        assert ticker.ask > 0
        assert await client.reqCurrentTimeAsync()


async def ends(reader):
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            return await reader.read() == b""
    return True


def test_connections_are_dropped_those_that_are_meant(serve, library, until):
    async def act(gateway, connect):
        one, two = await connect(1), await connect(2)
        gateway.faults.set("drop-connections", client=1)
        await until(lambda: not one.isConnected())
        await conversation(two, library)
        gateway.faults.set("drop-connections")
        await until(lambda: not two.isConnected() and not gateway.connections)
        assert gateway.faults.held == []
        await conversation(await connect(1), library)

    serve(HELD, act)


@pytest.mark.parametrize("how", ["close", "greeting", "silent"])
def test_logins_are_refused_in_three_ways_and_the_old_client_stays(serve, library, raw, how):
    async def act(gateway, connect):
        old = await connect(1)
        gateway.faults.set("refuse-logins", how=how)
        reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
        writer.write(b"API\0\0\0\0\tv100..157" + raw.frame(71, 2, 7, ""))
        if how == "silent":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)
        else:
            if how == "greeting":
                assert (await raw.read(reader))[0] == "157"
            assert await ends(reader)
        await conversation(old, library)
        gateway.faults.clear("refuse-logins")
        if how == "silent":
            assert (await raw.read(reader))[0] == "157"
            await raw.read_until(reader, 9)
        writer.close()
        await conversation(old, library)
        await conversation(await connect(2), library)

    serve(HELD, act)


def test_one_login_is_refused_and_the_next_one_taken(serve, library, raw):
    async def act(gateway, connect):
        gateway.faults.set("refuse-logins", count=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
        assert await ends(reader)
        writer.close()
        await conversation(await connect(1), library)

    serve(HELD, act)


def test_a_competing_login_takes_market_data_until_it_is_gone(serve, library, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        (details,) = await client.reqContractDetailsAsync(spy(library))
        ticker = client.reqMktData(details.contract)
        await until(lambda: ticker.ask > 0)
        gateway.faults.set("competing-login")
        await until(lambda: 10197 in codes(heard))
        (stream,) = gateway.clients[1].streams.values()
        stream.sent.clear()  # all of it would be sent again with the next push
        await asyncio.sleep(0.3)
        assert stream.sent == {}
        heard.clear()
        (none,) = await client.reqTickersAsync(library.Contract(conId=320227571, exchange="SMART"))
        assert codes(heard) == [10197] and not none.ask > 0
        gateway.faults.clear("competing-login")
        await until(lambda: stream.sent)
        await conversation(client, library)

    serve(HELD, act)


def test_a_competing_login_that_does_not_take_over_lets_clients_in(serve, library):
    async def act(gateway, connect):
        old = await connect(1)
        gateway.faults.set("competing-login", **{"takes-over": "false"})
        assert await (await connect(2)).reqPositionsAsync()
        assert await old.reqPositionsAsync()

    serve(HELD, act)


def test_a_competing_login_that_takes_over_drops_everyone_and_lets_nobody_in(serve, library, until):
    async def act(gateway, connect):
        client = await connect(1)
        gateway.faults.set("competing-login", **{"takes-over": True})
        await until(lambda: not client.isConnected())
        reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
        assert await ends(reader)
        writer.close()
        gateway.faults.clear("competing-login")
        await conversation(await connect(1), library)

    serve(HELD, act)


def test_a_silent_gateway_obeys_and_says_it_all_when_it_is_healed(serve, library, until):
    async def act(gateway, connect):
        client = await connect(1)
        gateway.faults.set("silent")
        trade = client.placeOrder(spy(library), limit(library, "BUY", 1, 500))
        await until(lambda: gateway.book.alive)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reqCurrentTimeAsync(), 0.3)
        assert trade.order.permId == 0
        gateway.faults.clear("silent")
        await until(lambda: trade.orderStatus.status == "Submitted" and trade.order.permId)
        await conversation(client, library)
        await conversation(await connect(2), library)

    serve(HELD, act)


def test_even_a_refusal_waits_while_the_gateway_is_silent(serve, raw):
    async def act(gateway, connect):
        async with raw(connect.port, 5) as (first, _):
            await raw.read_until(first, 9)
            async with raw(connect.port) as (reader, writer):
                gateway.faults.set("silent")
                writer.write(raw.frame(71, 2, 5, ""))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.3)
                gateway.faults.clear("silent")
                await raw.read_until(reader, 4, 2, -1, 326)
                assert await ends(reader)

    serve("default", act)


def test_what_a_dead_client_wrote_is_obeyed_once_it_is_read(serve, library, raw, until):
    async def act(gateway, connect):
        client, other = await connect(1), await connect(2)
        (details,) = await client.reqContractDetailsAsync(spy(library))
        client.reqMktData(details.contract)  # the gateway goes on writing to a socket that nobody holds
        gateway.faults.set("stop-reading", client=1)
        client.client.conn.transport.write(raw.frame(49, 1) * 80)  # as many as would offend, had they come at once
        client.placeOrder(spy(library), limit(library, "BUY", 1, 500))
        await asyncio.sleep(0.2)
        client.client.conn.transport.abort()
        await asyncio.sleep(0.4)
        assert not gateway.book.alive
        await conversation(other, library)
        async with raw(connect.port, 1) as (reader, _):
            await raw.read_until(reader, 4, 2, -1, 326)
        gateway.faults.clear("stop-reading")
        await until(lambda: gateway.book.alive and 1 not in gateway.clients)
        (order,) = gateway.book.alive
        assert (order.client_id, order.order_ref) == (1, "ref/1")
        await conversation(await connect(1), library)

    serve(HELD, act, pacing=True)


def test_a_living_client_is_read_on_after_it_was_not_heard(serve, library, until):
    async def act(gateway, connect):
        client = await connect(1)
        gateway.faults.set("stop-reading")
        asked = asyncio.ensure_future(client.reqCurrentTimeAsync())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 0.3)
        gateway.faults.clear("stop-reading")
        assert await asyncio.wait_for(asked, 5)
        await conversation(client, library)
        await conversation(await connect(2), library)

    serve(HELD, act)


def test_what_comes_late_comes_in_order(serve, raw, library):
    async def act(gateway, connect):
        loop = asyncio.get_running_loop()
        async with raw(connect.port, 1) as (reader, writer):
            await raw.read_until(reader, 4, 2, -1, 2158)
            gateway.faults.set("delay", by=0.3)
            began = loop.time()
            writer.write(raw.frame(49, 1))
            await asyncio.sleep(0.1)
            writer.write(raw.frame(8, 1, 1))
            assert [(await raw.read(reader))[0], (await raw.read(reader))[0]] == ["49", "9"]
            assert 0.38 < loop.time() - began < 3
            gateway.faults.set("delay", by=60)
            writer.write(raw.frame(49, 1) + raw.frame(8, 1, 1))
            await asyncio.sleep(0.1)
            gateway.faults.clear("delay")
            assert [(await raw.read(reader))[0], (await raw.read(reader))[0]] == ["49", "9"]
        await conversation(await connect(2), library)

    serve("default", act)


def test_orders_and_cancels_wait_while_ib_is_lost(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect(1)
        heard = errors_of(client)
        resting = client.placeOrder(spy(library), limit(library, "BUY", 1, 500, orderRef="resting"))
        await until(lambda: resting.orderStatus.status == "Submitted")
        gateway.faults.set("link-lost")
        await until(lambda: codes(heard) == [1100])
        client.cancelOrder(resting.order)
        waiting = client.placeOrder(spy(library), library.MarketOrder("BUY", 2, tif="DAY", account=ACCOUNT, orderRef="waiting"))
        dropped = client.placeOrder(spy(library), library.MarketOrder("BUY", 3, tif="DAY", account=ACCOUNT, orderRef="dropped"))
        poor = client.placeOrder(spy(library), limit(library, "BUY", 50_000, 600, orderRef="poor"))
        await until(lambda: len(gateway.book.alive) == 4)
        client.cancelOrder(dropped.order)
        await until(lambda: dropped.orderStatus.status == "Cancelled")
        frozen(30)
        await asyncio.sleep(0.2)
        assert waiting.orderStatus.status == "PendingSubmit" and waiting.order.permId
        assert {order.order_ref: order.status for order in gateway.book.alive} == {
            "resting": "Submitted",
            "waiting": "PendingSubmit",
            "poor": "PendingSubmit",
        }
        gateway.faults.clear("link-lost")
        await until(lambda: waiting.orderStatus.status == "Filled" and resting.orderStatus.status == "Cancelled" and 201 in codes(heard))
        assert codes(heard)[:1] == [1100] and 1102 in codes(heard)
        assert (poor.order.orderId, 201) in heard
        assert not gateway.book.alive and dropped.orderStatus.filled == 0
        await conversation(client, library)
        await conversation(await connect(2), library)

    serve(RICH, act)


def test_a_question_that_waited_and_cannot_be_read_takes_no_cancel_with_it(serve, library, raw, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        trade = client.placeOrder(spy(library), limit(library, "BUY", 1, 500.0))
        await until(lambda: trade.orderStatus.status == "Submitted")
        async with raw(connect.port, 7) as (reader, writer):
            await raw.read_until(reader, 9)
            gateway.faults.set("link-lost")
            writer.write(raw.frame(9, 8, 33, "no number") + raw.frame(49, 1))
            await raw.read_until(reader, 49)
            client.cancelOrder(trade.order)
            await client.reqCurrentTimeAsync()
            gateway.faults.clear("link-lost")
            await until(lambda: trade.orderStatus.status == "Cancelled" and not gateway.book.alive)
            await raw.read_until(reader, 4, 2, 33, 320)

    serve(HELD, act)


def test_what_filled_meanwhile_is_learned_before_the_cancel_is_carried_out(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect(1)
        heard = errors_of(client)
        (contract,) = [details.contract for details in await client.reqContractDetailsAsync(spy(library))]
        (quote,) = gateway.quoter.prices([gateway.chains.by_id(contract.conId)], TUESDAY)
        trade = client.placeOrder(contract, limit(library, "BUY", 1, round(quote.bid - 0.05, 2)))
        await until(lambda: trade.orderStatus.status == "Submitted")
        gateway.faults.set("link-lost")
        client.cancelOrder(trade.order)
        frozen(3 * 3600)
        await asyncio.sleep(0.2)
        assert gateway.book.alive and not trade.fills
        gateway.faults.clear("link-lost")
        await until(lambda: trade.fills and 10148 in codes(heard))
        assert trade.fills[0].execution.time < TUESDAY + timedelta(hours=3)

    serve(RICH, act)


@pytest.mark.parametrize(("restored", "kept"), [("1101", False), ("1102", True)])
def test_quotes_stand_still_and_subscriptions_are_lost_or_kept(serve, library, frozen, until, restored, kept):
    async def act(gateway, connect):
        client = await connect(1)
        heard = errors_of(client)
        (details,) = await client.reqContractDetailsAsync(spy(library))
        ticker = client.reqMktData(details.contract)
        await until(lambda: ticker.ask > 0 and client.portfolio())
        before = ticker.ask
        (held,) = client.portfolio()
        bars = await client.reqHistoricalDataAsync(details.contract, "", "3600 S", "1 min", "TRADES", True, keepUpToDate=True)
        last = bars[-1].date
        gateway.faults.set("link-lost", restored=restored)
        frozen(2 * 3600)
        await asyncio.sleep(0.3)
        for one in (client, await connect(5)):
            assert one.portfolio()[0].marketPrice == held.marketPrice
        assert bars[-1].date == last
        (snapshot,) = await client.reqTickersAsync(details.contract)
        assert ticker.ask == before == snapshot.ask
        asked = asyncio.ensure_future(client.reqContractDetailsAsync(library.Stock("QQQ", "SMART", "USD")))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 0.3)
        gateway.faults.clear("link-lost")
        (found,) = await asyncio.wait_for(asked, 5)
        assert found.contract.symbol == "QQQ"
        await until(lambda: int(restored) in codes(heard))
        await asyncio.sleep(0.3)
        assert (ticker.ask != before) is kept and (bars[-1].date != last) is kept
        again = client.reqMktData(details.contract)
        await until(lambda: again.ask > 0 and again.ask != before)
        await until(lambda: client.portfolio()[0].marketPrice != held.marketPrice)
        await conversation(await connect(2), library)

    serve(HELD, act)


@pytest.mark.parametrize("doubled", [True, False])
def test_a_change_while_ib_is_lost_waits_or_becomes_a_second_order(serve, library, raw, frozen, until, doubled):
    async def act(gateway, connect):
        client = await connect(1)
        trade = client.placeOrder(spy(library), limit(library, "BUY", 1, 500))
        await until(lambda: trade.orderStatus.status == "Submitted")
        original = trade.order.permId
        gateway.faults.set("link-lost", modifications="doubled" if doubled else "wait")
        trade.order.lmtPrice = 510
        client.placeOrder(trade.contract, trade.order)
        await asyncio.sleep(0.2)
        assert [order.limit for order in gateway.book.alive] == [500]
        gateway.faults.clear("link-lost")
        await until(lambda: [order.limit for order in gateway.book.alive] == ([500, 510] if doubled else [510]))
        assert {(order.client_id, order.order_id, order.order_ref) for order in gateway.book.alive} == {(1, trade.order.orderId, "ref/1")}
        assert len({order.perm_id for order in gateway.book.alive}) == len(gateway.book.alive)
        async with raw(connect.port, 9) as (reader, writer):
            await raw.read_until(reader, 4, 2, -1, 2158)
            writer.write(raw.frame(16, 1))
            told = []
            while (fields := await raw.read(reader))[0] != "53":
                told.append(fields)
            assert len([fields for fields in told if fields[0] == "5"]) == len(gateway.book.alive)
        client.cancelOrder(trade.order)
        await until(lambda: original not in {order.perm_id for order in gateway.book.alive})
        assert [order.limit for order in gateway.book.alive] == ([510] if doubled else [])

    serve(RICH, act)


def test_a_global_cancel_while_ib_is_lost_takes_what_was_there(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect(1)
        client.placeOrder(spy(library), limit(library, "BUY", 1, 500, orderRef="sent"))
        await until(lambda: len(gateway.book.alive) == 2)
        gateway.faults.set("link-lost")
        client.placeOrder(spy(library), limit(library, "BUY", 1, 500, orderRef="unsent"))
        await until(lambda: len(gateway.book.alive) == 3)
        client.reqGlobalCancel()
        await until(lambda: len(gateway.book.alive) == 2)
        after = client.placeOrder(spy(library), limit(library, "BUY", 1, 500, orderRef="after"))
        await until(lambda: len(gateway.book.alive) == 3)
        gateway.faults.clear("link-lost")
        await until(lambda: after.orderStatus.status == "Submitted")
        assert [order.order_ref for order in gateway.book.alive] == ["after"]

    serve(Scenario(account=RICH.account, positions=HELD.positions, orders=[OrderSpec("", client=0, type="STP", stop="80%")]), act)


def test_the_nightly_restart_ends_by_itself_and_forgets_nothing(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect(1)
        trade = client.placeOrder(spy(library), limit(library, "BUY", 1, 500))
        await until(lambda: trade.orderStatus.status == "Submitted")
        gateway.faults.set("nightly-restart")
        await until(lambda: not client.isConnected())
        frozen(299)
        await asyncio.sleep(0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
        assert await ends(reader)
        writer.close()
        frozen(301)
        await until(lambda: not gateway.faults.held)
        again = await connect(1)
        assert again.client.getReqId() > trade.order.orderId
        (kept,) = again.openTrades()
        assert (kept.order.permId, kept.order.orderRef) == (trade.order.permId, "ref/1")
        await conversation(again, library)

    serve(RICH, act)


def test_a_restart_loses_what_had_not_been_read(serve, library, until):
    async def act(gateway, connect):
        client = await connect(1)
        gateway.faults.set("stop-reading")
        client.placeOrder(spy(library), limit(library, "BUY", 1, 500))
        await asyncio.sleep(0.2)
        client.client.conn.transport.abort()
        await asyncio.sleep(0.2)
        assert 1 in gateway.clients
        gateway.faults.set("nightly-restart")
        await until(lambda: not gateway.clients)
        gateway.faults.clear_all()
        await conversation(await connect(1), library)
        assert not gateway.book.alive

    serve(RICH, act)


def test_ids_roll_back_and_are_issued_anew(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect(1)
        done = client.placeOrder(spy(library), library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT, orderRef="first"))
        await until(lambda: done.orderStatus.status == "Filled")
        used = gateway.next_id(1)
        client.disconnect()
        await until(lambda: not gateway.clients)
        gateway.faults.set("ids-roll-back", count=1)
        async with asyncio.timeout(10):
            again = await connect(1)
        assert gateway.faults.met["ids-roll-back"] == 1
        order = limit(library, "BUY", 1, 500, orderId=done.order.orderId, orderRef="second")
        heard = errors_of(again)
        second = again.placeOrder(spy(library), order)
        await until(lambda: second.orderStatus.status == "Submitted")
        assert heard == [] and second.order.permId != done.order.permId
        again.disconnect()
        await until(lambda: not gateway.clients)
        later = await connect(1)
        assert gateway.next_id(1) <= later.client.getReqId() and used > 1
        await conversation(later, library)

    serve(RICH, act)


def test_client_zero_is_told_an_id_it_can_use_beside_an_order_by_hand(serve, raw):
    async def act(gateway, connect):
        gateway.faults.set("orders-by-hand", of="SPY", quantity=1, limit=500)
        gateway.desk.bind_by_hand()
        gateway.faults.set("ids-roll-back", count=1)
        async with raw(connect.port, 0) as (reader, _):
            assert (await raw.read_until(reader, 9))[2] == "1"

    serve(RICH, act)


def test_the_id_that_a_login_is_told_after_they_rolled_back(serve, raw):
    async def act(gateway, connect):
        gateway.use_id(1, 5000)

        async def told():
            async with raw(connect.port, 1) as (reader, _):
                return int((await raw.read_until(reader, 9))[2])

        assert await told() == 5001
        gateway.faults.set("ids-roll-back")
        assert await told() == 1
        gateway.faults.clear("ids-roll-back")
        assert await told() == 1

    serve(RICH, act)


def test_a_second_account_is_listed_and_holds_a_little(serve, library, until):
    async def act(gateway, connect):
        old = await connect(1)
        gateway.faults.set("second-account")
        client = await connect(2)
        assert client.managedAccounts() == [ACCOUNT, "DU7654321"]
        positions = {(row.account, row.contract.symbol): row.position for row in await client.reqPositionsAsync()}
        assert positions == {(ACCOUNT, "SPY"): 10, ("DU7654321", "SPY"): 7}
        values = {row.account for row in await client.accountSummaryAsync()}
        assert values >= {ACCOUNT, "DU7654321"}
        worth = {row.account: float(row.value) for row in await client.accountSummaryAsync() if row.tag == "NetLiquidation"}
        assert worth["DU7654321"] > 10_000
        gateway.faults.clear("second-account")
        assert {row.account for row in await old.reqPositionsAsync()} == {ACCOUNT}
        fresh = await connect(3)
        assert fresh.managedAccounts() == [ACCOUNT]
        await conversation(fresh, library)

    serve(HELD, act)


def test_somebody_else_s_account_shows_nothing_of_one_s_own(serve, library, until):
    async def act(gateway, connect):
        old = await connect(1)
        resting = old.placeOrder(spy(library), limit(library, "BUY", 1, 500))
        await until(lambda: resting.orderStatus.status == "Submitted")
        filled = old.placeOrder(spy(library), library.MarketOrder("BUY", 1, tif="DAY", account=ACCOUNT))
        await until(lambda: filled.orderStatus.status == "Filled")
        gateway.faults.set("other-account", id="U5550001")
        client = await connect(2)
        heard = errors_of(client)
        assert client.managedAccounts() == ["U5550001"]
        assert {(row.account, row.position) for row in await client.reqPositionsAsync()} == {("U5550001", 7)}
        assert await client.reqAllOpenOrdersAsync() == []
        assert await client.reqExecutionsAsync() == []
        assert await client.reqCompletedOrdersAsync(False) == []
        client.placeOrder(spy(library), library.MarketOrder("BUY", 1, tif="DAY"))
        await until(lambda: 321 in codes(heard))
        assert gateway.account.holdings[756733].quantity == 11
        gateway.faults.clear("other-account")
        assert {row.account for row in await old.reqPositionsAsync()} == {ACCOUNT}
        fresh = await connect(3)
        assert fresh.managedAccounts() == [ACCOUNT]
        assert len(await fresh.reqAllOpenOrdersAsync()) == 1
        await conversation(fresh, library)

    serve(HELD, act)
