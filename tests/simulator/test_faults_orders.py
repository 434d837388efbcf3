"""Faults of orders bite a real client as they say, only while they are set, and what is true stays so at the gateway."""

from datetime import UTC, datetime

import pytest

from v6cli import clock
from v6cli.simulator.scenario import AccountSpec, Scenario

RICH = Scenario(account=AccountSpec(cash=1_000_000.0))
BY_THE_CLOCK = Scenario(account=AccountSpec(cash=1_000_000.0), market="exchange")


@pytest.fixture
def spy(library):
    return library.Stock("SPY", "SMART", "USD")


@pytest.fixture
def buy(library):
    """A limit order to buy, far below the market unless a price is given."""

    def order(quantity=1, price=500.0, **how):
        return library.LimitOrder("BUY", quantity, price, **({"tif": "DAY", "orderRef": "ref/1"} | how))

    return order


@pytest.fixture
def vertical(library):
    """Qualify a put spread that pays its holder when SPY falls, as a combo."""

    async def make(client):
        legs = []
        for strike, action in ((650, "BUY"), (640, "SELL")):
            (found,) = await client.qualifyContractsAsync(library.Option("SPY", "20261218", strike, "P", "SMART", tradingClass="SPY"))
            legs.append(library.ComboLeg(conId=found.conId, ratio=1, action=action, exchange="SMART"))
        return library.Contract(symbol="SPY", secType="BAG", exchange="SMART", currency="USD", comboLegs=legs)

    return make


def kinds(messages):
    names = {"5": "open", "3": "status", "11": "execution", "59": "commission", "4": "error"}
    return [names[fields[0]] for fields in messages if fields[0] in names]


def statuses(messages):
    return [fields[2] for fields in messages if fields[0] == "3"]


async def settled(client):
    """Everything the gateway sent before this has arrived."""
    await client.reqCurrentTimeAsync()


@pytest.mark.parametrize("first", ["status", "error"])
def test_orders_are_rejected_with_a_code_in_either_order_and_only_so_many(serve, spy, buy, heard, frozen, first):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 3, 4)
        gateway.faults.set("reject-orders", count=1, code=201, text="Order rejected - reason:Exchange is closed.", first=first)
        client.placeOrder(spy, buy())
        await settled(client)
        assert kinds(told) == (["status", "error"] if first == "status" else ["error", "status"])
        assert statuses(told) == ["Inactive"]
        assert [fields[3:] for fields in told if fields[0] == "4"] == [["201", "Order rejected - reason:Exchange is closed."]]
        assert await client.reqAllOpenOrdersAsync() == []
        (completed,) = await client.reqCompletedOrdersAsync(False)
        assert completed.orderStatus.status == "Inactive"
        told.clear()
        client.placeOrder(spy, buy())
        await settled(client)
        assert statuses(told) == ["Submitted"]

    serve(RICH, act)


def test_rejections_choose_orders_by_contract_or_reference(serve, spy, buy, frozen):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("reject-orders", of=["iron/7"])
        for reference in ("iron/6", "iron/7"):
            client.placeOrder(spy, buy(orderRef=reference))
        await settled(client)
        assert [order.order_ref for order in gateway.book.alive] == ["iron/6"]
        assert gateway.faults.met == {"reject-orders": 1}

    serve(RICH, act)


@pytest.mark.parametrize("code", [399, 404, 161, 10148, 10349])
def test_a_message_about_an_order_is_not_its_end(serve, spy, buy, heard, frozen, code):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 3, 4)
        gateway.faults.set("warn-orders", count=1, code=code, text="Something is odd.")
        trade = client.placeOrder(spy, buy())
        await settled(client)
        assert [fields[2:] for fields in told if fields[0] == "4"] == [[str(trade.order.orderId), str(code), "Something is odd."]]
        assert statuses(told) == ["Submitted"]
        assert [order.status for order in gateway.book.alive] == ["Submitted"]
        client.placeOrder(spy, buy())
        await settled(client)
        assert kinds(told).count("error") == 1

    serve(RICH, act)


