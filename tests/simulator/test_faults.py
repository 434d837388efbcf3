"""Faults do what they say, and only while they are set."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from v6cli import clock
from v6cli.errors import BadConfiguration
from v6cli.simulator.faults import ANSWERS, FAULTS, Faults
from v6cli.simulator.scenario import PositionSpec, Scenario, load


@pytest.mark.parametrize("answer", ["positions", "open-orders", "completed-orders", "account"])
def test_a_withheld_end_leaves_the_client_waiting_for_that_answer_alone(serve, library, answer):
    ask = {
        "positions": lambda client: client.reqPositionsAsync(),
        "open-orders": lambda client: client.reqOpenOrdersAsync(),
        "completed-orders": lambda client: client.reqCompletedOrdersAsync(False),
        "account": lambda client: client.reqAccountUpdatesAsync("DU1234567"),
    }

    async def act(gateway, connect):
        client = await connect()
        gateway.faults.set("withhold-end", answer=answer)
        for name, question in ask.items():
            asked = asyncio.ensure_future(question(client))
            done, _ = await asyncio.wait([asked], timeout=0.15)
            assert bool(done) is (name != answer)
            asked.cancel()
        gateway.faults.clear("withhold-end")
        await asyncio.wait_for(ask[answer](client), 2)

    serve("default", act, account_every=60.0)


@pytest.mark.parametrize(
    ("answer", "request_fields"),
    [
        ("positions", (61, 1)),
        ("open-orders", (5, 1)),
        ("completed-orders", (99, 0)),
        ("account", (6, 2, 1, "")),
        ("account-multi", (76, 1, 9, "", "", 0)),
        ("summary", (62, 1, 9, "All", "NetLiquidation")),
        ("executions", (7, 3, 9, 0, "", "", "", "", "", "")),
        ("contract-details", (9, 8, 9, 0, "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", "", 0, "", "")),
        ("chains", (78, 9, "SPY", "", "STK", 756733)),
        ("snapshot", (1, 11, 9, 0, "SPY", "STK", "", 0, "", "", "SMART", "", "USD", "", "", 0, "", 1, 0, "")),
    ],
)
def test_every_end_can_be_withheld(serve, raw, answer, request_fields):
    ends = {"positions": 62, "open-orders": 53, "completed-orders": 102, "account": 54, "account-multi": 74, "summary": 64}
    ends |= {"executions": 55, "contract-details": 52, "chains": 76, "snapshot": 57}
    assert set(ends) == set(ANSWERS)

    async def act(gateway, connect):
        async with raw(connect.port, 1) as (reader, writer):

            async def ended():
                writer.write(raw.frame(*request_fields) + raw.frame(49, 1))
                seen = []
                while not seen or seen[-1] != "49":
                    seen.append((await raw.read(reader))[0])
                return str(ends[answer]) in seen

            assert await ended()
            gateway.faults.set("withhold-end", answer=answer)
            assert not await ended()

    serve("default", act, account_every=60.0)


def test_read_only_refuses_orders_without_an_id_and_without_an_end(serve):
    async def act(gateway, connect):
        client = await connect(readonly=True)
        heard = []
        client.errorEvent += lambda id_, code, text, _contract: heard.append((id_, code, text))
        gateway.faults.set("read-only")
        for question in (client.reqOpenOrdersAsync(), client.reqCompletedOrdersAsync(False)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(question, 0.2)
        said = "Error validating request.-'bN' : cause - The API interface is currently in Read-Only mode."
        assert heard == [(-1, 321, said)] * 2

    serve("default", act)


def test_missing_greeks_leave_the_quote(serve, library):
    async def act(gateway, connect):
        client = await connect()
        held = [holding for holding in gateway.account.holdings.values() if holding.order_ref in {"condor-iwm", "naked-iwm"}]
        contracts = [library.Contract(conId=holding.contract.con_id, exchange="SMART") for holding in held]
        await client.qualifyContractsAsync(*contracts)
        for holding, ticker in zip(held, await client.reqTickersAsync(*contracts), strict=True):
            assert ticker.ask > 0
            assert (ticker.modelGreeks is None) is (holding.order_ref == "condor-iwm")

    serve("degraded", act)


def test_broken_farms_are_told_at_connect_when_they_break_and_when_they_are_back(serve, raw):
    async def act(gateway, connect):
        async with raw(connect.port, 1) as (reader, _):
            await raw.read_until(reader, 4, 2, -1, 2103, "Market data farm connection is broken:usopt")
            await raw.read_until(reader, 4, 2, -1, 2105, "HMDS data farm connection is broken:ushmds")
            gateway.faults.clear("farm-broken")
            await raw.read_until(reader, 4, 2, -1, 2104, "Market data farm connection is OK:usopt")
            gateway.faults.set("farm-broken", farm="usfarm")
            await raw.read_until(reader, 4, 2, -1, 2103, "Market data farm connection is broken:usfarm")

    serve("degraded", act)


@pytest.mark.parametrize(("code", "heard_code"), [("354", 354), ("10089", 10089), ("10168", 10168), ("10167", 354)])
def test_market_data_without_a_subscription_is_refused(serve, library, code, heard_code):
    async def act(gateway, connect):
        client = await connect()
        heard = []
        client.errorEvent += lambda id_, code, text, _contract: heard.append(code)
        stock, other = library.Stock("SPY", "SMART", "USD"), library.Stock("QQQ", "SMART", "USD")
        await client.qualifyContractsAsync(stock, other)
        gateway.faults.set("no-market-data", of=["SPY"], code=code)
        await client.reqTickersAsync(stock)
        (fine,) = await client.reqTickersAsync(other)
        assert heard == [heard_code]
        assert fine.last > 0

    serve("default", act)


def test_delayed_data_is_announced_and_has_ticks_of_its_own(serve, library):
    async def act(gateway, connect):
        client = await connect()
        heard = []
        client.errorEvent += lambda id_, code, text, _contract: heard.append(code)
        (holding, *_) = gateway.account.holdings.values()
        contract = library.Contract(conId=holding.contract.con_id, exchange="SMART")
        await client.qualifyContractsAsync(contract)
        gateway.faults.set("no-market-data", code="10167")
        client.reqMarketDataType(3)
        (ticker,) = await client.reqTickersAsync(contract)
        assert heard == [10167]
        assert ticker.marketDataType == 3
        assert ticker.ask > 0
        assert ticker.modelGreeks.delta is not None
        assert {tick.tickType for tick in ticker.ticks} <= {66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76}

    serve("default", act)


def test_a_contract_without_a_quote_and_one_without_a_bid(serve, library):
    async def act(gateway, connect):
        client = await connect()
        held = {holding.order_ref + holding.quote: holding for holding in gateway.account.holdings.values()}
        contracts = [
            library.Contract(conId=held[name].contract.con_id, exchange="SMART")
            for name in ("no-quotenone", "no-bidno-bid", "haltednone", "adjustednormal")
        ]
        await client.qualifyContractsAsync(*contracts)
        none, no_bid, halted, adjusted = await client.reqTickersAsync(*contracts)
        assert (none.bid, none.ask, none.modelGreeks) == (-1, -1, None)
        assert no_bid.bid == -1
        assert no_bid.ask > 0
        assert halted.bid == halted.ask == -1
        assert adjusted.modelGreeks is None
        assert adjusted.ask > 0
        expired = next(holding for holding in gateway.account.holdings.values() if holding.order_ref == "expired")
        assert expired.contract.con_id in {position.contract.conId for position in client.positions()}

    serve("awkward", act)


def test_faults_are_checked_by_name_parameter_and_value():
    faults = Faults()
    for name, parameters in (
        ("no-such", {}),
        ("withhold-end", {"of": "x"}),
        ("withhold-end", {"answer": "x"}),
        ("farm-broken", {"code": 2104}),
        ("withhold-end", {"count": 0}),
        ("read-only", {"count": 1}),
        ("withhold-end", {"count": 1.5}),
        ("read-only", {"seconds": "soon"}),
        ("no-bid", {"of": []}),
        ("read-only", {"seconds": float("nan")}),
    ):
        with pytest.raises(BadConfiguration):
            faults.set(name, **parameters)
    assert all(fault.meaning.endswith(".") for fault in FAULTS.values())


def test_a_fault_ends_after_its_count_or_its_time_and_says_so():
    faults, heard = Faults(), []
    faults.changed = lambda name, begins, parameters: heard.append((name, begins, parameters))
    faults.set("withhold-end", answer="positions", count=2)
    faults.set("read-only", seconds=30)
    assert not faults.withholds("account"), "another answer uses nothing up"
    assert [faults.withholds("positions") for _ in range(3)] == [True, True, False]
    faults.advance(clock.now() + timedelta(seconds=29))
    assert faults.each("read-only") == [{}]
    faults.advance(clock.now() + timedelta(seconds=31))
    assert not faults.each("read-only") and not faults.held
    assert heard[2:] == [("withhold-end", False, [{"answer": "positions"}]), ("read-only", False, [{}])]
    assert faults.met == {"withhold-end": 2}


def test_a_count_may_be_written_as_a_number_with_a_point():
    faults = Faults()
    faults.set("withhold-end", answer="positions", count=2.0)
    assert [faults.withholds("positions") for _ in range(3)] == [True, True, False]


def test_an_answer_that_is_not_named_is_every_answer():
    faults = Faults()
    faults.set("withhold-end")
    assert faults.withholds("positions") and faults.withholds("executions")


def test_a_scenario_has_no_fault_that_happens_at_a_moment(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[[faults]]\nname = "liquidation"\n')
    with pytest.raises(BadConfiguration, match=r"own\.toml: faults\[0\]: liquidation happens at a moment"):
        load(path)
    with pytest.raises(BadConfiguration, match="happens at a moment"):
        Faults([{"name": "liquidation"}])


def test_a_scenario_sets_its_faults_at_the_start(serve):
    async def act(gateway, _connect):
        assert gateway.faults.withholds("summary")
        assert not gateway.faults.withholds("positions")

    serve(Scenario(positions=[PositionSpec("SPY", 1)], faults=[{"name": "withhold-end", "answer": "summary"}]), act)
    assert replace(load("default")).faults == []
