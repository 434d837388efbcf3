"""The morning checklist as its operator runs it: with the gateway dead, silent, half silent, and well."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest

from v6cli.home import Home
from v6cli.install import new_home
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway


class Served:
    """A home whose gateway answers from a thread of this process; ``call`` runs something in its loop."""

    def __init__(self, home: Home, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self.home = home
        self.gateway = gateway
        self._loop = loop

    def call(self, function, *arguments: object, **named: object) -> None:
        done = threading.Event()

        def work() -> None:
            function(*arguments, **named)
            done.set()

        self._loop.call_soon_threadsafe(work)
        assert done.wait(10)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self.gateway.close(), self._loop).result(10)


@pytest.fixture
def served(folder) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> tuple[Gateway, int]:
        gateway = Gateway(scenarios.load("default"), quotes_every=0.1, account_every=0.1)
        return gateway, await gateway.start()

    gateway, port = asyncio.run_coroutine_threadsafe(serve(), loop).result(20)
    home = new_home.make(folder / "h", "demo", port=port)
    one = Served(home, gateway, loop)
    yield one
    one.end()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def check(v6, served: Served, *argv: str) -> tuple[int, dict[str, list[dict[str, object]]], float]:
    """Exit code, rows by step, and seconds."""
    began = time.monotonic()
    done = v6(*argv, "-v", "-o", "json", cwd=served.home.root)
    seconds = time.monotonic() - began
    assert "Traceback" not in done.stderr
    steps: dict[str, list[dict[str, object]]] = {}
    key = "step" if argv[0] == "morning-check" else "check"
    name = ""
    for row in json.loads(done.stdout)["rows"]:
        name = row[key] or name
        steps.setdefault(name, []).append(row)
    return done.returncode, steps, seconds


def texts(steps) -> str:
    return "\n".join(str(row["finding"]) for rows in steps.values() for row in rows)


@pytest.mark.parametrize("command", ["health", "morning-check"])
def test_a_dead_gateway_is_named_with_what_starts_it_in_under_ten_seconds(served: Served, v6, command: str) -> None:
    v6("sync", "--force", cwd=served.home.root, check=0)
    served.end()
    code, steps, seconds = check(v6, served, command)
    assert (code, seconds < 10) == (2, True), seconds
    said = texts(steps)
    assert "nothing listens at 127.0.0.1" in said and "all 21" not in said and "all 0" not in said
    assert "v6 services start ib-gateway" in [row["next"] for rows in steps.values() for row in rows]


@pytest.mark.parametrize("answer", ["positions", "account", "completed-orders"])
@pytest.mark.parametrize("command", ["health", "morning-check"])
def test_an_answer_without_its_end_is_unknown_and_never_none_held(served: Served, v6, command: str, answer: str) -> None:
    v6("sync", "--force", cwd=served.home.root, check=0)
    v6("config", "set", "gateway.timeout", "1", cwd=served.home.root, check=0)
    served.call(served.gateway.faults.set, "withhold-end", answer=answer)
    code, steps, seconds = check(v6, served, command)
    assert (code, seconds < 10) == (2, True), seconds
    rows = [row for found in steps.values() for row in found]
    assert any(row["status"] == "unknown" for row in rows)
    said = texts(steps)
    assert "all 0" not in said
    if answer == "completed-orders":
        assert "all 21 positions synced" in said and "whether the API may write is unknown" in said
    else:
        assert "no complete answer" in said and "all 21" not in said


def test_a_read_only_gateway_is_unhealthy(served: Served, v6) -> None:
    v6("sync", "--force", cwd=served.home.root, check=0)
    served.call(served.gateway.faults.set, "read-only")
    code, steps, seconds = check(v6, served, "health")
    assert (code, seconds < 10) == (2, True), seconds
    assert [row["status"] for rows in steps.values() for row in rows if "read-only" in str(row["finding"])] == ["unhealthy"]


@pytest.mark.parametrize("command", ["health", "morning-check"])
def test_a_link_that_was_lost_before_anybody_looked_is_found(served: Served, v6, command: str) -> None:
    """Nobody tells who connects then: the gateway answers, from memory."""
    v6("sync", "--force", cwd=served.home.root, check=0)
    v6("config", "set", "gateway.timeout", "1", cwd=served.home.root, check=0)
    served.call(served.gateway.faults.set, "link-lost")
    code, steps, seconds = check(v6, served, command)
    assert (code, seconds < 10) == (2, True), seconds
    assert [row["status"] for rows in steps.values() for row in rows if "lost its connection to IB" in str(row["finding"])] == ["unhealthy"]


def test_each_run_leaves_one_record_of_its_result(served: Served, v6) -> None:
    from v6cli.state import runs
    from v6cli.state.database import open_read_only

    v6("sync", "--force", cwd=served.home.root, check=0)
    code, _, _ = check(v6, served, "morning-check")
    with open_read_only(served.home) as state:
        (kept,) = runs.recent(state, "morning-check")
    assert (kept.outcome, kept.exit_code) == ("done", code)
    assert set(kept.evidence) == {"gateway", "services", "positions", "health", "risk", "logs"}
    assert all(found["findings"] for found in kept.evidence.values())
