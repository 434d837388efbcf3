"""Health with a gateway that is dead, silent or not ours, and with parts that hang or have a bug."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from v6cli import clock, settings
from v6cli.errors import GatewayUnavailable, Refused, ServiceUnavailable
from v6cli.health import checks, examine, gather, status
from v6cli.health.gather import Facts
from v6cli.procedure import Finding, Status, exit_code, look
from v6cli.services.backend import ServiceState


@dataclasses.dataclass
class Host:
    """A service manager whose answers are given."""

    states: list[ServiceState] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0

    def status(self, names=()):
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        return self.states

    def log_files(self, name: str) -> list[Path]:
        return []


def facts(stage, host: Host | None = None, **gateway) -> Facts:
    own = msgspec.structs.replace(stage.settings, gateway=msgspec.structs.replace(stage.settings.gateway, **gateway))
    stage.settings = own

    @asynccontextmanager
    async def open_gateway():
        connection = await stage.connect("look")
        try:
            yield connection
        finally:
            await connection.close()

    return Facts(stage.home, own, host or Host([ServiceState("v6-position-sync", "running")]), open_gateway)


def by_subject(found: list[Finding]) -> dict[str, Finding]:
    return {one.subject: one for one in reversed(found)}


def test_all_is_well(stage) -> None:
    async def act(stage) -> None:
        await stage.sync()
        found = await examine.everything(facts(stage))
        assert [one for one in found if one.status is not Status.OK] == []
        assert {one.subject for one in found} >= {
            "gateway",
            "gateway process",
            "account",
            "positions",
            "sync",
            "greeks",
            "services",
            "lake",
            "clock",
            "trading state",
        }

    stage(act, timeout=5.0)


@pytest.mark.parametrize("manner", ["nobody listens", "silent", "closes at once"])
def test_a_dead_gateway_is_unhealthy_soon_and_names_itself(stage, manner: str) -> None:
    async def act(stage) -> None:
        await stage.sync()

        async def answer(reader, writer) -> None:
            if manner == "silent":
                await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if manner == "nobody listens":
            server.close()
            await server.wait_closed()
        began = time.monotonic()
        found = await examine.everything(facts(stage, port=port, timeout=0.5))
        assert time.monotonic() - began < 3
        assert exit_code(found) == 2
        named = by_subject(found)
        assert named["gateway"].status is Status.UNHEALTHY and f"127.0.0.1:{port}" in named["gateway"].text
        assert named["gateway"].fix or named["gateway"].advice
        process = named["gateway process"]
        if manner == "nobody listens":
            assert process.status is Status.UNHEALTHY and process.text == "no gateway process found on this machine"
        else:
            assert process.status is Status.OK and f"(pid {os.getpid()})" in process.text, "who listens is named though nobody logs in"
        assert named["account"].status is Status.UNKNOWN and named["positions"].status is Status.UNKNOWN
        assert not any("all 0" in one.text for one in found)
        assert named["sync"].status is Status.OK, "what is known without the gateway is still said"
        server.close()
        await server.wait_closed()

    stage(act)


def test_the_process_is_looked_for_while_the_gateway_keeps_an_answer_back(stage, monkeypatch) -> None:
    """One after the other they would add up: the whole of the time-out, and a scan that takes seconds on a busy machine."""
    looked = asyncio.Event()

    async def act(stage) -> None:
        loop, real = asyncio.get_running_loop(), gather._look_for_process

        def look_for_process(*place):
            loop.call_soon_threadsafe(looked.set)
            return real(*place)

        monkeypatch.setattr(gather, "_look_for_process", look_for_process)

        @asynccontextmanager
        async def open_gateway():
            async with asyncio.timeout(20):
                await looked.wait()
            raise GatewayUnavailable("positions: no complete answer")
            yield

        own = facts(stage)
        named = by_subject(await examine.gateway(Facts(own.home, own.settings, Host(), open_gateway)))
        assert "no complete answer" in named["gateway"].text and looked.is_set()
        assert f"(pid {os.getpid()})" in named["gateway process"].text

    stage(act)


@pytest.mark.parametrize(("state", "verb"), [("running", "restart"), ("stopped", "start"), ("failed", "start")])
def test_a_gateway_that_v6_hosts_is_mended_by_v6(state, verb: str) -> None:
    found = checks.gateway_down(GatewayUnavailable("nobody"), ServiceState("ib-gateway", state), settings.builtin(), clock.now())
    assert str(found.fix) == f"v6 services {verb} ib-gateway" and found.exit_code == 2


def test_the_wrong_account_is_mended_by_no_restart(stage) -> None:
    async def act(stage) -> None:
        host = Host([ServiceState("ib-gateway", "running"), ServiceState("v6-position-sync", "running")])
        own = facts(stage, host)
        stage.settings = msgspec.structs.replace(stage.settings, account="DU7654321")
        found = by_subject(await examine.everything(own))["gateway"]
        assert found.status is Status.UNHEALTHY and "DU7654321" in found.text and "DU1234567" in found.text
        assert found.fix is None and "gateway.port" in found.advice

    stage(act)
    refused = checks.gateway_down(Refused("no", next_step="look"), None, settings.builtin(), clock.now())
    assert refused.advice == "look"


BUGS = {
    "process": "v6cli.health.gather._look_for_process",
    "lake": "v6cli.lake.reader.readable",
    "latch": "v6cli.latch.read",
    "machine": "v6cli.health.gather._look_at_machine",
    "state": "v6cli.health.gather._look_at_state",
}


@pytest.mark.parametrize("part", ["services", *BUGS])
def test_a_bug_in_one_part_leaves_the_others_their_answer(stage, monkeypatch, part: str) -> None:
    def buggy(*_arguments):
        raise ZeroDivisionError("planted")

    async def act(stage) -> None:
        await stage.sync()
        host = Host(error=ZeroDivisionError("planted")) if part == "services" else None
        own = facts(stage, host)
        own.settings = msgspec.structs.replace(
            own.settings, health=msgspec.structs.replace(own.settings.health, machine=True, disk=1.0, memory=1.0)
        )
        if part in BUGS:
            monkeypatch.setattr(BUGS[part], buggy)
        found = await examine.everything(own)
        (unknown,) = [one for one in found if one.status is Status.UNKNOWN]
        assert "ZeroDivisionError: planted" in unknown.text
        assert exit_code(found) == (2 if part == "state" else 1)
        assert by_subject(found)["gateway"].status is Status.OK
        screen = await status.screen(own)
        assert screen.exit_code == (2 if part == "state" else 1)

    stage(act, timeout=5.0)


def test_a_part_that_hangs_holds_up_nothing_and_nobody(folder: Path) -> None:
    """In a process of its own: what hangs must not keep that from ending."""
    program = """
