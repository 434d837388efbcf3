"""Orders as the real client libraries place, change and cancel them over a real socket."""

import asyncio
from datetime import UTC, datetime

import pytest

from v6cli import clock
from v6cli.simulator.scenario import AccountSpec, OrderSpec, PositionSpec, Scenario

ACCOUNT = "DU1234567"
EMPTY = Scenario(account=AccountSpec(cash=100_000.0))
RICH = Scenario(account=AccountSpec(cash=1_000_000.0))
HELD = Scenario(
    account=AccountSpec(cash=100_000.0),
    positions=[PositionSpec("SPY", 10)],
    orders=[OrderSpec("", client=0, type="STP", stop="80%")],
)


def spy(library):
    return library.Stock("SPY", "SMART", "USD")


def put(library, strike=650):
    return library.Option("SPY", "20261218", strike, "P", "SMART", tradingClass="SPY")


def limit(library, action, quantity, price, **how):
    return library.LimitOrder(action, quantity, price, **({"tif": "DAY", "account": ACCOUNT, "orderRef": "ref/1"} | how))


def market(library, action, quantity, **how):
    return library.MarketOrder(action, quantity, **({"tif": "DAY", "account": ACCOUNT} | how))


def errors_of(client):
    found = []
    client.errorEvent += lambda id_, code, text, _contract: found.append((id_, code, text))
    return found


async def quoted(gateway, contract):
    """What the market shows of a contract now."""
    (found,) = gateway.quoter.prices([gateway.chains.by_id(contract.conId)], clock.now())
    return found


async def resolve(client, contract):
    (details,) = await client.reqContractDetailsAsync(contract)
    return details.contract


