"""Who v6 is at the gateway, which account it speaks for, and what it does when nobody answers."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
import psutil
import pytest

from v6cli import events, locks
from v6cli.app import App
from v6cli.broker import codes
from v6cli.broker.connection import connect
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import GatewayUnavailable, Refused
from v6cli.portfolio import account


def replaced(stage, **gateway):
    own = stage.settings
    return msgspec.structs.replace(own, gateway=msgspec.structs.replace(own.gateway, **gateway))


def test_each_role_has_its_client_ids(stage) -> None:
    async def act(stage) -> None:
        sync, first, second = await stage.connect("sync"), await stage.connect("look"), await stage.connect("look")
        assert (sync.client_id, first.client_id, second.client_id) == (2, 10, 11)
        assert sorted(stage.gateway.clients) == [2, 10, 11]
        assert {sync.account, first.account} == {"DU1234567"}
        for connection in (sync, first, second):
            await connection.close()

    stage(act)


def test_a_third_look_waits_for_a_share_of_the_first_two(stage) -> None:
    async def act(stage) -> None:
        first, second = await stage.connect("look"), await stage.connect("look")
        third = asyncio.ensure_future(stage.connect("look"))
        await asyncio.sleep(0.4)
        assert not third.done()
        assert len(stage.gateway.clients) == 2
        await first.close()
        connection = await asyncio.wait_for(third, 2)
        for one in (second, connection):
            await one.close()

    stage(act)


def test_a_service_waits_for_its_own_id_and_takes_no_other(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        from v6cli.broker import connection as module

        monkeypatch.setattr(module, "WAIT_FOR_ID", 0.3)
        held = await stage.connect("sync")
        with pytest.raises(ClientIdInUse):
            await stage.connect("sync")
        waiting = asyncio.ensure_future(stage.connect("sync"))
        await asyncio.sleep(0.1)
        await held.close()
        own = await asyncio.wait_for(waiting, 3)
        assert own.client_id == 2
        await own.close()

    stage(act)


def test_another_account_is_refused_and_both_are_named(stage) -> None:
    async def act(stage) -> None:
        stage.settings = msgspec.structs.replace(stage.settings, account="DU7654321")
        with pytest.raises(Refused, match=r"pinned to account DU7654321, the gateway manages DU1234567") as refused:
            await stage.connect("look")
        assert refused.value.exit_code == 77
        assert locks.holder(stage.home.run / "look-1.lock") is None

    stage(act)


@pytest.mark.parametrize(
    ("profile", "accounts", "refusal"),
    [("paper", ["U1234567"], "manages U1234567"), ("live", ["DU1"], "manages DU1"), ("paper", ["DU1", "DU2"], "names none")],
)
def test_a_home_without_an_account_looks_at_the_one_that_fits(stage, profile: str, accounts: list[str], refusal: str) -> None:
    from v6cli.broker.connection import _pinned

    async def act(stage) -> None:
        unpinned = msgspec.structs.replace(stage.settings, account="", profile=profile)
        with pytest.raises(Refused, match=refusal):
            _pinned(unpinned, accounts)
        assert _pinned(msgspec.structs.replace(unpinned, profile="paper"), ["DU1234567"]) == "DU1234567"

    stage(act)


def test_nobody_listens(stage) -> None:
    async def act(stage) -> None:
        await stage.gateway.close()
        start = time.monotonic()
        with pytest.raises(GatewayUnavailable, match=r"nothing listens at 127\.0\.0\.1") as missing:
            await stage.connect("look")
        assert time.monotonic() - start < 1
        assert missing.value.next_step == "v6 health"

    stage(act)


@pytest.mark.parametrize("behaviour", ["silent", "closes", "talks nonsense"])
def test_a_server_that_is_no_gateway_is_given_up_within_the_bound(stage, behaviour: str, capfd) -> None:
    async def act(stage) -> None:
        async def answer(reader, writer) -> None:
            if behaviour == "talks nonsense":
                writer.write(b"\x00\x00\x00\x05hello")
            elif behaviour == "silent":
                await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        before = psutil.Process().num_fds()
        start = time.monotonic()
        with pytest.raises(GatewayUnavailable, match=f"127.0.0.1:{port}"):
            await connect(replaced(stage, port=port, timeout=0.5), stage.home, "look", events.ignore)
        assert time.monotonic() - start < 1.5
        await asyncio.sleep(0.05)
        assert psutil.Process().num_fds() <= before + 1  # the lock of the look is kept as a file, the socket is not
        assert locks.holder(stage.home.run / "look-1.lock") is None
        server.close()
        await server.wait_closed()

    stage(act)
    shown = capfd.readouterr()
    assert shown.err == ""


def test_fifty_connections_leave_nothing_open(stage) -> None:
    async def act(stage) -> None:
        await (await stage.connect("look")).close()
        await asyncio.sleep(0.05)
        before = psutil.Process().num_fds(), len(asyncio.all_tasks())
        for _ in range(50):
            await (await stage.connect("look")).close()
        await asyncio.sleep(0.1)
        assert (psutil.Process().num_fds(), len(asyncio.all_tasks())) == before

    stage(act)


def test_a_gateway_that_goes_away_is_said_and_not_waited_for(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect("look")
        await stage.gateway.close()
        await asyncio.sleep(0.05)
        with pytest.raises(GatewayUnavailable, match="connection"):
            await connection.client.positions()
        assert not connection.client.connected
        await connection.close()

    stage(act)


def test_a_late_end_is_not_taken_for_that_of_the_next_list(stage) -> None:
    """The answer that did not end in time ends later: nothing asked meanwhile may be believed to be complete."""

    async def act(stage) -> None:
        connection = await stage.connect("look")
        stage.gateway.faults.set("silent")
        with pytest.raises(GatewayUnavailable, match="open orders: no complete answer"):
            await connection.client.all_open_orders()
        stage.gateway.faults.clear("silent")
        with pytest.raises(GatewayUnavailable, match="an earlier answer"):
            await connection.client.own_open_orders()
        assert await connection.client.positions(), "other lists have Ends of their own"
        await connection.close()
        again = await stage.connect("look")
        assert await again.client.all_open_orders() == []
        await again.close()

    stage(act)


def test_lists_that_are_asked_for_at_once_wait_for_each_other(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect("look")
        client = connection.client
        found = await asyncio.gather(client.all_open_orders(), client.own_open_orders(), client.positions(), client.positions())
        assert found[:2] == [[], []] and len(found[2]) == len(found[3]) > 0
        await connection.close()

    stage(act)


def test_a_gateway_that_was_logged_in_anew_to_another_account_is_not_believed(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect("look")
        await connection.must_reach_ib()
        stage.gateway.faults.set("second-account")
        await asyncio.gather(connection.must_reach_ib(), connection.must_reach_ib())
        stage.gateway.faults.set("other-account", id="DU5550001")
        with pytest.raises(GatewayUnavailable, match="manages DU5550001, DU7654321 now: it says nothing of DU1234567"):
            await connection.must_reach_ib()
        stage.gateway.faults.clear_all()
        await connection.must_reach_ib()
        await connection.close()

    stage(act)


def test_farms_are_broken_and_mended_one_by_one(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect("look")
        say = connection.client._on_message
        say(-1, 2103, "Market data farm connection is broken:usfarm", None)
        say(-1, 2105, "HMDS data farm connection is broken:ushmds", None)
        say(-1, 2104, "Market data farm connection is OK:usopt", None)
        assert connection.farms_down == ["usfarm", "ushmds"]
        say(-1, 2106, "HMDS data farm connection is OK:ushmds", None)
        assert connection.farms_down == ["usfarm"]
        assert not connection.link_lost
        say(-1, 1100, "Connectivity between IB and TWS has been lost.", None)
        assert connection.link_lost
        say(-1, 1102, "Connectivity has been restored - data maintained.", None)
        assert not connection.link_lost
        await connection.close()

    stage(act)


def test_the_library_asks_nothing_of_its_own_when_the_link_is_back(stage) -> None:
    async def act(stage) -> None:
        asked: list[int] = []
        answer = stage.gateway.answer
        stage.gateway.answer = lambda connection, request: (asked.append(request.kind), answer(connection, request))
        connection = await stage.connect("look")
        stage.gateway.faults.set("link-lost", restored=1102)
        stage.gateway.faults.clear("link-lost")
        asked.clear()
        await connection.client.positions()
        await connection.client.current_time()
        assert not connection.link_lost and asked == [61, 49], "nothing but what v6 asked"
        await connection.close()

    stage(act)


def test_the_library_says_nothing_of_its_own(stage, caplog) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("farm-broken", farm="usopt")
        connection = await stage.connect("look")
        await connection.client.positions()
        await connection.close()

    with caplog.at_level(logging.WARNING):
        stage(act)
    assert [record for record in caplog.records if record.name.startswith(("ib_insync", "ib_async"))] == []


def test_every_code_in_the_table_has_a_meaning_and_others_are_unknown() -> None:
    assert codes.classify(1100, "").kind == "lost"
    assert codes.classify(321, "Error validating request: Read-Only mode").kind == "read-only"
    assert codes.classify(321, "Error validating request: no size").kind == "refused"
    assert codes.classify(98765, "never heard of").kind == "unknown"
    assert codes.classify(98765, "never heard of").text == "never heard of"
    kinds = {codes.classify(code, "").kind for code in codes._table()}
    assert kinds <= set((codes.Path(codes.__file__).with_name("codes.toml").read_text()).replace('"', " ").split())


def test_what_a_gateway_without_ib_remembers_is_not_taken_for_ib_s_word(stage) -> None:
    """A halt ends by saying what still works: 'nothing' from memory would be the worst of answers."""

    async def act(stage) -> None:
        app = App()
        app.home = stage.home
        assert await app.halts.working_orders() == []
        stage.gateway.faults.set("link-lost")
        for look in (app.halts.working_orders, app.seen_at_gateway, lambda: account.from_gateway(app.gateway)):
            with pytest.raises(GatewayUnavailable, match="lost its connection to IB"):
                await look()

    stage(act, timeout=5.0)
