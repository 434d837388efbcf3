"""The service that syncs for ever: asked, reconfigured, cut off, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable

import pytest

from v6cli import control, events, locks, settings
from v6cli.lake import reader
from v6cli.runbook import sync as on_request
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway
from v6cli.state import alerts, mirror
from v6cli.sync.reconcile import FAILED, SyncRun
from v6cli.sync.watch import SERVICE, Watch


async def until(holds: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


def last(stage) -> str | None:
    seen = mirror.seen(stage.state)
    return seen.run if seen else None


def configure(stage, **values: object) -> None:
    """Change the home's file, as an operator's editor would."""
    for key, value in values.items():
        edit = settings.edited(stage.home, key.replace("__", "."), str(value))
        stage.home.settings_file.write_text(edit.text)


@contextlib.asynccontextmanager
async def watching(stage):
    configure(stage, greeks__wait=0.5, gateway__timeout=1.0, sync__interval=600)
    watch = asyncio.ensure_future(Watch(stage.home, settings.load(stage.home), stage.state).run())
    try:
        await until(lambda: watch.done() or last(stage), "a first sync")
        if watch.done():
            watch.result()
        yield watch
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


def _greeks_seen(told: list[events.Event]) -> int:
    return max((event.done for event in told if isinstance(event, events.Progress) and event.what == "greeks"), default=0)


async def force(stage, **how: bool) -> SyncRun:
    return await on_request.once(stage.home, stage.settings, stage.state, events.ignore, **{"dry_run": False, "force": True} | how)


def test_a_sync_asked_for_is_made_by_the_service(stage) -> None:
    async def act(stage) -> None:
        async with watching(stage):
            first = last(stage)
            told: list[events.Event] = []
            done = await on_request.once(stage.home, stage.settings, stage.state, told.append, dry_run=False, force=True)
            assert done.run == last(stage) != first and done.positions == 21
            assert list(stage.gateway.clients) == [2], "one connection, the service's"
            dry = await force(stage, dry_run=True, force=False)
            assert not dry.written and last(stage) == done.run
            both = await asyncio.gather(force(stage), force(stage))
            assert both[0].run == both[1].run == last(stage), "who asks together is answered together"
        assert not stage.home.control_socket(SERVICE).exists()
        assert list(stage.home.runs.iterdir()) == []

    stage(act, timeout=3.0)


def test_whoever_asks_does_not_wait_for_the_greeks_of_the_sync_under_way(stage) -> None:
    async def act(stage) -> None:
        configure(stage, lines__sync=8)  # its options take turns
        async with watching(stage):
            told: list[events.Event] = []
            first = asyncio.ensure_future(on_request.once(stage.home, stage.settings, stage.state, told.append, dry_run=False, force=True))
            await until(lambda: _greeks_seen(told), "its first greeks")
            second = await force(stage)
            assert (await first).run != second.run == last(stage)
            assert 0 < _greeks_seen(told) < second.greeks_known, "the first one left the rest to the second"
            assert second.greeks_unknown == 0, "which had nobody to leave them to"

    stage(act, timeout=3.0)


def test_changed_settings_are_taken_up_and_broken_ones_are_not(stage) -> None:
    async def act(stage) -> None:
        async with watching(stage) as watch:
            configure(stage, sync__interval=0.2)
            await force(stage)
            seen = last(stage)
            await until(lambda: last(stage) != seen, "the new interval")
            good = stage.home.settings_file.read_text()
            stage.home.settings_file.write_text(good + "\nnonsense =\n")
            seen = last(stage)
            await until(lambda: last(stage) != seen, "the interval before the file broke")
            assert not watch.done()
            kept = settings.last(stage.home)
            assert kept is not None and kept.sync.interval == 0.2
            stage.home.settings_file.write_text(good)
            configure(stage, sync__interval=600)
            await until(lambda: (now := settings.last(stage.home)) and now.sync.interval == 600, "the mended file")

    stage(act, timeout=3.0)


def test_a_gateway_that_goes_is_an_alert_until_it_is_back(stage) -> None:
    async def act(stage) -> None:
        async with watching(stage) as watch:
            port = settings.load(stage.home).gateway.port
            first = last(stage)
            await stage.gateway.close()
            with pytest.raises(Exception, match=r"gateway|connection") as failure:
                await control.acall(stage.home.control_socket(SERVICE), "sync", timeout=20.0, report=None, dry_run=False, force=True)
            assert failure.value.exit_code == 69
            (alert,) = alerts.open_alerts(stage.state)
            assert alert.key == FAILED and last(stage) == first
            again = Gateway(scenarios.load("default"), quotes_every=0.05, account_every=0.1)
            await again.start(port)
            await until(lambda: last(stage) != first, "a sync with the new gateway")
            await until(lambda: not alerts.open_alerts(stage.state), "the alert taken back")
            assert not watch.done()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await again.close()

    stage(act, timeout=3.0)


def test_being_asked_while_the_gateway_is_away_does_not_make_it_spin(stage) -> None:
    async def act(stage) -> None:
        async with watching(stage):
            await stage.gateway.close()
            for _ in range(2):
                with pytest.raises(Exception, match=r"gateway|connection"):
                    await control.acall(stage.home.control_socket(SERVICE), "sync", timeout=20.0, report=None, dry_run=False, force=True)
            (before,) = alerts.open_alerts(stage.state)
            await asyncio.sleep(1.0)
            (after,) = alerts.open_alerts(stage.state)
            assert after.count - before.count <= 2, "it pauses between attempts"

    stage(act, timeout=3.0)


def test_two_services_never_watch_one_home(stage) -> None:
    async def act(stage) -> None:
        async with watching(stage):
            with pytest.raises(Exception, match="runs already") as refusal:
                await Watch(stage.home, stage.settings, stage.state).run()
            assert refusal.value.exit_code == 77
            assert (await force(stage)).run == last(stage), "the first one still answers"

    stage(act, timeout=3.0)


def test_two_syncs_at_once_take_turns(stage) -> None:
    async def act(stage) -> None:
        done = await asyncio.gather(force(stage), force(stage))
        assert len({one.run for one in done}) == 2 and all(one.written for one in done)
        recorded = reader.last_run(stage.home.lake)
        assert recorded is not None and recorded.run == last(stage)

    stage(act, timeout=3.0)


def test_a_sync_that_may_not_begin_names_who_holds_it(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        held = locks.hold
        monkeypatch.setattr(locks, "hold", lambda path, who, wait: held(path, who, 0.1))
        with (
            locks.try_hold(stage.home.run / "sync.lock", "sync of somebody"),
            pytest.raises(Exception, match=f"held by sync of somebody .pid {os.getpid()}.") as refusal,
        ):
            await force(stage)
        assert refusal.value.exit_code == 77
        assert (await force(stage)).written

    stage(act, timeout=3.0)


def test_a_plain_sync_does_nothing_while_the_last_is_fresh(stage, v6) -> None:
    async def act(stage) -> None:
        async def run(*argv: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(v6, "--home", stage.home.root, "sync", *argv, check=0)

        configure(stage, sync__fresh=600)
        await run()
        first = last(stage)
        assert first
        assert "nothing to do" in (await run()).stderr and last(stage) == first
        configure(stage, sync__fresh=0)
        await run()
        assert last(stage) != first

    stage(act, timeout=5.0)
