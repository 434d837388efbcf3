"""Resuming: what is shown before it is asked, and the services that are started after it."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from v6cli import clock, latch, locks, permits
from v6cli.errors import BadInput
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.models import Account, Alert, Contract, Order, Position, Severity
from v6cli.runbook import resumption
from v6cli.services.backend import ServiceState
from v6cli.state import alerts, intents, journal, mirror
from v6cli.state.database import State, open_state

from ..conftest import Demo, free_port

SPY = Contract(1, "SPY", "STK")


def held(quantity: float, con_id: int = 1) -> Position:
    return Position("DU1", msgspec.structs.replace(SPY, con_id=con_id), quantity, 100.0)


def synced(state: State, at: datetime, *positions: Position) -> None:
    mirror.write(state, "run", at, Account("DU1", "USD", at), positions=positions, greeks=())


def shown(state: State, then: list[Position], at: datetime) -> list[str]:
    table = resumption.table(state, lambda _at: then, at)
    return [f"{what}: {text}" for what, _, text in table.rows]


def test_what_is_recorded_since_the_halt_is_shown(demo_home: Home) -> None:
    halted = clock.now() - timedelta(hours=1)
    with open_state(demo_home) as state:
        synced(state, clock.now(), held(-2), held(5, 2))
        sent = intents.claim_close(state, Order("DU1", SPY, "BUY", 1.0, 3.0), "run", 1, 7, "exit", {1: -2.0}, 0)
        intents.end(state, sent.intent, "filled", 1.0)
        left = intents.claim_close(state, Order("DU1", SPY, "BUY", 2.0, 3.0), "run", 1, 8, "exit", {1: -2.0}, intents.turn(state))
        intents.end(state, left.intent, "unknown", None)
        alerts.raise_alert(state, Alert("x", Severity.CRITICAL, "something rests on it", "v6 orders"))
        entry = journal.begin(state, "run", "config set", ["config", "set"])
        journal.end(state, entry, "failed", 78)
        lines = shown(state, [held(-3), held(5, 2)], halted)
        assert "position: SPY: -3 -> -2" in lines and not any("5" in line for line in lines if line.startswith("position"))
        assert f"order: filled: BUY 1 SPY, {sent.order_ref}" in lines and f"order: UNKNOWN: BUY 2 SPY, {left.order_ref}" in lines
        assert "alert: critical, open: something rests on it" in lines
        assert any(line.startswith("act: v6 config set") and line.endswith("failed (78)") for line in lines)
        # Later than all of it: only what is still open is left.
        later = shown(state, [held(-2), held(5, 2)], clock.now() + timedelta(seconds=1))
        assert [line for line in later if line.startswith(("order", "alert", "position"))] == [
            "position: UNKNOWN: no sync has ended since; v6 sync --force",
            f"order: UNKNOWN: BUY 2 SPY, {left.order_ref}",
            "alerts: none",
        ]


def test_what_cannot_be_told_is_unknown_and_much_is_cut(demo_home: Home) -> None:
    def unreadable(_at: datetime) -> list[Position]:
        raise BadInput("the lake knows nothing of then")

    at = clock.now() - timedelta(hours=1)
    with open_state(demo_home) as state:
        synced(state, clock.now(), *[held(1, number) for number in range(1, 30)])
        rows = resumption.table(state, unreadable, at).rows
        assert ("position", None, "what was held then is UNKNOWN: the lake knows nothing of then") in rows
        lines = shown(state, [], at)
        assert len([line for line in lines if line.startswith("position")]) == resumption.MOST + 1
        assert "position: and 19 more: v6 positions" in lines


def test_since_when_is_told_in_the_homes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    clock.start(10.0, begun, clock.wall())
    mark = latch.Mark("halt-1", TradingState.HALTED, "x", "ann", clock.wall() - timedelta(minutes=1))
    since = resumption.since(latch.Latch(TradingState.HALTED, (mark,)))
    assert since is not None and abs((clock.now() - since).total_seconds() - 600) < 1
    assert resumption.since(latch.Latch(TradingState.HALTED, problem="gone")) is None


def test_the_line_names_what_is_stopped() -> None:
    states = [ServiceState("a", "running"), ServiceState("b", "stopped"), ServiceState("c", "failed"), ServiceState("d", "starting")]
    assert resumption.stopped(states) == ["b", "c"]
    assert resumption.said_of_services(["b", "c"], of=4) == "not running: b, c; v6 services start b c starts them"
    assert resumption.said_of_services(["a"], of=1) == "not running: a; v6 services start starts it"
    assert resumption.said_of_services([], of=1) == "every service runs"


@pytest.mark.timeout(120)
def test_it_starts_what_is_stopped_and_says_so(v6, folder: Path) -> None:
    home = new_home.make(folder / "d", "demo", port=free_port())
    demo = Demo(home, v6)
    try:
        demo.v6("demo", home.root, check=0)
        demo.v6("emergency", "shutdown", "--yes", check=0)
        asked = demo.v6("resume", "--reason", "x", "--start", check=77)
        assert "emergency shutdown" in asked.stdout
        assert "not running: v6-trading, v6-position-sync" in asked.stderr
        done = demo.v6("resume", "--reason", "x", "--start", "--yes", "-o", "json", check=0)
        rows = _last(done.stdout)["rows"]
        assert [(row["service"], row["state"]) for row in rows] == [
            ("ib-gateway", "running"), ("v6-trading", "running"), ("v6-position-sync", "running"),
        ]  # fmt: skip
        assert latch.read(home).state is TradingState.ACTIVE
        demo.v6("halt", check=0)
        demo.v6("sync", "--force", check=0)
        assert "unchanged: 21 positions" in demo.v6("resume", "--reason", "x", "--yes", check=0).stdout
    finally:
        demo.v6("demo", "--stop", home.root)


def _last(stdout: str) -> dict[str, Any]:
    """The last of several JSON documents."""
    decoder, found = json.JSONDecoder(), {}
    while stdout.strip():
        found, end = decoder.raw_decode(stdout.lstrip())
        stdout = stdout.lstrip()[end:]
    return found


@pytest.mark.machine
@pytest.mark.parametrize("argv", [
    ("resume", "--reason", "x", "--yes"), ("alerts", "ack"), ("config", "set", "limits.delta", "150"), ("services", "stop"),
], ids=" ".join)  # fmt: skip
def test_on_a_full_disk_the_way_out_is_named(v6, folder: Path, argv: tuple[str, ...]) -> None:
    place = folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", place], check=True)
    try:
        home = new_home.make(place / "h", "demo", port=free_port())
        v6("--home", home, "halt", check=0)
        with pytest.raises(OSError, match="No space"), (place / "fills").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        done = v6("--home", home, *argv, check=74)
        assert done.stderr.splitlines()[-1] == f"next: the disk is full: free some of it, df -h {home}", done.stderr
        assert latch.read(home).state is TradingState.HALTED
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_nothing_is_started_beside_a_closing(v6, demo_home: Home) -> None:
    latch.tighten(demo_home, TradingState.HALTED, "storm", "ann")
    with open_state(demo_home):
        pass
    run = locks.begin_run(demo_home, "v6 close-all")
    try:
        permits.grant(demo_home, run.identity, "v6 close-all", latch.read(demo_home).marks)
        refused = v6("--home", demo_home, "resume", "--reason", "x", "--yes", "--start", check=77)
        assert "v6 close-all runs" in refused.stderr and latch.read(demo_home).state is TradingState.HALTED
        assert "v6 close-all runs, and goes on closing" in v6("--home", demo_home, "resume", "--reason", "x", "--yes", check=0).stderr
    finally:
        run.end()