import asyncio, time
from v6cli.procedure import Finding, Status, look
from v6cli.threads import aside

def hangs():
    time.sleep(60)

async def step():
    return [Finding("services", Status.OK, str(await aside(hangs)))]

print(asyncio.run(look("services", step, 0.2))[0].status)
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "unknown\n" and done.stderr == ""
    assert time.monotonic() - began < 15


def test_each_fact_is_looked_up_once_and_its_error_kept(stage) -> None:
    async def act(stage) -> None:
        asked = []

        class Counting(Host):
            def status(self, names=()):
                asked.append(names)
                raise ServiceUnavailable("no supervisor")

        own = facts(stage, Counting())
        answers = await asyncio.gather(*(own.services() for _ in range(5)), return_exceptions=True)
        assert len(asked) == 1 and {str(one) for one in answers} == {"no supervisor"}

    stage(act)


def test_an_error_that_comes_after_its_step_gave_up_is_not_complained_of(stage, caplog) -> None:
    async def act(stage) -> None:
        own = facts(stage, Host(error=ServiceUnavailable("late"), seconds=0.2))

        async def step() -> list[Finding]:
            return checks.services(await own.services())

        assert (await look("services", step, 0.05))[0].status is Status.UNKNOWN
        await asyncio.sleep(0.3)
        own._found.clear()
        gc.collect()

    stage(act)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_the_clock_of_the_gateway_is_compared_in_home_time(stage) -> None:
    async def act(stage) -> None:
        connection = await stage.connect("look")
        assert abs(await gather._skew(connection)) <= 0.6
        asked = connection.client.current_time

        async def behind():
            return (await asked()) - timedelta(seconds=60)

        connection.client.current_time = behind
        assert await gather._skew(connection) == pytest.approx(-60, abs=0.6)
        await connection.close()

    stage(act)