def test_a_market_order_fills_and_everything_agrees(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        events = []
        client.openOrderEvent += lambda trade: events.append("open")
        client.execDetailsEvent += lambda trade, fill: events.append("fill")
        client.commissionReportEvent += lambda trade, fill, report: events.append("commission")
        trade = client.placeOrder(spy(library), market(library, "BUY", 10, orderRef="mine/1"))
        await until(lambda: trade.orderStatus.status == "Filled" and len(events) >= 3 and client.positions())
        assert list(dict.fromkeys(events)) == ["open", "fill", "commission"]
        (fill,) = trade.fills
        assert trade.order.permId == fill.execution.permId > 2_000_000_000
        assert (fill.execution.orderRef, fill.execution.clientId, fill.execution.side) == ("mine/1", 1, "BOT")
        assert fill.execution.cumQty == 10
        assert fill.commissionReport.commission == 1.0
        (position,) = client.positions()
        assert (position.position, position.avgCost) == (10, pytest.approx(fill.execution.price + 0.1))
        assert gateway.account.cash == pytest.approx(100_000 - 10 * fill.execution.price - 1)
        await until(lambda: [item.position for item in client.portfolio()] == [10])

    serve(EMPTY, act, account_every=60.0)


def test_a_limit_order_rests_is_changed_and_cancelled(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        order = limit(library, "BUY", 2, 500.0)
        trade = client.placeOrder(spy(library), order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        perm_id = trade.order.permId
        order.lmtPrice, order.totalQuantity = 501.0, 3
        client.placeOrder(spy(library), order)
        await until(lambda: gateway.book.alive[0].limit == 501.0)
        await client.reqCurrentTimeAsync()  # a push that comes after the question counts as an answer
        (listed,) = await client.reqAllOpenOrdersAsync()
        assert (listed.order.permId, listed.order.lmtPrice, listed.order.totalQuantity) == (perm_id, 501.0, 3)
        assert (listed.order.orderRef, listed.order.clientId) == ("ref/1", 1)
        client.cancelOrder(order)
        await until(lambda: trade.orderStatus.status == "Cancelled" and heard)
        assert [code for _, code, _ in heard] == [202]
        assert await client.reqAllOpenOrdersAsync() == []
        (completed,) = await client.reqCompletedOrdersAsync(False)
        assert (completed.orderStatus.status, completed.order.permId, completed.order.orderId) == ("Cancelled", perm_id, 0)

    serve(EMPTY, act)


def test_a_resting_order_fills_when_the_market_comes_to_it(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        contract = await resolve(client, spy(library))
        quote = await quoted(gateway, contract)
        trade = client.placeOrder(contract, limit(library, "BUY", 1, round(quote.bid - 0.30, 2)))
        await until(lambda: trade.orderStatus.status == "Submitted")
        for step in range(1, 3000):
            frozen(step * 10)
            if (await quoted(gateway, contract)).ask <= trade.order.lmtPrice:
                break
            assert not trade.fills
        await until(lambda: trade.orderStatus.status == "Filled")
        assert trade.fills[0].execution.price <= trade.order.lmtPrice

    serve(EMPTY, act)


def test_a_what_if_has_numbers_and_sends_nothing(serve, library, frozen):
    async def act(gateway, connect):
        client = await connect()
        state = await asyncio.wait_for(client.whatIfOrderAsync(put(library), limit(library, "SELL", 1, 8.0)), 2)
        before, change, after = (float(getattr(state, f"initMargin{when}")) for when in ("Before", "Change", "After"))
        assert before + change == pytest.approx(after)
        assert change > 5_000
        assert state.commission == 1.0
        assert float(state.equityWithLoanChange) == pytest.approx(799.0)
        assert gateway.book.alive == gateway.book.ended == []

    serve(EMPTY, act)


def refused(serve, library, until, contract, order, code, scenario=EMPTY, **options):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        client.placeOrder(contract, order)
        await until(lambda: heard)
        assert heard[0][:2] == (order.orderId, code)
        assert gateway.book.alive == []
        return heard[0][2]

    return serve(scenario, act, **options)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (("LMT", "BUY", 1, 600.005), 110),
        (("LMT", "BUY", 1, 900.0), 109),
        (("LMT", "BUY", 1, 770.0), 202),
        (("LMT", "BUY", 0, 600.0), 434),
        (("LMT", "BUY", 2_000_000, 600.0), 201),
        (("TRAIL", "BUY", 1, 600.0), 387),
        (("LMT", "BUY", 1.5, 600.0), 10243),
        (("LMT", "HOLD", 1, 600.0), 321),
        (("LMT", "BUY", 5000, 600.0), 201),
    ],
)
def test_what_is_refused(serve, library, frozen, until, order, code):
    kind, action, quantity, price = order
    asked = limit(library, action, quantity, price)
    asked.orderType = kind
    refused(serve, library, until, spy(library), asked, code)


def test_a_price_beyond_the_cap_cancels_a_new_order_and_leaves_a_working_one(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        capped = client.placeOrder(spy(library), limit(library, "BUY", 1, 770.0))
        await until(lambda: capped.orderStatus.status == "Cancelled" and heard)
        assert heard == [(capped.order.orderId, 202, heard[0][2])]
        assert heard[0][2].startswith("Order Canceled - reason:We cannot accept an order at the limit price")
        assert [trade.orderStatus.status for trade in await client.reqCompletedOrdersAsync(False)] == ["Cancelled"]
        order = limit(library, "BUY", 1, 500.0)
        working = client.placeOrder(spy(library), order)
        await until(lambda: working.orderStatus.status == "Submitted")
        order.lmtPrice = 770.0
        client.placeOrder(spy(library), order)
        await until(lambda: len(heard) == 2)
        await until(lambda: working.orderStatus.status == "Submitted")
        assert [(kept.limit, kept.status) for kept in gateway.book.alive] == [(500.0, "Submitted")]

    serve(EMPTY, act)


def test_a_change_that_names_no_contract_leaves_the_original_working(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        order = limit(library, "BUY", 1, 500.0)
        trade = client.placeOrder(spy(library), order)
        await until(lambda: trade.orderStatus.status == "Submitted")
        client.placeOrder(library.Stock("SPY", "", "USD"), order)
        await until(lambda: heard)
        await client.reqCurrentTimeAsync()
        assert heard[0][1] == 321
        assert trade.orderStatus.status == "Submitted"
        assert gateway.book.alive

    serve(EMPTY, act)


def test_what_fills_at_once_or_not_at_all_does_so_as_a_child_too(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        parent = limit(library, "BUY", 5, 500.0, transmit=False)
        parent.orderId = client.client.getReqId()
        child = limit(library, "SELL", 5, 900.0, tif="IOC", parentId=parent.orderId)
        trades = [client.placeOrder(spy(library), order) for order in (parent, child)]
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Submitted", "PreSubmitted"])
        parent.lmtPrice, parent.transmit = 700.0, True
        client.placeOrder(spy(library), parent)
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Filled", "Cancelled"])
        assert gateway.book.alive == []

    serve(EMPTY, act)


def test_a_group_s_order_that_went_with_its_parent_ends_once(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        parent = limit(library, "BUY", 1, 500.0, ocaGroup="one", transmit=False)
        parent.orderId = client.client.getReqId()
        child = limit(library, "SELL", 1, 900.0, ocaGroup="one", parentId=parent.orderId)
        trades = [client.placeOrder(spy(library), order) for order in (parent, child)]
        await until(lambda: trades[1].orderStatus.status == "PreSubmitted")
        client.placeOrder(spy(library), market(library, "BUY", 1, ocaGroup="one", ocaType=1))
        await until(lambda: {trade.orderStatus.status for trade in trades} == {"Cancelled"})
        await client.reqCurrentTimeAsync()
        assert [code for _, code, _ in heard] == [202, 202]

    serve(EMPTY, act)


def test_contracts_that_do_not_exist_or_name_no_exchange(serve, library, frozen, until):
    refused(serve, library, until, library.Option("SPY", "20261120", 650, "P", "SMART"), limit(library, "BUY", 1, 1.0), 200)
    refused(serve, library, until, library.Stock("SPY", "", "USD"), limit(library, "BUY", 1, 600.0), 321)


def test_no_buying_power_in_ib_s_words_and_as_a_completed_order(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        client.placeOrder(put(library), limit(library, "SELL", 50, 8.0))
        await until(lambda: heard)
        assert heard[0][1] == 201
        assert "EQUITY WITH LOAN VALUE" in heard[0][2]
        assert "INITIAL MARGIN" in heard[0][2]
        (order,) = gateway.book.ended
        assert (order.status, order.alive) == ("Inactive", False)

    serve(EMPTY, act)


def test_ids_that_are_used_filled_or_unknown(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        filled = client.placeOrder(spy(library), market(library, "BUY", 1))
        await until(lambda: filled.orderStatus.status == "Filled")
        for act_again, code in (
            (lambda: client.client.placeOrder(filled.order.orderId, spy(library), limit(library, "BUY", 5, 600.0)), 104),
            (lambda: client.client.cancelOrder(filled.order.orderId, ""), 10148),
            (lambda: client.client.cancelOrder(4711, ""), 10147),
        ):
            heard.clear()
            act_again()
            await until(lambda: heard)
            assert [found for _, found, _ in heard] == [code]
        cancelled = client.placeOrder(spy(library), limit(library, "BUY", 1, 500.0))
        await until(lambda: cancelled.orderStatus.status == "Submitted")
        client.cancelOrder(cancelled.order)
        await until(lambda: cancelled.orderStatus.status == "Cancelled")
        heard.clear()
        client.client.placeOrder(cancelled.order.orderId, spy(library), limit(library, "BUY", 1, 500.0))
        await until(lambda: 103 in [code for _, code, _ in heard])
        assert gateway.book.alive == []

    serve(EMPTY, act)


def test_a_refused_change_leaves_the_original_working(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        order = limit(library, "BUY", 2, 500.0)
        client.placeOrder(spy(library), order)
        await until(lambda: gateway.book.alive and gateway.book.alive[0].status == "Submitted")
        order.lmtPrice = 500.001
        client.placeOrder(spy(library), order)
        await until(lambda: heard)
        assert heard[0][1] == 110
        await client.reqCurrentTimeAsync()  # a push that comes after the question counts as an answer
        (alive,) = await client.reqAllOpenOrdersAsync()
        assert (alive.order.lmtPrice, alive.orderStatus.status) == (500.0, "Submitted")

    serve(EMPTY, act)


def test_a_change_keeps_the_original_total_and_not_less_than_was_filled(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        order = market(library, "BUY", 300, tif="GTC")
        trade = client.placeOrder(put(library), order)
        await until(lambda: trade.orderStatus.filled > 1)
        order.totalQuantity = 1
        client.placeOrder(trade.contract, order)
        await until(lambda: heard)
        assert heard[0][1] == 105
        assert gateway.book.alive[0].quantity == 300
        order.totalQuantity = trade.orderStatus.filled + 1
        client.placeOrder(trade.contract, order)
        await until(lambda: trade.orderStatus.status == "Filled")
        assert sum(fill.execution.shares for fill in trade.fills) == order.totalQuantity

    serve(RICH, act)


def test_a_bracket_waits_wakes_and_one_child_ends_the_other(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        contract = await resolve(client, spy(library))
        quote = await quoted(gateway, contract)
        parent, take, stop = client.bracketOrder("BUY", 5, round(quote.bid - 5, 2), round(quote.ask + 3, 2), round(quote.bid - 20, 2))
        for order in (parent, take, stop):
            order.tif = "DAY"
        trades = [client.placeOrder(contract, order) for order in (parent, take)]
        await until(lambda: len(gateway.book.alive) == 2)
        assert [order.status for order in gateway.book.alive] == ["PendingSubmit", "PendingSubmit"]
        trades.append(client.placeOrder(contract, stop))
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Submitted", "PreSubmitted", "PreSubmitted"])
        assert [trade.orderStatus.whyHeld for trade in trades] == ["", "child", "child,trigger"]
        assert [trade.orderStatus.parentId for trade in trades] == [0, parent.orderId, parent.orderId]
        parent.lmtPrice = round(quote.ask + 1, 2)
        client.placeOrder(contract, parent)
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Filled", "Submitted", "PreSubmitted"])
        take.lmtPrice = round(quote.bid - 1, 2)
        client.placeOrder(contract, take)
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Filled", "Filled", "Cancelled"])
        await until(lambda: not gateway.account.holdings)

    serve(EMPTY, act)


def test_cancelling_a_parent_cancels_its_children(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        orders = client.bracketOrder("BUY", 5, 500.0, 700.0, 450.0)
        trades = [client.placeOrder(spy(library), order) for order in orders]
        await until(lambda: len(gateway.book.alive) == 3)
        client.cancelOrder(orders.parent)
        await until(lambda: {trade.orderStatus.status for trade in trades} == {"Cancelled"})

    serve(EMPTY, act)


@pytest.fixture
def half_filled(library, until):
    """Place a bracket whose first order fills in part, and return its trades: that one's, the limit's, the stop's."""

    async def place(client):
        contract = await resolve(client, put(library))
        orders = client.bracketOrder("BUY", 300, 5.0, 90.0, 0.05)
        orders.parent.orderType = "MKT"
        for order in orders:
            order.tif = "GTC"
        trades = [client.placeOrder(contract, order) for order in orders]
        await until(lambda: trades[0].orderStatus.filled and trades[2].orderStatus.status == "PreSubmitted")
        assert trades[0].orderStatus.remaining
        return trades

    return place


def shrink(client, parent):
    parent.order.totalQuantity = parent.orderStatus.filled
    client.placeOrder(parent.contract, parent.order)


@pytest.mark.parametrize("end", [shrink, lambda client, parent: client.cancelOrder(parent.order)])
def test_children_of_a_half_filled_order_that_ends_stay_for_what_has_filled(serve, frozen, until, half_filled, end):
    async def act(gateway, connect):
        client = await connect()
        parent, take, stop = await half_filled(client)
        end(client, parent)
        await until(lambda: [trade.orderStatus.status for trade in (parent, take)] == ["Cancelled", "Submitted"])
        await client.reqCurrentTimeAsync()
        filled = parent.orderStatus.filled
        assert [trade.order.totalQuantity for trade in (take, stop)] == [filled, filled]
        assert (stop.orderStatus.status, stop.orderStatus.whyHeld) == ("PreSubmitted", "trigger")
        take.order.orderType, take.order.lmtPrice = "LMT", 3.0
        client.placeOrder(take.contract, take.order)
        for step in range(1, 100):
            frozen(step * 60)
            await client.reqCurrentTimeAsync()
            if take.orderStatus.status == "Filled":
                break
        await until(lambda: stop.orderStatus.status == "Cancelled" and not gateway.account.holdings)

    serve(RICH, act)


def test_a_global_cancel_takes_the_children_of_what_has_filled_too(serve, frozen, until, half_filled):
    async def act(gateway, connect):
        client = await connect()
        trades = await half_filled(client)
        client.reqGlobalCancel()
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Cancelled"] * 3)
        assert not gateway.book.alive
        assert "Submitted" not in {entry.status for entry in trades[1].log}

    serve(RICH, act)


def test_one_of_a_group_cancels_the_rest(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        first, second = (limit(library, "BUY", 1, price, ocaGroup="either", ocaType=1) for price in (500.0, 505.0))
        trades = [client.placeOrder(spy(library), order) for order in (first, second)]
        await until(lambda: len(gateway.book.alive) == 2)
        first.lmtPrice = 700.0
        client.placeOrder(spy(library), first)
        await until(lambda: [trade.orderStatus.status for trade in trades] == ["Filled", "Cancelled"])

    serve(EMPTY, act)


def test_a_combo_fills_as_a_line_and_its_legs_of_which_only_these_count(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        low, high = [await resolve(client, put(library, strike)) for strike in (640, 650)]
        legs = [
            library.ComboLeg(conId=low.conId, ratio=1, action="BUY", exchange="SMART"),
            library.ComboLeg(conId=high.conId, ratio=1, action="SELL", exchange="SMART"),
        ]
        bag = library.Contract(symbol="SPY", secType="BAG", exchange="SMART", currency="USD", comboLegs=legs)
        far, near = await quoted(gateway, low), await quoted(gateway, high)
        trade = client.placeOrder(bag, limit(library, "BUY", 2, round(far.ask - near.bid, 2), orderRef="spread/1"))
        await until(lambda: trade.orderStatus.status == "Filled")
        await until(lambda: len(client.positions()) == 2)
        lines = [fill for fill in trade.fills if fill.contract.secType == "BAG"]
        parts = [fill for fill in trade.fills if fill.contract.secType == "OPT"]
        assert len(parts) == 2 * len(lines)
        assert {(fill.contract.strike, fill.execution.side) for fill in parts} == {(640, "BOT"), (650, "SLD")}
        assert {fill.execution.orderRef for fill in trade.fills} == {"spread/1"}
        net = sum(fill.execution.price * fill.execution.shares * (1 if fill.execution.side == "BOT" else -1) for fill in parts)
        assert net == pytest.approx(sum(fill.execution.price * fill.execution.shares for fill in lines))
        assert {position.contract.strike: position.position for position in client.positions()} == {640: 2, 650: -2}
        fees = sum(fill.commissionReport.commission for fill in parts)
        assert fees == pytest.approx(2.6)
        assert gateway.account.cash == pytest.approx(100_000 - net * 100 - fees)
        asked = await client.reqExecutionsAsync()
        assert {fill.execution.execId for fill in asked} == {fill.execution.execId for fill in trade.fills}

    serve(EMPTY, act)


def test_a_leg_filled_in_parts_states_the_average_of_its_parts(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        low, high = [await resolve(client, put(library, strike)) for strike in (640, 650)]
        legs = [library.ComboLeg(conId=leg.conId, ratio=1, action=side, exchange="SMART") for leg, side in ((low, "BUY"), (high, "SELL"))]
        bag = library.Contract(symbol="SPY", secType="BAG", exchange="SMART", currency="USD", comboLegs=legs)
        trade = client.placeOrder(bag, market(library, "BUY", 300, tif="GTC"))
        for step in range(1, 100):
            frozen(step * 60)
            await client.reqCurrentTimeAsync()
            if trade.orderStatus.status == "Filled":
                break
        for contract in (low, high):
            parts = [fill.execution for fill in trade.fills if fill.contract.conId == contract.conId]
            assert len({part.price for part in parts}) > 1
            for place, part in enumerate(parts, 1):
                shares = [earlier.shares for earlier in parts[:place]]
                assert part.cumQty == sum(shares)
                assert part.avgPrice == pytest.approx(sum(one.price * one.shares for one in parts[:place]) / sum(shares))

    serve(RICH, act)


def test_realized_profit_is_reported_with_the_closing_fill(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        bought = client.placeOrder(spy(library), market(library, "BUY", 10))
        await until(lambda: bought.orderStatus.status == "Filled")
        sold = client.placeOrder(spy(library), market(library, "SELL", 10))
        await until(lambda: sold.fills and sold.fills[-1].commissionReport.execId)
        paid, got = bought.fills[0].execution.price, sold.fills[0].execution.price
        assert sold.fills[0].commissionReport.realizedPNL == pytest.approx(10 * (got - paid) - 2)
        assert gateway.account.holdings == {}
        await until(lambda: client.positions() == [])
        assert gateway.account.standing(clock.now()).daily == pytest.approx(10 * (got - paid), abs=0.01)

    serve(EMPTY, act)


def test_a_stop_waits_for_its_price(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        contract = await resolve(client, spy(library))
        quote = await quoted(gateway, contract)
        waiting = client.placeOrder(contract, library.StopOrder("SELL", 1, round(quote.bid - 10, 2), tif="GTC"))
        reached = client.placeOrder(contract, library.StopOrder("SELL", 1, round(quote.bid + 10, 2), tif="GTC"))
        await until(lambda: reached.orderStatus.status == "Filled")
        assert (waiting.orderStatus.status, waiting.orderStatus.whyHeld) == ("PreSubmitted", "trigger")

    serve(EMPTY, act)


def test_global_cancel_takes_everybody_s_orders_and_those_by_hand(serve, library, frozen, until):
    async def act(gateway, connect):
        first, second = await connect(1), await connect(7)
        trade = first.placeOrder(spy(library), limit(library, "BUY", 1, 500.0))
        await until(lambda: len(gateway.book.alive) == 2)
        second.reqGlobalCancel()
        await until(lambda: not gateway.book.alive)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(HELD, act)


def test_an_order_is_cancelled_by_its_own_client_only(serve, library, frozen, until):
    async def act(gateway, connect):
        first, second = await connect(1), await connect(7)
        trade = first.placeOrder(spy(library), limit(library, "BUY", 1, 500.0))
        await until(lambda: len(gateway.book.alive) == 2)
        heard = errors_of(second)
        second.cancelOrder(trade.order)
        await until(lambda: heard)
        assert heard[0][1] == 10147
        assert len(gateway.book.alive) == 2

    serve(HELD, act)


def test_client_zero_cancels_what_was_entered_by_hand(serve, frozen, until):
    async def act(gateway, connect):
        client = await connect(0)
        (manual,) = client.openTrades()
        assert manual.order.orderId < 0
        client.cancelOrder(manual.order)
        await until(lambda: not gateway.book.alive)

    serve(HELD, act)


def test_the_master_client_hears_of_everybody_s_orders(serve, library, frozen, until):
    async def act(_gateway, connect):
        trader, master, other = await connect(1), await connect(2), await connect(3)
        trader.placeOrder(spy(library), market(library, "BUY", 1, orderRef="seen"))
        await until(lambda: [fill.execution.orderRef for fill in master.fills()] == ["seen"])
        await until(lambda: master.fills()[0].commissionReport.commission == 1.0)
        assert [trade.order.orderRef for trade in master.trades()] == ["seen"]
        assert other.trades() == other.fills() == []

    serve(EMPTY, act)


NIGHT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def test_outside_its_hours_an_order_waits_and_a_day_order_ends_at_the_close(serve, library, at, until):
    at(NIGHT, rate=1e-9)

    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        today = client.placeOrder(spy(library), limit(library, "BUY", 1, 500.0))
        kept = client.placeOrder(spy(library), limit(library, "BUY", 1, 500.0, tif="GTC"))
        await until(lambda: len(heard) == 2)
        assert {code for _, code, _ in heard} == {399}
        assert "2026-11-24 09:30:00 US/Eastern" in heard[0][2]
        assert [order.status for order in gateway.book.alive] == ["PreSubmitted", "PreSubmitted"]
        at(datetime(2026, 11, 24, 15, 0, tzinfo=UTC), rate=1e-9)
        await until(lambda: [order.status for order in gateway.book.alive] == ["Submitted", "Submitted"])
        at(datetime(2026, 11, 24, 21, 0, 1, tzinfo=UTC), rate=1e-9)
        await until(lambda: today.orderStatus.status == "Cancelled")
        assert [order.tif for order in gateway.book.alive] == ["GTC"]
        assert kept.orderStatus.status == "PreSubmitted"

    serve(Scenario(market="exchange"), act)


def test_an_order_may_still_fill_while_its_cancel_is_pending(serve, library, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        trade = client.placeOrder(spy(library), limit(library, "BUY", 1, 500.0))
        await until(lambda: trade.orderStatus.status == "Submitted")
        client.cancelOrder(trade.order)
        await until(lambda: gateway.book.alive[0].status == "PendingCancel")
        frozen(4)
        await asyncio.sleep(0.1)
        assert gateway.book.alive
        frozen(6)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(Scenario(cancel_seconds=5.0), act)
