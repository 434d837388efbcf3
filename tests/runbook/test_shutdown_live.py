"""An emergency shutdown that goes on to close everything, with real money: the account has to be typed, and nothing replaces it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from v6cli import latch
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.simulator import scenario as scenarios
from v6cli.simulator.server import Gateway
from v6cli.state import runs
from v6cli.state.database import open_read_only

from .terminal import at_a_terminal

BOOK = """
seed = 5
[account]
id = "U1234567"
[[positions]]
symbol = "SPY"
quantity = 100
[[positions]]
symbol = "SPY"
quantity = -1
right = "P"
expiry = "monthly+1"
strike = "spot-2%"
"""
QUICK = "\n[closing]\ndwell = 0.3\nsteps = 1\npercent = 1.0\nlag = 1.0\n"


@pytest.fixture
def live(tmp_path: Path, folder: Path) -> Callable[[Callable[[Home, Gateway], Awaitable[None]]], None]:
    """Run ``act(home, gateway)`` in a home of the profile live, beside a gateway that manages its account."""
    book = tmp_path / "live.toml"
    book.write_text(BOOK)

    def run(act: Callable[[Home, Gateway], Awaitable[None]]) -> None:
        async def main() -> None:
            gateway = Gateway(scenarios.load(str(book)), quotes_every=0.05, account_every=0.1)
            port = await gateway.start()
            try:
                await act(new_home.make(folder / "h", "live", account="U1234567", port=port, extra=QUICK), gateway)
            finally:
                await gateway.close()

        asyncio.run(main())

    return run


def held(gateway: Gateway) -> list[float]:
    return sorted(one.quantity for one in gateway.account.holdings.values() if one.quantity)


@pytest.mark.timeout(200)
def test_only_the_account_typed_closes_real_positions(live: Any, v6: Any) -> None:
    async def act(home: Home, gateway: Gateway) -> None:
        everything = held(gateway)
        assert everything == [-1.0, 100.0]
        done = await asyncio.to_thread(v6, "--home", home, "emergency", "shutdown", "--close-all", "--yes")
        assert done.returncode == 77 and "U1234567" in done.stderr and held(gateway) == everything, done.stderr
        done = await asyncio.to_thread(v6, "--home", home, "emergency", "shutdown", "--close-all", "--yes", "--account", "U7654321")
        assert done.returncode == 77 and held(gateway) == everything, done.stderr
        for answer in ("y", "U123456", "u1234567"):
            code, shown = await asyncio.to_thread(at_a_terminal, home, "emergency", "shutdown", "--close-all", ahead=answer)
            assert code == 77 and "Type U1234567 to go on" in shown and held(gateway) == everything, shown
        assert latch.read(home).state is TradingState.HALTED, "whatever was answered"
        code, shown = await asyncio.to_thread(at_a_terminal, home, "emergency", "shutdown", "--close-all", ahead="U1234567")
        assert code == 0 and held(gateway) == [], shown
        assert shown.count("to go on:") == 1, "one question for both"
        with open_read_only(home) as state:
            closing = runs.last(state, "close-all")
        assert closing is not None and closing.exit_code == 0 and closing.evidence == []

    live(act)


@pytest.mark.timeout(200)
def test_a_script_gives_the_account_instead(live: Any, v6: Any) -> None:
    async def act(home: Home, gateway: Gateway) -> None:
        done = await asyncio.to_thread(v6, "--home", home, "emergency", "shutdown", "--close-all", "--yes", "--account", "U1234567")
        assert done.returncode == 0 and held(gateway) == [], done.stdout + done.stderr

    live(act)
