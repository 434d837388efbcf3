"""A gateway on a free port, and the client library that is installed to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from v6cli import clock
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway

# The libraries' event package asks for a loop when it is imported; kept, so that it is not closed by the collector.
_import_loop = asyncio.new_event_loop()
asyncio.set_event_loop(_import_loop)
try:
    import ib_async as ib_library
except ImportError:
    import ib_insync as ib_library

#: A Tuesday in November, an hour after the open.
TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def library():
    """ib_async where it is installed, else ib_insync."""
    return ib_library


@pytest.fixture(autouse=True)
def _wall_time_again():
    yield
    clock.start()


@pytest.fixture
def nothing_fails_behind_the_scenes(caplog):
    """A client's rubbish is no error of the gateway: neither asyncio nor the gateway may log one."""
    yield
    logged = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelname == "ERROR" and record.name.startswith(("asyncio", "v6cli"))
    ]
    assert not logged


@pytest.fixture
def at():
    """Set home time, which goes on from there, ``rate`` times as fast as the wall's."""

    def set_clock(moment=TUESDAY, rate=1.0):
        clock.start(rate, moment, clock.wall())

    return set_clock


@pytest.fixture
def frozen(at):
    """Home time stands still, at an hour when everything is open, until it is moved."""
    at(rate=1e-9)
    return lambda seconds: at(TUESDAY + timedelta(seconds=seconds), rate=1e-9)


@pytest.fixture
def heard():
    """Every message that a client receives from now on, as its fields: ``heard(client)`` or, of some kinds, ``heard(client, 5, 3)``."""

    def record(client, *kinds):
        found, interpret = [], client.client.decoder.interpret

        def note(fields):
            if not kinds or int(fields[0]) in kinds:
                found.append(list(fields))
            interpret(fields)

        client.client.decoder.interpret = note
        return found

    return record


@pytest.fixture
def serve(library):
    """Run ``act(gateway, connect)`` with a gateway and a function that connects real clients; both are closed after it."""

    def run(scenario, act, **options):
        async def main():
            loaded = scenarios.load(scenario) if isinstance(scenario, str) else scenario
            gateway = Gateway(loaded, **{"quotes_every": 0.05, "account_every": 0.1} | options)
            port = await gateway.start()
            clients = []

            async def connect(client_id=1, **how):
                client = library.IB()
                clients.append(client)
                await client.connectAsync("127.0.0.1", port, client_id, **how)
                return client

            connect.port = port
            try:
                return await act(gateway, connect)
            finally:
                for client in clients:
                    client.disconnect()
                await gateway.close()
                assert gateway.connections == []

        return asyncio.run(main())

    return run


@pytest.fixture
def until():
    """Wait for a condition; fails after two seconds."""

    async def wait(condition, seconds=15.0):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def raw():
    """A client that speaks the protocol by hand: ``async with raw(port, id) as (reader, writer)`` after the handshake."""

    @contextlib.asynccontextmanager
    async def connect(port, client_id=None, versions=b"v100..157"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"API\0" + len(versions).to_bytes(4, "big") + versions)
        await read_fields(reader)
        if client_id is not None:
            writer.write(frame(71, 2, client_id, ""))
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def frame(*fields):
        payload = b"".join(f"{field}\0".encode() for field in fields)
        return len(payload).to_bytes(4, "big") + payload

    async def read_fields(reader):
        async with asyncio.timeout(20):
            length = int.from_bytes(await reader.readexactly(4), "big")
            return (await reader.readexactly(length)).decode().split("\0")[:-1]

    async def read_until(reader, *start):
        """The fields of the first message that begins with ``start``."""
        wanted = [str(field) for field in start]
        while True:
            fields = await read_fields(reader)
            if fields[: len(wanted)] == wanted:
                return fields

    connect.frame, connect.read, connect.read_until = frame, read_fields, read_until
    return connect
