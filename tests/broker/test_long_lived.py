"""What a connection that stays for days must not forget: broken farms, a lost link, lines that ended, the gateway's zone."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import msgspec
import pytest

from v6cli import events
from v6cli.broker import contracts as contracts_module
from v6cli.broker import quotes
from v6cli.broker.account import positions_and_account
from v6cli.broker.contracts import Details, Directory
from v6cli.broker.quotes import Watchlist
from v6cli.broker.translate import fill
from v6cli.errors import GatewayUnavailable
from v6cli.models import Contract


async def options_of(connection) -> list[Contract]:
    positions, _ = await positions_and_account(connection)
    return [one.contract for one in positions if one.contract.is_option]


def test_a_broken_farm_and_a_lost_link_outlast_any_number_of_other_messages(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        stage.gateway.faults.set("farm-broken", farm="usopt")
        async with asyncio.timeout(2):
            while not connection.farms_down:
                await asyncio.sleep(0.01)
        say = connection.client._on_message
        say(-1, 1100, "Connectivity between IB and TWS has been lost.", None)
        for number in range(2000):
            say(number, 10090, "Part of requested market data is not subscribed.", None)
        assert len(connection.messages) <= 500
        assert connection.farms_down == ["usopt"] and connection.link_lost
        stage.gateway.faults.clear("farm-broken")
        async with asyncio.timeout(2):
            while connection.farms_down:
                await asyncio.sleep(0.01)
        say(-1, 1101, "Connectivity restored - data lost.", None)
        assert not connection.link_lost
        await connection.close()

    stage(act)


def test_what_was_broken_before_the_login_is_known_after_it(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("farm-broken", farm="usopt")
        stage.gateway.faults.set("farm-broken", farm="ushmds", code=2105)
        connection = await stage.connect("look")
        await connection.client.current_time()
        assert sorted(connection.farms_down) == ["ushmds", "usopt"]
        await connection.close()

    stage(act)


def test_lines_lost_with_the_link_are_asked_for_anew(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = await options_of(connection)
        watchlist = Watchlist(connection, 60, 5.0, 20.0)
        await watchlist.look(options, events.ignore)
        (theirs,) = stage.gateway.connections
        first = set(theirs.streams)
        assert len(first) == len(options)
        theirs.streams.clear()  # IB forgets the subscriptions, and says so
        theirs.error(-1, 1101, "Connectivity between IB and TWS has been restored - data lost.")
        await connection.client.current_time()
        assert theirs.streams == {}
        ticks = await watchlist.look(options, events.ignore)
        assert len(theirs.streams) == len(options) and not first & set(theirs.streams)
        assert all(tick.has_model for tick in ticks.values())
        await connection.close()

    stage(act, timeout=5.0)


def test_the_link_that_came_back_with_its_data_keeps_its_lines(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect()
        options = await options_of(connection)
        watchlist = Watchlist(connection, 60, 5.0, 20.0)
        await watchlist.look(options, events.ignore)
        (theirs,) = stage.gateway.connections
        first = set(theirs.streams)
        theirs.error(-1, 1102, "Connectivity between IB and TWS has been restored - data maintained.")
        await connection.client.current_time()
        await watchlist.look(options, events.ignore)
        assert set(theirs.streams) == first
        await connection.close()

    stage(act, timeout=5.0)


def test_a_refused_line_is_asked_for_again_once_its_time_has_come(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("no-market-data", of=["SPY"], code=354)
        connection = await stage.connect()
        options = [own for own in await options_of(connection) if own.symbol == "SPY"]
        asked = []
        subscribe = connection.client.subscribe

        async def counting(raw):
            asked.append(raw.conId)
            return await subscribe(raw)

        connection.client.subscribe = counting
        monkeypatch.setattr(quotes, "RETRY_REFUSED", 0.3)
        watchlist = Watchlist(connection, 60, 5.0, 20.0)
        refused = await watchlist.look(options, events.ignore)
        assert all(tick.refused and not tick.has_model for tick in refused.values())
        stage.gateway.faults.clear("no-market-data")
        await watchlist.look(options, events.ignore)
        assert len(asked) == len(options), "not at every look: each costs a message"
        await asyncio.sleep(0.3)
        ticks = await watchlist.look(options, events.ignore)
        assert len(asked) == 2 * len(options)
        assert all(tick.has_model and not tick.refused for tick in ticks.values())
        await connection.close()

    stage(act, timeout=5.0)


def test_a_gateway_without_security_definitions_costs_one_wait_and_no_sync(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("withhold-end", answer="contract-details")
        connection = await stage.connect()
        options = await options_of(connection)
        directory = Directory(connection)
        began = time.monotonic()
        assert [await directory.details(own) for own in options] == [Details()] * len(options)
        assert 0.5 <= time.monotonic() - began < 1.5
        stage.gateway.faults.clear("withhold-end")
        assert await directory.details(options[0]) == Details(), "not asked at once again"
        monkeypatch.setattr(contracts_module, "ASK_AGAIN", 0.0)
        directory._silent_until = 0.0
        assert (await directory.details(options[0])).hours is not None
        await stage.gateway.close()
        with pytest.raises(GatewayUnavailable):
            await Directory(connection).details(options[0])
        await connection.close()

    stage(act, timeout=0.5)


def test_a_sync_goes_on_without_the_hours_of_its_contracts(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("withhold-end", answer="contract-details")
        stage.gateway.faults.set("missing-greeks", of=["SPY"])
        done = await stage.sync()
        assert done.written and done.positions == 21

    stage(act, timeout=0.5)


@pytest.mark.parametrize(("zone", "hour"), [("America/New_York", 14), ("Europe/Berlin", 8), ("UTC", 9)])
def test_a_time_without_a_zone_is_the_gateways_own(stage, monkeypatch, zone: str, hour: int) -> None:
    """Whatever the zone of this machine is: IB states the time of a fill as its gateway's settings say, often without a zone."""

    async def act(stage) -> None:
        own = stage.settings
        stage.settings = msgspec.structs.replace(own, gateway=msgspec.structs.replace(own.gateway, time_zone=zone))
        connection = await stage.connect()
        (theirs,) = stage.gateway.connections
        contract = (42, "SPY", "STK", "", 0, "", "", "SMART", "USD", "SPY", "SPY")
        theirs.send(
            11,
            -1,
            5,
            *contract,
            "e1",
            "20261124  09:31:00",
            "DU1234567",
            "ARCA",
            "BOT",
            10,
            600.5,
            77,
            1,
            0,
            10,
            600.5,
            "ref",
            "",
            "",
            "",
            1,
        )
        await connection.client.current_time()
        found = fill(connection.client._ib.wrapper.fills["e1"])
        assert found.at == datetime(2026, 11, 24, hour, 31, tzinfo=UTC)
        await connection.close()

    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        stage(act)
    time.tzset()