@pytest.mark.parametrize("away", [-7 * 86400, 901])
def test_a_book_dated_in_the_future_or_too_old_is_no_basis_for_green(stage, away: float) -> None:
    """The machine's clock was set back by a week: the sync may have been dead for all of it."""

    async def act(stage) -> None:
        await stage.sync()
        clock.start(1.0, clock.wall() + timedelta(seconds=away), clock.wall())
        risk = await examine.measured_risk(facts(stage))
        assert [one.status for one in risk.findings] == [Status.UNKNOWN]
        assert all(one.status is Status.UNKNOWN and one.value is None for one in risk.measures)
        said = "in the future" if away < 0 else "the positions shown are old"
        assert [one.exit_code for one in await examine.recorded(facts(stage)) if said in one.text] == [1 if away < 0 else 2], "risk decides"

    stage(act, timeout=5.0)


def test_the_book_of_another_account_is_no_basis_for_green(stage) -> None:
    """The account of the home was changed after the last sync."""

    async def act(stage) -> None:
        await stage.sync()
        stage.settings = msgspec.structs.replace(stage.settings, account="DU7777777")
        risk = await examine.measured_risk(facts(stage))
        assert [(one.status, str(one.fix)) for one in risk.findings] == [(Status.UNKNOWN, "v6 sync --force")]
        assert "DU7777777" in risk.findings[0].text and not risk.measures
        assert [one.status for one in await examine.recorded(facts(stage))] == [Status.UNKNOWN]

    stage(act, timeout=5.0)


def test_the_gateway_is_found_by_what_it_is_where_it_listens_nowhere(folder: Path) -> None:
    """A Java that runs IB's classes, as a gateway does that waits for its login."""
    java = folder / "java"
    java.symlink_to(os.path.realpath(sys.executable))
    argv = [java, "-I", "-c", "import time; print(flush=True); time.sleep(60)", "/opt/ibgateway/10.30/jars"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = gather._look_for_process("127.0.0.1", 1)
        process.kill()
    assert found.here and found.listens is None
    assert (process.pid, "java") in {(one.pid, one.name) for one in found.running}


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.1.2.3", False), ("gateway", False)]
)
def test_who_listens_here_says_nothing_about_another_machine(host: str, here: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = gather._look_for_process(host, server.getsockname()[1])
    assert found.here is here and (found.listens is not None) is here


def test_a_lost_link_at_night_is_expected_until_the_reset_ends(stage) -> None:
    async def act(stage) -> None:
        @asynccontextmanager
        async def without_ib():
            connection = await stage.connect("look")
            connection.client._on_message(-1, 1100, "Connectivity between IB and TWS has been lost.", None)
            yield connection
            await connection.close()

        for hour, minute, code in ((0, 14, 2), (0, 15, 1), (1, 44, 1), (1, 45, 2)):
            clock.start(1.0, datetime(2026, 11, 25, hour, minute, tzinfo=clock.eastern()), clock.wall())
            own = facts(stage, resets=("00:15 - 01:45",))
            own._open = without_ib
            found = await examine.gateway(own)
            assert exit_code(one for one in found if one.subject == "gateway") == code, (hour, minute)

    stage(act, timeout=5.0)
