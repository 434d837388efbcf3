"""What IB does not take from a client, and when what it takes comes to its end by the clock."""

from datetime import UTC, datetime

import pytest

from v6cli.simulator.admission import MOST_GENERATIONS
from v6cli.simulator.scenario import AccountSpec, Scenario

RICH = Scenario(account=AccountSpec(cash=1_000_000.0))
BY_THE_CLOCK = Scenario(account=AccountSpec(cash=1_000_000.0), market="exchange")


@pytest.fixture
def spy(library):
    return library.Stock("SPY", "SMART", "USD")


@pytest.fixture
def limit(library):
    return lambda action, price, quantity=1, **how: library.LimitOrder(action, quantity, price, **({"tif": "DAY"} | how))


def errors_of(client):
    found = []
    client.errorEvent += lambda id_, code, text, _contract: found.append((id_, code))
    return found


async def settled(client):
    """Everything the gateway sent before this has arrived."""
    await client.reqCurrentTimeAsync()


def test_a_change_turns_no_order_round_and_takes_it_to_no_other_contract(serve, library, spy, limit, frozen):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        trade = client.placeOrder(spy, limit("BUY", 500.0))
        await settled(client)
        client.client.placeOrder(trade.order.orderId, spy, limit("SELL", 900.0))
        client.client.placeOrder(trade.order.orderId, library.Stock("QQQ", "SMART", "USD"), limit("BUY", 500.0))
        await settled(client)
        assert heard == [(trade.order.orderId, 105)] * 2
        assert [(order.action, order.limit, order.contract.symbol, order.status) for order in gateway.book.alive] == [
            ("BUY", 500.0, "SPY", "Submitted")
        ]
        assert trade.orderStatus.status == "Submitted"

    serve(RICH, act)


def test_a_parent_is_an_order_of_the_same_client_and_not_the_order_itself(serve, spy, limit, frozen):
    async def act(gateway, connect):
        first, second = await connect(1), await connect(7)
        parent = first.placeOrder(spy, limit("BUY", 500.0)).order
        heard = errors_of(second)
        own = second.client.getReqId()
        second.placeOrder(spy, limit("SELL", 900.0, parentId=parent.orderId + 1000))
        second.placeOrder(spy, limit("SELL", 900.0, orderId=own, parentId=own))
        await settled(second)
        assert [code for _, code in heard] == [135, 135]
        assert [order.client_id for order in gateway.book.alive] == [1]

    serve(RICH, act)


def test_a_group_reaches_across_clients(serve, library, spy, limit, frozen, until):
    async def act(gateway, connect):
        first, second = await connect(1), await connect(7)
        resting = first.placeOrder(spy, limit("BUY", 500.0, ocaGroup="either", ocaType=1))
        await settled(first)
        second.placeOrder(spy, library.MarketOrder("BUY", 1, tif="DAY", ocaGroup="either", ocaType=1))
        await until(lambda: resting.orderStatus.status == "Cancelled")
        assert gateway.account.holdings[756733].quantity == 1

    serve(RICH, act)


