"""The deterministic world: time that jumps, connections that behave like sockets, processes that die like processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from v6cli import clock, control, locks
from v6cli.errors import ServiceUnavailable
from v6cli.simulator.world import START, Blocked, Deadlock, World
from v6cli.simulator.world.pipes import KERNEL_BYTES


class Peer(asyncio.Protocol):
    """A program at one end of a connection that remembers what it sees."""

    def __init__(self, log: list | None = None) -> None:
        self.log = [] if log is None else log

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.log.append(data)

    def eof_received(self) -> bool:
        self.log.append("eof")
        return False

    def connection_lost(self, exc) -> None:
        self.log.append("lost")

    def pause_writing(self) -> None:
        self.log.append("pause")

    def resume_writing(self) -> None:
        self.log.append("resume")


async def joined(port: int = 7) -> tuple[Peer, Peer]:
    """Two ends of one connection: who connected, and who listened."""
    loop, far = asyncio.get_running_loop(), Peer()
    await loop.create_server(lambda: far, "127.0.0.1", port)
    _, near = await loop.create_connection(Peer, "127.0.0.1", port)
    await asyncio.sleep(0)
    return near, far


def test_a_day_passes_at_once_for_every_way_of_asking_the_time() -> None:
    async def act() -> None:
        began, measured = clock.now(), clock.monotonic()
        assert began == START
        await clock.sleep(86400)
        assert clock.now() - began == timedelta(days=1)
        assert clock.wall() - began == timedelta(days=1)
        assert clock.monotonic() - measured == 86400
        with pytest.raises(TimeoutError):
            async with clock.timeout(3600):
                await asyncio.Event().wait()
        assert clock.monotonic() - measured == 90000

    real = time.monotonic()
    World(1).run(act)
    assert time.monotonic() - real < 10
    assert abs(clock.timestamp() - time.time()) < 10, "afterwards the clock is the machine's again"


def test_what_would_wait_for_ever_is_an_error_and_so_is_what_blocks() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def blocks() -> None:
        clock.pause_blocking(1)

    with pytest.raises(Deadlock):
        World(1).run(forever)
    with pytest.raises(Blocked, match="waits 1 s"):
        World(1).run(blocks)


def test_bytes_arrive_in_order_late_and_in_pieces() -> None:
    world = World(3)
    world.weather.latency, world.weather.jitter, world.weather.cuts = 0.01, 0.2, 0.7
    sent = [bytes([number]) * 100 for number in range(100)]

    async def act() -> tuple[list[bytes], float]:
        near, far = await joined()
        for data in sent:
            near.transport.write(data)
        began = clock.monotonic()
        await asyncio.sleep(60)
        assert clock.monotonic() - began == pytest.approx(60)
        return far.log, began

    log, _ = world.run(act)
    assert b"".join(log) == b"".join(sent)
    assert len(log) > 120, "pieces were cut"


def test_what_was_sent_before_a_close_is_read_before_the_end() -> None:
    async def act() -> None:
        near, far = await joined()
        near.transport.write(b"last words")
        near.transport.close()
        near.transport.write(b"too late")
        await asyncio.sleep(1)
        assert far.log == [b"last words", "eof", "lost"] and near.log == ["lost"]

    World(1).run(act)


def test_a_full_socket_keeps_the_rest_in_the_writers_memory_until_it_is_read() -> None:
    async def act() -> None:
        near, far = await joined()
        far.transport.pause_reading()
        near.transport.write(b"x" * (KERNEL_BYTES + 100_000))
        await asyncio.sleep(1)
        assert near.transport.get_write_buffer_size() == 100_000 and near.log == ["pause"]
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert near.transport.get_write_buffer_size() == 0 and near.log == ["pause", "resume"]
        assert sum(map(len, far.log)) == KERNEL_BYTES + 100_000

    World(1).run(act)


def test_nobody_listens_and_a_port_taken_are_told_as_a_kernel_does() -> None:
    async def act() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Peer, "127.0.0.1", 7)
        server = await loop.create_server(Peer, "127.0.0.1", 7)
        with pytest.raises(OSError, match="in use"):
            await loop.create_server(Peer, "127.0.0.1", 7)
        server.close()
        await loop.create_server(Peer, "127.0.0.1", 7)

    World(1).run(act)


def test_a_killed_process_cleans_nothing_up_and_what_it_had_handed_over_arrives(folder: Path) -> None:
    world, log = World(1), []

    async def victim() -> None:
        near = Peer()
        await asyncio.get_running_loop().create_connection(lambda: near, "127.0.0.1", 7)
        near.transport.write(b"y" * (KERNEL_BYTES + 10))
        lock = locks.try_hold(folder / "lock", "victim")
        try:
            await asyncio.sleep(3600)
        finally:
            log.append("cleaned up")
            lock.release()

    async def act() -> None:
        far = Peer()
        await asyncio.get_running_loop().create_server(lambda: far, "127.0.0.1", 7)
        process = world.process("victim", victim)
        await asyncio.sleep(1)
        far.transport.pause_reading()
        assert locks.try_hold(folder / "lock", "another") is None
        process.kill()
        await asyncio.sleep(1)
        (got := locks.try_hold(folder / "lock", "another")).release()
        assert got
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert far.log[-2:] == ["eof", "lost"] and not log

    world.run(act)


def test_requests_between_processes_pass_and_a_dead_one_does_not_answer(folder: Path) -> None:
    world = World(1)
    path = folder / "run" / "service.sock"

    async def greet(name: str) -> str:
        await clock.sleep(1)
        return f"hello {name}"

    async def service() -> None:
        async with await control.serve(path, {"greet": greet}):
            await asyncio.sleep(3600)

    async def act() -> None:
        process = world.process("service", service)
        await asyncio.sleep(1)
        assert await control.acall(path, "greet", name="ann") == "hello ann"
        process.kill()
        with pytest.raises(ServiceUnavailable):
            await control.acall(path, "greet", name="ann")
        again = world.process("service again", service)
        await asyncio.sleep(1)
        assert again.alive and await control.acall(path, "greet", name="bob") == "hello bob"

    world.run(act)
    assert not world.problems


def test_what_waits_in_the_memory_of_a_killed_process_is_lost() -> None:
    world = World(1)
    far = Peer()

    async def victim() -> None:
        near = Peer()
        await asyncio.get_running_loop().create_connection(lambda: near, "127.0.0.1", 7)
        await asyncio.sleep(1)
        near.transport.write(b"y" * (KERNEL_BYTES + 10))
        await asyncio.sleep(3600)

    async def act() -> None:
        await asyncio.get_running_loop().create_server(lambda: far, "127.0.0.1", 7)
        process = world.process("victim", victim)
        await asyncio.sleep(0.5)
        far.transport.pause_reading()
        await asyncio.sleep(1)
        process.kill()
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert sum(len(piece) for piece in far.log if isinstance(piece, bytes)) == KERNEL_BYTES

    world.run(act)


class Store:
    """Something with an act to die before or after."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def commit(self, number: int) -> None:
        self.kept.append(number)


