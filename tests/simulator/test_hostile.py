"""Clients that send rubbish, too much, or read nothing: it costs them their connection, and nobody else anything."""

import asyncio
import contextlib
import gc
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v6cli import clock
from v6cli.simulator import answers
from v6cli.simulator import connection as connections

FILES = Path("/proc/self/fd")


pytestmark = pytest.mark.usefixtures("nothing_fails_behind_the_scenes")


async def is_well(client, gateway):
    positions = await asyncio.wait_for(client.reqPositionsAsync(), 5)
    assert len(positions) == len(gateway.account.holdings)


async def ends(reader):
    """Whether the gateway ends the connection, in whichever way."""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
    return True


GREETING = b"API\0\0\0\0\x09v100..157"

rubbish = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.builds(lambda data: GREETING + data, st.binary(max_size=200)),
    st.builds(lambda cut: GREETING[:cut], st.integers(1, len(GREETING) - 1)),
)


def test_rubbish_bytes_cost_only_their_own_connection(serve):
    async def act(gateway, connect):
        client = await connect()

        async def attack(data):
            reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
            writer.write(data)
            await writer.drain()
            writer.write_eof()
            await ends(reader)
            writer.close()
            await is_well(client, gateway)

        loop = asyncio.get_running_loop()

        @given(rubbish)
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        def run(data):
            asyncio.run_coroutine_threadsafe(attack(data), loop).result(20)

        await asyncio.to_thread(run)
        assert gateway.connections == list(gateway.clients.values())

    serve("default", act, pacing=False, account_every=60.0)


fields = st.one_of(
    st.integers(-(2**40), 2**40).map(str), st.floats().map(str), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)
)
requests = st.tuples(st.one_of(st.integers(1, 110), st.integers()), st.lists(fields, max_size=24))


def test_mutated_requests_are_answered_or_refused_and_never_break_the_gateway(serve, raw):
    async def act(gateway, connect):
        client = await connect()

        async def attack(kind, rest):
            async with raw(connect.port, 9) as (reader, writer):
                await raw.read_until(reader, 9)
                writer.write(raw.frame(kind, *rest) + raw.frame(49, 1))
                await raw.read_until(reader, 49)  # it still answers this very client
            await is_well(client, gateway)
            while 9 in gateway.clients:
                await asyncio.sleep(0.001)

        loop = asyncio.get_running_loop()

        @given(requests)
        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        def run(request):
            asyncio.run_coroutine_threadsafe(attack(*request), loop).result(20)

        await asyncio.to_thread(run)

    serve("default", act, pacing=False, account_every=60.0)