def test_a_group_of_which_one_has_filled_takes_no_other(serve, spy, limit, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        first = client.placeOrder(spy, limit("BUY", 700.0, ocaGroup="either", ocaType=1))
        await until(lambda: first.orderStatus.status == "Filled")
        late = client.placeOrder(spy, limit("BUY", 500.0, ocaGroup="either", ocaType=1))
        other = client.placeOrder(spy, limit("BUY", 500.0, ocaGroup="another", ocaType=1))
        await until(lambda: other.orderStatus.status == "Submitted")
        assert heard == [(late.order.orderId, 201)]
        assert [order.oca_group for order in gateway.book.alive] == ["another"]
        (rejected,) = [order for order in gateway.book.ended if order.order_id == late.order.orderId]
        assert rejected.ended_by.endswith("OCA group is already filled.")

    serve(RICH, act)


@pytest.mark.parametrize("strikes", [(650,), (640, 645, 650, 655, 660), (650, 650)])
def test_a_combo_has_two_to_four_different_legs(serve, library, limit, frozen, strikes):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        legs = []
        for strike in strikes:
            (found,) = await client.qualifyContractsAsync(library.Option("SPY", "20261218", strike, "P", "SMART", tradingClass="SPY"))
            legs.append(library.ComboLeg(conId=found.conId, ratio=1, action="BUY", exchange="SMART"))
        trade = client.placeOrder(
            library.Contract(symbol="SPY", secType="BAG", exchange="SMART", currency="USD", comboLegs=legs), limit("BUY", 1.0)
        )
        await settled(client)
        assert heard == [(trade.order.orderId, 321)]
        assert gateway.book.alive == []

    serve(RICH, act)


def test_orders_wait_for_one_another_in_rows_of_bounded_length(serve, spy, limit, frozen, until):
    async def act(gateway, connect):
        client = await connect()
        heard = errors_of(client)
        parent, trades = 0, []
        for place in range(MOST_GENERATIONS + 1):
            order = limit("SELL" if place % 2 else "BUY", 900.0 if place % 2 else 500.0, orderId=client.client.getReqId(), parentId=parent)
            trades.append(client.placeOrder(spy, order))
            parent = order.orderId
        await settled(client)
        assert heard == [(parent, 201)]
        assert len(gateway.book.alive) == MOST_GENERATIONS
        client.cancelOrder(trades[0].order)
        await until(lambda: not gateway.book.alive)

    serve(RICH, act)


@pytest.mark.parametrize(
    ("placed", "last", "over"),
    [
        # Night of the hour that repeats, and of the hour that is missing: the session ends at 16:00 New York time.
        ((2026, 11, 1, 5, 30), (2026, 11, 2, 20, 59, 59), (2026, 11, 2, 21, 0, 1)),
        ((2026, 11, 1, 6, 30), (2026, 11, 2, 20, 59, 59), (2026, 11, 2, 21, 0, 1)),
        ((2027, 3, 14, 6, 59), (2027, 3, 15, 19, 59, 59), (2027, 3, 15, 20, 0, 1)),
        # The day after Thanksgiving closes at 13:00.
        ((2026, 11, 27, 15, 0), (2026, 11, 27, 17, 59, 59), (2026, 11, 27, 18, 0, 1)),
    ],
)
def test_a_day_order_ends_with_its_session(serve, spy, limit, at, until, placed, last, over):
    at(datetime(*placed, tzinfo=UTC), rate=1e-9)

    async def act(gateway, connect):
        client = await connect()
        trade = client.placeOrder(spy, limit("BUY", 300.0))
        await settled(client)
        at(datetime(*last, tzinfo=UTC), rate=1e-9)
        await settled(client)
        assert trade.orderStatus.status == "Submitted"
        at(datetime(*over, tzinfo=UTC), rate=1e-9)
        await until(lambda: trade.orderStatus.status == "Cancelled")

    serve(BY_THE_CLOCK, act)


def test_an_order_ends_with_its_contract_and_no_new_one_is_taken_after_it(serve, library, limit, at, until):
    at(datetime(2026, 11, 27, 15, 0, tzinfo=UTC), rate=1e-9)

    async def act(gateway, connect):
        client = await connect()
        call = library.Option("SPY", "20261127", 690, "C", "SMART", tradingClass="SPY")
        trade = client.placeOrder(call, limit("BUY", 0.01, tif="GTC"))
        await settled(client)
        assert trade.orderStatus.status == "Submitted"
        at(datetime(2026, 11, 27, 18, 15, 1, tzinfo=UTC), rate=1e-9)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        heard = errors_of(client)
        late = client.placeOrder(call, limit("BUY", 0.01, tif="GTC"))
        await settled(client)
        assert heard == [(late.order.orderId, 200)]

    serve(BY_THE_CLOCK, act)
