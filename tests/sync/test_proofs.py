"""What a sync believes only when it is said twice, and what must be on record together."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from v6cli import events, locks
from v6cli.errors import CannotWrite, GatewayUnavailable
from v6cli.lake import reader
from v6cli.models import Contract, GreekSource, Position
from v6cli.runbook import sync as on_request
from v6cli.settings import builtin
from v6cli.state import alerts, mirror
from v6cli.state.database import open_read_only
from v6cli.sync import fetch
from v6cli.sync.causes import label
from v6cli.sync.greeks import judge
from v6cli.sync.reconcile import FAILED, UNEXPLAINED, Syncer

EXPIRY = date(2026, 11, 24)
CALL = Contract(7, "SPY", "OPT", EXPIRY, 600.0, "C", 100.0)
HELD = [Position("DU1234567", CALL, -1.0, 1.0)]


def answering(connection, *answers):
    """The client's answers to `positions`, one after the other: a function from the true answer to the one given."""
    asked = connection.client.positions
    number = iter(range(1000))

    async def positions():
        true = await asked()
        place = next(number)
        return answers[place](true) if place < len(answers) else true

    connection.client.positions = positions


@pytest.mark.parametrize("first", [True, False], ids=["the first sync of a home", "a later one"])
def test_an_empty_answer_is_not_believed_alone(stage, monkeypatch, first: bool) -> None:
    monkeypatch.setattr(fetch, "SECOND_PROOF_AFTER", 0.05)

    async def act(stage) -> None:
        if not first:
            await stage.sync()
        connection = await stage.connect()
        answering(connection, lambda _true: [])
        with pytest.raises(GatewayUnavailable, match="answers differ: 21 positions"):
            await stage.sync(connection)
        await connection.close()
        seen = mirror.read(stage.state)
        assert (seen is None) if first else (seen is not None and len(seen.positions) == 21)

    stage(act, timeout=5.0)


def test_an_account_that_is_empty_twice_is_empty(stage, monkeypatch) -> None:
    monkeypatch.setattr(fetch, "SECOND_PROOF_AFTER", 0.05)

    async def act(stage) -> None:
        await stage.sync()
        stage.gateway.account.holdings.clear()
        done = await stage.sync()
        assert done.positions == 0 and len(done.differences) == 21
        seen = mirror.read(stage.state)
        assert seen is not None and seen.positions == []
        raised = alerts.open_alerts(stage.state)
        assert len(raised) == len([one for one in done.differences if one.cause == "unexplained"]) > 0

    stage(act, timeout=5.0)


@pytest.mark.parametrize(
    ("hour", "minute", "day", "cause"),
    [(10, 0, 24, "unexplained"), (15, 59, 24, "unexplained"), (16, 0, 24, "expired"), (9, 0, 25, "expired"), (10, 0, 23, "unexplained")],
)
def test_an_option_has_not_expired_before_the_close_of_its_last_day(hour: int, minute: int, day: int, cause: str) -> None:
    at = datetime(2026, 11, day, hour + 5, minute, tzinfo=UTC)
    (found,) = label(HELD, [], [], frozenset(), at)
    assert found.cause == cause