@pytest.mark.parametrize(("where", "kept"), [("before commit", [0]), ("after commit", [0, 1])])
def test_a_process_dies_at_a_seam_with_its_call_stack_as_it_stood(where: str, kept: list[int], folder: Path) -> None:
    world, store, log = World(1), Store(), []
    passed = iter(range(100))

    async def victim() -> None:
        for number in range(5):
            database = sqlite3.connect(folder / "db")
            try:
                database.execute("CREATE TABLE IF NOT EXISTS t (n)")
                database.execute("INSERT INTO t VALUES (1)")
                store.commit(number)
                database.commit()
            finally:
                log.append(number)
                database.close()
            await asyncio.sleep(1)

    async def act() -> None:
        process = world.process("victim", victim, dies_at=lambda name: name == where and next(passed) == 1)
        await asyncio.sleep(10)
        assert process.killed and store.kept == kept and log == [0], "the second finally never ran"
        with sqlite3.connect(folder / "db", timeout=0) as database:
            database.execute("INSERT INTO t VALUES (2)")
            assert [n for (n,) in database.execute("SELECT n FROM t")] == [1, 2], "its open transaction was rolled back"
        database.close()
        survivor = world.process("victim again", victim)
        await asyncio.sleep(10)
        assert survivor.task.done() and survivor.task.exception() is None

    world.seam(Store, "commit")
    really = Store.commit
    world.run(act)
    assert Store.commit is really, "afterwards nothing is wrapped"