@pytest.mark.parametrize("until", ["change", "ever"])
def test_an_order_lives_whose_acknowledgement_is_lost(serve, spy, buy, heard, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 5, 3)
        gateway.faults.set("lose-acknowledgements", count=1, until=until)
        trade = client.placeOrder(spy, buy())
        await settled(client)
        assert told == []
        assert trade.orderStatus.status == "PendingSubmit"
        assert [order.status for order in gateway.book.alive] == ["Submitted"]
        client.cancelOrder(trade.order)
        await settled(client)
        assert gateway.book.alive == []
        assert statuses(told) == (["PendingCancel", "Cancelled"] if until == "change" else [])
        told.clear()
        client.placeOrder(spy, buy())
        await settled(client)
        assert statuses(told) == ["Submitted"]

    serve(RICH, act)


def test_an_order_without_acknowledgement_is_still_listed_to_who_asks(serve, spy, buy, frozen):
    async def act(gateway, connect):
        client, other = await connect(1), await connect(7)
        gateway.faults.set("lose-acknowledgements", until="ever")
        client.placeOrder(spy, buy())
        await settled(client)
        assert [trade.order.orderRef for trade in await other.reqAllOpenOrdersAsync()] == ["ref/1"]

    serve(RICH, act)


def test_executions_are_told_before_the_order_they_are_of(serve, spy, buy, heard, frozen):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 5, 3, 11, 59)
        gateway.faults.set("fills-first", count=2)
        client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert kinds(told)[:3] == ["execution", "open", "status"]
        assert statuses(told)[-1] == "Filled"
        told.clear()
        client.placeOrder(spy, buy())
        await settled(client)
        assert statuses(told) == ["Submitted"], "what does not fill at once is told as ever"
        told.clear()
        client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert kinds(told)[:3] == ["open", "status", "execution"]

    serve(RICH, act)


def test_statuses_go_missing_all_of_them_or_some(serve, spy, buy, heard, frozen):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 5, 3, 11)
        gateway.faults.set("statuses-missing", status=["Filled"])
        client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert statuses(told) == ["Submitted"]
        assert "execution" in kinds(told)
        gateway.faults.set("statuses-missing")
        told.clear()
        client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert statuses(told) == []
        assert "open" in kinds(told)
        gateway.faults.clear("statuses-missing")
        client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert statuses(told) == ["Submitted", "Filled"]

    serve(RICH, act)


def test_statuses_are_repeated(serve, spy, buy, heard, frozen):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 3, 11)
        gateway.faults.set("statuses-repeated")
        trade = client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert statuses(told) == ["Submitted", "Submitted", "Filled", "Filled"]
        assert len(trade.fills) == 1
        gateway.faults.clear_all()
        told.clear()
        client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert statuses(told) == ["Submitted", "Filled"]

    serve(RICH, act)


def test_a_client_is_cut_off_amid_a_fill_and_the_rest_goes_on(serve, spy, buy, frozen, until):
    async def act(gateway, connect):
        client, other = await connect(1), await connect(7)
        gateway.faults.set("partial-then-drop", count=1, rest=100)
        client.placeOrder(spy, buy(9, price=700.0, tif="GTC"))
        await until(lambda: not client.isConnected())
        assert client.fills() == [], "it did not hear of its fill"
        assert other.isConnected()
        (order,) = gateway.book.alive
        assert (order.status, order.filled, order.remaining) == ("Submitted", 4, 5)
        again = await connect(1)
        (listed,) = again.openTrades()
        assert (listed.orderStatus.filled, listed.orderStatus.remaining) == (4, 5)
        assert [fill.execution.shares for fill in again.fills()] == [4]
        frozen(99)
        await settled(again)
        assert order.filled == 4
        frozen(101)
        await until(lambda: listed.orderStatus.status == "Filled")
        assert again.isConnected()
        assert gateway.account.holdings[756733].quantity == 9

    serve(RICH, act)