def test_a_change_nobody_explains_is_an_alert_in_the_same_instant_as_the_mirror(stage, monkeypatch) -> None:
    """Killed between the two, the next sync would see no difference any more."""
    monkeypatch.setattr(fetch, "SECOND_PROOF_AFTER", 0.05)

    async def act(stage) -> None:
        first = await stage.sync()
        (con_id, *_) = stage.gateway.account.holdings
        del stage.gateway.account.holdings[con_id]

        def full(*_arguments):
            raise CannotWrite("planted: the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(alerts, "raise_alert", full)
            with pytest.raises(CannotWrite):
                await stage.sync()
        with open_read_only(stage.home) as state:
            seen = mirror.read(state)
        assert seen is not None and seen.run == first.run, "without its alert the change is not on record"
        done = await stage.sync()
        assert [one.cause for one in done.differences] == ["unexplained"]
        assert [one.key for one in alerts.open_alerts(stage.state)] == [f"{UNEXPLAINED}:{con_id}"]

    stage(act, timeout=5.0)


def test_one_failure_is_one_alert_and_a_success_takes_it_back(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("withhold-end", answer="executions")
        for times in (1, 2, 3):
            with pytest.raises(GatewayUnavailable, match="executions"):
                await on_request.once(stage.home, stage.settings, stage.state, events.ignore, dry_run=False, force=True)
            (raised,) = alerts.open_alerts(stage.state)
            assert (raised.key, raised.count) == (FAILED, times) and "executions" in raised.text
        stage.gateway.faults.clear("withhold-end")
        await on_request.once(stage.home, stage.settings, stage.state, events.ignore, dry_run=False, force=True)
        assert alerts.open_alerts(stage.state) == []

    stage(act, timeout=0.5)


def test_what_the_gateway_remembers_while_it_has_lost_ib_is_not_recorded(stage) -> None:
    async def act(stage) -> None:
        before = await stage.sync()
        stage.gateway.faults.set("link-lost")
        with pytest.raises(GatewayUnavailable, match="lost its connection to IB"):
            await stage.sync()
        recorded = reader.last_run(stage.home.lake)
        assert recorded is not None and recorded.run == before.run
        stage.gateway.faults.clear("link-lost")
        assert (await stage.sync()).written

    stage(act, timeout=0.5)


def test_an_alert_that_cannot_be_written_does_not_hide_why_the_sync_failed(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("withhold-end", answer="positions")
        monkeypatch.setattr(on_request, "failed", lambda *_: (_ for _ in ()).throw(CannotWrite("disk full")))
        with pytest.raises(GatewayUnavailable, match="positions"):
            await on_request.once(stage.home, stage.settings, stage.state, events.ignore, dry_run=False, force=True)
        assert list(stage.home.runs.iterdir()) == []

    stage(act, timeout=0.5)


def test_a_second_sync_waits_before_it_takes_the_client_id_of_the_first(stage, monkeypatch) -> None:
    """With the id asked for first, it would be told of an id in use, and by nobody."""
    from v6cli.broker import connection as module

    monkeypatch.setattr(module, "WAIT_FOR_ID", 0.1)

    async def act(stage) -> None:
        asked = []
        connect = module.connect

        async def slowly(*arguments):
            asked.append(locks.holder(stage.home.run / "sync.lock"))
            made = await connect(*arguments)
            await asyncio.sleep(1.0)
            return made

        monkeypatch.setattr(on_request, "connect", slowly)
        both = await asyncio.gather(
            *(on_request.once(stage.home, stage.settings, stage.state, events.ignore, dry_run=False, force=True) for _ in range(2))
        )
        assert all(one.written for one in both) and both[0].run != both[1].run
        assert [who is not None and who.startswith("sync 2") for who in asked] == [True, True]

    stage(act, timeout=5.0)


def test_a_forced_sync_finds_what_became_of_a_table_that_it_holds_open(stage) -> None:
    """The health check names a forced sync as the cure, and the service that is asked for one has held the table open for days."""

    async def act(stage) -> None:
        connection = await stage.connect()
        syncer = Syncer(connection, stage.home, stage.state, stage.settings)
        await syncer.sync("run-1", events.ignore)
        for commit in (stage.home.lake / "account_history" / "_delta_log").glob("*.json"):
            commit.write_text("{damaged")
        assert reader.readable(stage.home.lake)
        await syncer.sync("run-2", events.ignore, force=True)
        assert reader.readable(stage.home.lake) == []
        await connection.close()

    stage(act, timeout=5.0)


def test_what_happens_is_reported_from_the_loop_and_not_from_the_writers_thread(stage) -> None:
    """The reports of a sync on request go over a socket, which belongs to the loop."""
    import threading

    async def act(stage) -> None:
        threads: set[str] = set()
        connection = await stage.connect()
        from v6cli.sync.reconcile import Syncer

        stage.home.lake.joinpath("positions", "_delta_log").rename(stage.home.lake / "gone")
        syncer = Syncer(connection, stage.home, stage.state, stage.settings)
        told: list[events.Event] = []

        def report(event: events.Event) -> None:
            threads.add(threading.current_thread().name)
            told.append(event)

        done = await syncer.sync("run-1", report, force=True)
        assert done.written and any(isinstance(one, events.Note) and "begun anew" in one.text for one in told)
        assert threads == {threading.current_thread().name}
        await connection.close()

    stage(act, timeout=5.0)


def test_a_model_of_frozen_or_delayed_data_is_not_the_model_of_now() -> None:
    from v6cli.broker.quotes import Tick
    from v6cli.sessions import parse_hours

    now = datetime(2026, 11, 24, 15, tzinfo=UTC)
    hours = parse_hours("20261124:0930-20261124:1600;20261125:0930-20261125:1600", "America/New_York")
    own = msgspec.structs.replace(CALL, expiry=date(2026, 12, 18))
    tick = Tick(7, True, now, 0.4, 0.02, -0.3, 0.5, 0.2, 4.0, 595.0)
    limits = builtin("paper").greeks
    assert judge(own, tick, 595.0, None, hours, now, limits).source is GreekSource.MODEL
    frozen = msgspec.structs.replace(tick, live=False)
    assert judge(own, frozen, 595.0, None, hours, now, limits).source is GreekSource.MISSING
    night = now + timedelta(hours=12)
    assert judge(own, msgspec.structs.replace(frozen, at=night), 595.0, None, hours, night, limits).source is GreekSource.AS_OF_CLOSE


def test_the_mirror_stays_whole_when_its_file_is_locked_for_too_long(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        first = await stage.sync()
        stage.state._connection.execute("PRAGMA busy_timeout = 100")
        other = sqlite3.connect(stage.home.state, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CannotWrite, match="locked"):
            await stage.sync()
        other.execute("ROLLBACK")
        other.close()
        seen = mirror.read(stage.state)
        assert seen is not None and seen.run == first.run
        assert (await stage.sync()).written

    stage(act, timeout=5.0)


def test_nobody_answers_at_the_socket_of_a_service_that_died(stage) -> None:
    """Its socket file is still there: the sync is made here, and not waited for."""

    async def act(stage) -> None:
        from v6cli.sync.watch import SERVICE

        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(stage.home.control_socket(SERVICE)))
        assert stage.home.control_socket(SERVICE).exists()
        done = await on_request.once(stage.home, stage.settings, stage.state, events.ignore, dry_run=False, force=True)
        assert done.written

    stage(act, timeout=5.0)
