"""A closing that is stopped, when parts of it have filled: what filled, what is left and what to type are shown, and a sync follows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from v6cli import latch, settings
from v6cli.latch import TradingState
from v6cli.state import mirror, runs

from ..conftest import ROOT


def stocks(stage: Any) -> list[Any]:
    return [one for one in stage.gateway.account.holdings.values() if one.contract.kind == "STK" and one.quantity]


async def stopped(stage: Any, how: str, *argv: str) -> tuple[int, str, str]:
    """``v6 close-all --yes``, stopped once a stock is gone and combos rest; exit code, stdout, stderr."""
    for key, value in (("dwell", "1.0"), ("percent", "0.5"), ("lag", "1"), ("steps", "9")):
        stage.home.settings_file.write_text(settings.edited(stage.home, f"closing.{key}", value).text)
    stage.gateway.faults.set("combos-rest")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "v6cli", "--home", str(stage.home), "close-all", "--yes", *argv),
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    before = len(stocks(stage))
    async with asyncio.timeout(60):
        while len(stocks(stage)) == before or not stage.gateway.book.alive:
            await asyncio.sleep(0.05)
    if how == "halt":
        latch.tighten(stage.home, TradingState.HALTED, "stop that too", "ann")
    else:
        process.send_signal(getattr(signal, how))
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None and stage.gateway.book.alive == []
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("how", "code", "step"),
    [
        ("halt", 77, "next: v6 trading-state, then v6 close-all --home {home} again"),
        ("SIGINT", 130, "next: v6 close-all --home {home}\n"),
    ],
)
def test_what_filled_and_what_is_left_is_shown_and_synced(stage: Any, how: str, code: int, step: str) -> None:
    async def act(prepared: Any) -> None:
        stock = {con_id: one.quantity for con_id, one in prepared.gateway.account.holdings.items() if one in stocks(prepared)}
        done, out, err = await stopped(prepared, how)
        assert done == code, err
        held = {con_id: one for con_id, one in prepared.gateway.account.holdings.items() if one.quantity}
        sold = [f"filled: SELL {size:g} of {size:g} " for con_id, size in stock.items() if con_id not in held]
        assert sold and all(line in out for line in sold), out
        assert held and all(str(con_id) in out for con_id in held) and "stopped: " in out and "trading state HALTED" in out, out
        assert step.format(home=prepared.home) in err, err
        seen = mirror.read(prepared.state)
        assert seen is not None and {one.contract.con_id for one in seen.positions} == set(held), "a sync followed"
        recorded = runs.last(prepared.state, "close-all")
        assert recorded is not None and recorded.exit_code == code and {one["id"] for one in recorded.evidence} == set(held)

    stage(act, timeout=3.0)


def test_who_is_asked_to_end_says_what_filled_and_takes_no_time_for_more(stage: Any) -> None:
    """Whoever asks waits for it, and kills it soon."""

    async def act(prepared: Any) -> None:
        done, out, err = await stopped(prepared, "SIGTERM")
        assert done == 130 and "stopped: WHAT IS LEFT IS UNKNOWN" in out and "filled: SELL " in out, (out, err)
        assert "then: v6 sync --force" in err and mirror.read(prepared.state) is None

    stage(act, timeout=3.0)


def test_what_has_sent_nothing_says_no_more_than_why(stage: Any, v6: Any) -> None:
    async def act(prepared: Any) -> None:
        async with prepared.as_client("closing", 90):
            done = await asyncio.to_thread(v6, "--home", prepared.home, "close", "SPY", "--yes")
        assert done.returncode == 77 and "another closing runs" in done.stderr and "v6.close-outcome" not in done.stdout
        assert "stopped" not in done.stdout and runs.last(prepared.state, "close") is None

    stage(act, timeout=3.0)