def test_combos_rest_at_any_price_and_single_legs_fill(serve, library, spy, buy, vertical, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        bag = await vertical(client)
        gateway.faults.set("combos-rest")
        trade = client.placeOrder(bag, library.MarketOrder("BUY", 1, tif="DAY"))
        single = client.placeOrder(spy, buy(price=700.0))
        await until(lambda: single.orderStatus.status == "Filled")
        for seconds in range(1, 120, 7):
            frozen(seconds)
            await settled(client)
        assert trade.orderStatus.status == "Submitted"
        gateway.faults.clear("combos-rest")
        frozen(130)
        await until(lambda: trade.orderStatus.status == "Filled")
        assert gateway.faults.met["combos-rest"] == 1

    serve(RICH, act)


def test_one_combo_of_two_rests_when_one_is_asked_for(serve, library, vertical, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        bag = await vertical(client)
        gateway.faults.set("combos-rest", count=1)
        first, second = (client.placeOrder(bag, library.MarketOrder("BUY", 1, tif="DAY")) for _ in range(2))
        await until(lambda: second.orderStatus.status == "Filled")
        frozen(60)
        await settled(client)
        assert first.orderStatus.status == "Submitted"
        gateway.faults.clear_all()
        frozen(61)
        await until(lambda: first.orderStatus.status == "Filled")

    serve(RICH, act)


def test_a_cancel_is_answered_at_the_next_open(serve, spy, buy, at, until):
    at(datetime(2026, 11, 24, 15, 30, tzinfo=UTC), rate=1e-9)

    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("cancels-unanswered", count=1)
        trade, other = (client.placeOrder(spy, buy(tif="GTC")) for _ in range(2))
        client.cancelOrder(trade.order)
        client.cancelOrder(other.order)
        await until(lambda: other.orderStatus.status == "Cancelled")
        at(datetime(2026, 11, 25, 14, 29, tzinfo=UTC), rate=1e-9)
        await settled(client)
        assert trade.orderStatus.status == "PendingCancel"
        at(datetime(2026, 11, 25, 14, 30, 1, tzinfo=UTC), rate=1e-9)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(BY_THE_CLOCK, act)


def test_an_unanswered_cancel_is_answered_once_healed_and_may_be_filled_until_then(serve, spy, buy, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("cancels-unanswered")
        trade, filling = (client.placeOrder(spy, buy(2, tif="GTC")) for _ in range(2))
        for each in (trade, filling):
            client.cancelOrder(each.order)
        await settled(client)
        assert [order.status for order in gateway.book.alive] == ["PendingCancel"] * 2
        gateway.book.alive[1].limit = 700.0
        frozen(5)
        await until(lambda: filling.orderStatus.status == "Filled")
        assert gateway.account.holdings[756733].quantity == 2
        gateway.faults.clear("cancels-unanswered")
        frozen(6)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(RICH, act)


def test_a_cancel_crosses_a_fill(serve, spy, buy, vertical, heard, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 3, 4, 11)
        gateway.faults.set("cancels-cross-fills", count=2)
        bag = await vertical(client)
        for contract, price in ((spy, 500.0), (bag, 0.1)):
            trade = client.placeOrder(contract, buy(3, price=price))
            await settled(client)
            told.clear()
            client.cancelOrder(trade.order)
            await settled(client)
            assert statuses(told) == ["Filled"]
            assert told[-1][3:] == [
                "10148",
                f"OrderId {trade.order.orderId} that needs to be cancelled cannot be cancelled, state: Filled.",
            ]
            assert trade.fills[0].execution.price == price
            assert trade.fills[0].execution.shares == 3
        assert sorted(holding.quantity for holding in gateway.account.holdings.values()) == [-3, 3, 3]
        trade = client.placeOrder(spy, buy())
        client.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(RICH, act)


def test_a_crossing_needs_an_order_that_works(serve, spy, buy, at, until):
    at(datetime(2026, 11, 24, 8, 0, tzinfo=UTC), rate=1e-9)

    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("cancels-cross-fills", count=1)
        trade = client.placeOrder(spy, buy(tif="GTC"))
        client.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert gateway.account.holdings == {}
        assert gateway.faults.each("cancels-cross-fills"), "nothing was used up"

    serve(BY_THE_CLOCK, act)


@pytest.mark.parametrize("tif", ["DAY", "IOC"])
def test_orders_are_stuck_in_submitting_until_healed(serve, spy, buy, frozen, until, tif):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("stuck-submitting", count=1)
        trade = client.placeOrder(spy, buy(price=700.0, tif=tif))
        free = client.placeOrder(spy, buy(price=700.0))
        await until(lambda: free.orderStatus.status == "Filled")
        frozen(30)
        await settled(client)
        assert trade.orderStatus.status == "PendingSubmit"
        assert trade.order.permId
        assert [order.status for order in gateway.book.alive] == ["PendingSubmit"]
        gateway.faults.clear_all()
        frozen(31)
        await until(lambda: trade.orderStatus.status == "Filled")

    serve(RICH, act)


@pytest.mark.parametrize("status", ["PreSubmitted", "Inactive"])
def test_orders_are_held_for_locate_until_healed(serve, spy, buy, heard, frozen, until, status):
    async def act(gateway, connect):
        client = await connect()
        told = heard(client, 3, 4)
        gateway.faults.set("held-for-locate", count=1, status=status)
        trade = client.placeOrder(spy, buy(price=700.0))
        await settled(client)
        assert statuses(told) == [status] * 2, "again after the message, which libraries may take for a status"
        assert [fields[3] for fields in told if fields[0] == "4"] == ["404"]
        frozen(30)
        await settled(client)
        assert (trade.orderStatus.status, trade.orderStatus.whyHeld) == (status, "locate")
        assert [listed.orderStatus.whyHeld for listed in await client.reqAllOpenOrdersAsync()] == ["locate"]
        gateway.faults.clear("held-for-locate")
        frozen(31)
        await until(lambda: trade.orderStatus.status == "Filled")

    serve(RICH, act)


def test_an_order_held_for_locate_can_be_cancelled(serve, spy, buy, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("held-for-locate", status="Inactive")
        trade = client.placeOrder(spy, buy())
        await settled(client)
        client.client.cancelOrder(trade.order.orderId, "")
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert gateway.book.alive == []

    serve(RICH, act)


def test_a_stuck_order_can_be_cancelled_and_its_time_can_run_out(serve, spy, buy, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("stuck-submitting", seconds=20)
        cancelled, healed = (client.placeOrder(spy, buy(price=700.0)) for _ in range(2))
        client.cancelOrder(cancelled.order)
        await until(lambda: cancelled.orderStatus.status == "Cancelled")
        frozen(21)
        await until(lambda: healed.orderStatus.status == "Filled")

    serve(RICH, act)


@pytest.mark.parametrize("fills", [False, True, "true"])
def test_orders_are_stuck_in_cancelling_until_healed(serve, spy, buy, frozen, until, fills):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("stuck-cancelling", fills=fills, count=1)
        trade = client.placeOrder(spy, buy(tif="GTC"))
        client.cancelOrder(trade.order)
        await settled(client)
        frozen(3 * 86_400)
        await settled(client)
        assert trade.orderStatus.status == "PendingCancel"
        gateway.book.alive[0].limit = 700.0
        frozen(3 * 86_400 + 1)
        await settled(client)
        assert (trade.orderStatus.status == "Filled") is bool(fills)
        gateway.faults.clear_all()
        frozen(3 * 86_400 + 2)
        await until(lambda: trade.orderStatus.status == ("Filled" if fills else "Cancelled"))
        assert gateway.account.standing(clock.now()).cash == pytest.approx(gateway.account.cash, abs=0.01)

    serve(RICH, act)


def test_what_a_fault_took_hold_of_outlasts_its_count_and_not_its_healing(serve, spy, buy, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("stuck-cancelling", count=1)
        trade = client.placeOrder(spy, buy())
        client.cancelOrder(trade.order)
        await settled(client)
        assert not gateway.faults.held
        frozen(1)
        await settled(client)
        assert trade.orderStatus.status == "PendingCancel"
        gateway.faults.clear("stuck-cancelling")
        frozen(2)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(RICH, act)