def test_dying_before_any_turn_is_survived_by_everybody_else() -> None:
    for step in range(1, 8):
        world, turns = World(1), []

        async def victim() -> None:
            for _ in range(20):
                await asyncio.sleep(0.1)

        async def other() -> None:
            for _ in range(20):
                await asyncio.sleep(0.1)
                turns.append(1)  # noqa: B023  the world of this round

        async def act() -> None:
            dead = world.process("victim", victim, dies_at_step=step)  # noqa: B023
            world.process("other", other)  # noqa: B023
            await asyncio.sleep(5)
            assert dead.killed and dead.steps == step  # noqa: B023

        world.run(act)
        assert len(turns) == 20


def test_no_descriptor_is_left_open(folder: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def victim() -> None:
        lock = locks.try_hold(folder / "lock", "victim")
        Store.commit()
        await asyncio.sleep(3600)
        lock.release()

    class Store:
        @staticmethod
        def commit() -> None:
            pass

    before = opened()
    for seed in range(20):
        world = World(seed)
        world.seam(Store, "commit")

        async def act() -> None:
            process = world.process("victim", victim, dies_at=lambda _seam: seed % 2 == 0)  # noqa: B023
            await asyncio.sleep(1)
            assert process.killed == (seed % 2 == 0) and not process.task.done()  # noqa: B023
            process.kill()
            assert locks.try_hold(folder / "lock", "heir").release() is None

        world.run(act)
    assert opened() == before


def test_what_a_killed_process_opens_while_its_remains_are_cleared_away_is_closed(folder: Path) -> None:
    opened: list[sqlite3.Connection] = []

    async def victim() -> None:
        async def waits() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                opened.append(sqlite3.connect(folder / "late.db"))

        await asyncio.gather(waits(), waits())

    world = World(1)

    async def act() -> None:
        process = world.process("victim", victim)
        await asyncio.sleep(1)
        process.kill()

    world.run(act)
    assert len(opened) == 2
    for database in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            database.execute("SELECT 1")


def test_a_clean_up_that_awaits_is_not_left_suspended_in_what_a_killed_process_awaited() -> None:
    inner: list[Any] = []

    @contextlib.asynccontextmanager
    async def service():
        inner.append(waits())
        await inner[-1]
        yield

    async def waits() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)

    async def victim() -> None:
        async with service():
            pass

    world = World(1)

    async def act() -> None:
        world.process("victim", victim)
        await asyncio.sleep(1)

    world.run(act)
    assert [one.cr_frame for one in inner] == [None]


PLAY = """
import asyncio, sys
from v6cli import clock
from v6cli.broker.ib import Client
from v6cli.broker.pacing import TokenBucket
from v6cli.simulator import scenario
from v6cli.simulator.server import Gateway
from v6cli.simulator.world import World

def play(seed):
    world = World(seed, keep=True)
    world.weather.latency, world.weather.jitter, world.weather.cuts = 0.001, 0.05, 0.3
    async def main():
        gateway = Gateway(scenario.load("default"))
        port = await gateway.start()
        async def trader():
            client = Client(TokenBucket(45), 4, "US/Eastern")
            await client.connect("127.0.0.1", port, 1)
            assert len(await client.positions()) == 21
            library = client.library
            for number in range(20):
                await client.bucket.take()
                order = library.LimitOrder("BUY", 1, 500.0 + number, account=client.accounts[0], orderRef=f"i{number}")
                client._ib.placeOrder(library.Stock("SPY", "SMART", "USD"), order)
            await clock.sleep(30)
            assert len(await client.all_open_orders()) > 10
            await client.close()
        await asyncio.wait([world.process("trader", trader).task])
        world.processes[0].task.result()
        await gateway.close()
    world.run(main)
    assert not world.problems, world.problems
    return world

if __name__ == "__main__":
    print(play(int(sys.argv[1])).trace)
"""