@pytest.mark.parametrize("sent", [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x04abcd"])
def test_a_malformed_frame_ends_the_connection(serve, raw, sent):
    async def act(gateway, connect):
        client = await connect()
        async with raw(connect.port, 2) as (reader, writer):
            await raw.read_until(reader, 9)
            writer.write(sent)
            assert await ends(reader)
        await is_well(client, gateway)
        assert list(gateway.clients) == [1]

    serve("default", act)


def test_half_a_frame_waits_for_the_other_half(serve, raw):
    async def act(_gateway, connect):
        async with raw(connect.port, 2) as (reader, writer):
            await raw.read_until(reader, 9)
            for byte in raw.frame(49, 1):
                writer.write(bytes([byte]))
                await asyncio.sleep(0.002)
            await raw.read_until(reader, 49)

    serve("default", act)


@pytest.mark.parametrize(
    "greeting", [b"GET / HTTP/1.1\r\n\r\n", b"API\0\0\0\0\x03abc", b"API\0\xff\xff\xff\xff", b"API\0\0\0\0\x09v170..178"]
)
def test_a_greeting_of_something_else_is_no_client(serve, greeting):
    async def act(_gateway, connect):
        reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
        writer.write(greeting)
        assert await ends(reader)
        writer.close()

    serve("default", act)


def test_versions_are_negotiated_down(serve, raw):
    async def act(_gateway, connect):
        for offered, answered in ((b"v100..178", "157"), (b"v100..157 +PACEAPI", "157"), (b"v100..140", "140")):
            reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
            writer.write(b"API\0" + len(offered).to_bytes(4, "big") + offered)
            found = await raw.read(reader)
            assert found[0] == answered
            assert len(found) == 2
            writer.close()

    serve("default", act)


def test_a_client_id_is_taken_until_the_old_socket_is_at_its_end(serve, raw, until):
    async def act(gateway, connect):
        first, second = await connect(1), None
        with pytest.raises((ConnectionError, asyncio.TimeoutError)):
            await connect(1, timeout=1)
        async with raw(connect.port, 1) as (reader, _):
            said = await raw.read(reader)
            assert said[:4] == ["4", "2", "-1", "326"]
            assert await ends(reader)
        await is_well(first, gateway)
        first.disconnect()
        await until(lambda: 1 not in gateway.clients)
        second = await connect(1)
        await is_well(second, gateway)

    serve("default", act)


def test_a_client_that_reads_nothing_is_dropped_and_takes_no_memory(serve, raw, until, monkeypatch):
    monkeypatch.setattr(connections, "LONGEST_BACKLOG", 1 << 20)

    async def act(gateway, connect):
        client = await connect()
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", connect.port))
            lazy.sendall(GREETING + raw.frame(71, 2, 2, ""))
            await until(lambda: 2 in gateway.clients)
            lazy.setblocking(False)
            wanted = raw.frame(9, 8, 5, 0, "SPY", "OPT", "202612", 0, "", "", "SMART", "", "USD", "", "", 0, "", "")
            with contextlib.suppress(OSError):
                for _ in range(200):
                    lazy.sendall(wanted)
                    await asyncio.sleep(0.001)
            await until(lambda: 2 not in gateway.clients, seconds=10)
        await is_well(client, gateway)

    serve("default", act, pacing=False)


def test_no_more_questions_are_read_from_a_client_that_reads_no_answers(serve, raw, until):
    async def act(gateway, connect):
        await connect()
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", connect.port))
            lazy.sendall(GREETING + raw.frame(71, 2, 2, ""))
            await until(lambda: 2 in gateway.clients)
            for _ in range(20):  # some 3 MB each
                lazy.sendall(raw.frame(9, 8, 5, 0, "SPY", "OPT", "202612", 0, "", "", "SMART", "", "USD", "", "", 0, "", ""))
                await asyncio.sleep(0.02)
            assert 2 in gateway.clients
            assert not gateway.clients[2].writable

    at_first_of_month = clock.wall().replace(day=1)
    clock.start(1.0, at_first_of_month.replace(year=2026, month=12), clock.wall())
    serve("default", act, pacing=False)


def test_a_bug_in_one_answer_is_an_error_under_its_id(serve, raw, monkeypatch, caplog):
    def broken(_connection, request):
        request.identify()
        raise KeyError("planted")

    monkeypatch.setitem(answers.HANDLERS, 81, broken)

    async def act(gateway, connect):
        client = await connect()
        async with raw(connect.port, 2) as (reader, writer):
            writer.write(raw.frame(81, 33, "SPY"))
            await raw.read_until(reader, 4, 2, 33, 320)
            writer.write(raw.frame(49, 1))
            await raw.read_until(reader, 49)
        await is_well(client, gateway)

    serve("default", act)
    assert "a request could not be answered" in caplog.text
    caplog.clear()


def test_the_largest_id_leaves_ids_to_give(serve, raw):
    async def act(_gateway, connect):
        async with raw(connect.port, 2) as (reader, writer):
            await raw.read_until(reader, 9)
            writer.write(raw.frame(81, 2**31 - 1, "SPY") + raw.frame(81, 2**40, "SPY") + raw.frame(8, 1, 1))
            assert 0 < int((await raw.read_until(reader, 9))[2]) < 2**31

    serve("default", act)


def test_streams_skip_a_client_that_does_not_keep_up_and_time_ends_it(serve, raw, until, monkeypatch):
    monkeypatch.setattr("v6cli.simulator.beat._PATIENCE_SECONDS", 0.3)

    async def act(gateway, connect):
        client = await connect()
        async with raw(connect.port, 2):
            await until(lambda: 2 in gateway.clients)
            slow = gateway.clients[2]
            slow.pause_writing()
            await until(lambda: 2 not in gateway.clients)
        await is_well(client, gateway)

    serve("default", act)


def test_a_connection_that_never_starts_is_ended(serve, monkeypatch):
    monkeypatch.setattr("v6cli.simulator.beat._PATIENCE_SECONDS", 0.2)

    async def act(_gateway, connect):
        reader, writer = await asyncio.open_connection("127.0.0.1", connect.port)
        assert await ends(reader)
        writer.close()

    serve("default", act)


def test_sending_too_fast_is_refused_and_then_ended(serve, raw):
    async def act(gateway, connect):
        client = await connect()
        await asyncio.sleep(1)  # what it said counts no more
        async with raw(connect.port, 2) as (reader, writer):
            await raw.read_until(reader, 9)
            writer.write(raw.frame(49, 1) * 52)
            await raw.read_until(reader, 4, 2, -1, 100)
            writer.write(raw.frame(49, 1) * 20)
            assert await ends(reader)
        await asyncio.sleep(1)
        await is_well(client, gateway)

    serve("default", act)


def test_all_clients_of_a_login_share_what_it_may_send(serve, raw):
    async def act(gateway, connect):
        async with raw(connect.port, 2) as (reader, writer), raw(connect.port, 3) as (other, others):
            for stream in (reader, other):
                await raw.read_until(stream, 4, 2, -1, 2158)
            writer.write(raw.frame(49, 1) * 30)
            for _ in range(30):
                await raw.read_until(reader, 49)
            others.write(raw.frame(49, 1) * 20)
            await raw.read_until(other, 4, 2, -1, 100)

    serve("default", act)


def test_requests_before_the_api_is_started_are_refused(serve, raw):
    async def act(gateway, connect):
        async with raw(connect.port) as (reader, writer):
            writer.write(raw.frame(61, 1))
            await raw.read_until(reader, 4, 2, -1, 504)
            assert gateway.clients == {}

    serve("default", act)


def test_a_hundred_connections_leak_nothing(serve, library, until):
    async def act(gateway, connect):
        await connect(1)

        async def visit(number):
            client = library.IB()
            await client.connectAsync("127.0.0.1", connect.port, 100 + number % 10, readonly=True)
            client.reqMktData(library.Stock("SPY", "SMART", "USD", conId=756733))
            client.disconnect()
            await until(lambda: len(gateway.connections) == 1)

        for number in range(10):
            await visit(number)
        gc.collect()
        before = len(list(FILES.iterdir()))
        tasks = len(asyncio.all_tasks())
        for number in range(100):
            await visit(number)
        gc.collect()
        assert len(list(FILES.iterdir())) <= before
        assert len(asyncio.all_tasks()) <= tasks
        assert list(gateway.clients) == [1]

    serve("default", act, pacing=False, account_every=60.0)


def test_closing_the_gateway_ends_its_clients(serve, until):
    async def act(gateway, connect):
        client = await connect()
        await gateway.close()
        assert gateway.connections == []
        await until(lambda: not client.isConnected())

    serve("default", act)


def test_rubbish_in_an_order_is_refused_and_changes_nothing(serve, raw):
    order = [
        3,
        9,
        0,
        "SPY",
        "STK",
        "",
        0,
        "",
        "",
        "SMART",
        "",
        "USD",
        "",
        "",
        "",
        "",
        "BUY",
        1,
        "LMT",
        500,
        "",
        "DAY",
        "",
        "",
        "",
        0,
        "r",
        1,
    ]
    order += [0, 0, 0, "", 0, 0, 0, "", "", "", "", "", "", "", "", "", 0, "", -1, 0, *("",) * 16, "", "", *("",) * 6, "", "", "", "", ""]
    order += ["", 0, "", "", 0, 0, "", "", 0]
    odd = st.sampled_from(["nan", "inf", "-1", "x", "1e999", "99999999999999999999", "", "0", "\N{SNOWMAN}", "1.5"])

    async def act(gateway, connect):
        client = await connect()
        async with raw(connect.port, 5) as (reader, writer):

            async def attack(changes, cut):
                fields = list(order)
                for place, value in changes:
                    fields[place % len(fields)] = value
                fields[0], fields[1] = 3, 9
                writer.write(raw.frame(*fields[:cut]) + raw.frame(4, 1, 9) + raw.frame(49, 1))
                await raw.read_until(reader, 49)

            loop = asyncio.get_running_loop()

            @given(st.lists(st.tuples(st.integers(2, 110), odd), max_size=4), st.integers(1, 120))
            @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
            def run(changes, cut):
                asyncio.run_coroutine_threadsafe(attack(changes, cut), loop).result(20)

            await asyncio.to_thread(run)
        await is_well(client, gateway)

    serve("default", act, pacing=False, account_every=60.0)