def test_one_seed_is_one_trace_in_every_process_and_another_seed_another() -> None:
    def trace(seed: int, hashes: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": hashes}
        done = subprocess.run([sys.executable, "-c", PLAY, str(seed)], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert trace(7, "1") == trace(7, "2")
    assert trace(8, "1") != trace(7, "1")


def test_a_command_waits_for_what_it_runs_and_the_world_goes_on() -> None:
    world = World(1)
    said: list[Any] = []

    async def tells(name: str, after: float) -> str:
        await asyncio.sleep(after)
        said.append((name, clock.monotonic()))
        return name

    async def works() -> str:
        beside = asyncio.create_task(tells("left", 100))
        waited = asyncio.to_thread(lambda: (clock.pause_blocking(3), said.append(("thread", clock.monotonic()))))
        await asyncio.gather(waited, tells("beside", 2))
        assert not beside.done()
        return "worked"

    def command() -> str:
        clock.pause_blocking(1)
        result = asyncio.run(works())
        clock.pause_blocking(1)
        return f"{result}, as {os.getpid() == process.pid}, at {clock.monotonic():g}"

    async def act() -> str:
        nonlocal process
        process = world.command("command", command, dies_at=lambda _seam: False)
        other = world.process("other", lambda: tells("other", 1.5))
        assert os.getpid() not in {process.pid, other.pid} and process.pid != other.pid
        return str(await process.task)

    process: Any = None
    assert world.run(act) == "worked, as True, at 5"
    assert said == [("other", 1.5), ("beside", 3.0), ("thread", 4.0)]


@pytest.mark.parametrize("waits", ["itself", "for its loop", "in a thread"])
def test_a_command_dies_wherever_it_waits_and_is_interrupted_there(waits: str) -> None:
    done: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            done.append("loop")

    def command() -> None:
        try:
            if waits == "itself":
                clock.pause_blocking(9)
            elif waits == "for its loop":
                asyncio.run(long())
            else:
                asyncio.run(asyncio.to_thread(lambda: clock.pause_blocking(9)))
        except KeyboardInterrupt:
            done.append("interrupted")
        finally:
            done.append("command")

    async def act(end: str) -> list[str]:
        process = world.command("command", command, dies_at=lambda _seam: False)
        await asyncio.sleep(1)
        getattr(process, end)()
        await asyncio.sleep(20)
        return list(done)

    world = World(1)
    assert world.run(lambda: act("kill")) == []
    done.clear()
    world = World(1)
    loop = ["loop"] if waits == "for its loop" else []
    assert world.run(lambda: act("interrupt")) == [*loop, "interrupted", "command"]


def test_a_thread_dies_at_a_seam_with_its_process() -> None:
    class Shop:
        @staticmethod
        def sell() -> None:
            done.append("sold")

    done: list[str] = []

    async def works() -> None:
        await asyncio.to_thread(lambda: (clock.pause_blocking(1), Shop.sell(), done.append("after")))
        done.append("worked")

    async def act() -> bool:
        process = world.command("command", lambda: asyncio.run(works()), dies_at=lambda seam: seam == "after sell")
        await asyncio.sleep(5)
        return process.killed

    world = World(1)
    world.seam(Shop, "sell")
    assert world.run(act) and done == ["sold"]
