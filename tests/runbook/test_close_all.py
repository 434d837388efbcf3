"""v6 close and v6 close-all as their user runs them, in a demo home of their own with everything running."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from v6cli import events, latch, permits
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import BadInput, OutcomeUnknown, Refused
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.models import Order
from v6cli.runbook import close_all, close_wish
from v6cli.settings import builtin
from v6cli.state import intents, runs
from v6cli.state.database import open_read_only
from v6cli.trading.parts import Part

from ..conftest import Demo
from .closing_on_stage import closing_of


def state_of(home: Home) -> TradingState:
    return latch.read(home).state


@pytest.mark.timeout(300)
def test_one_thing_is_closed_and_then_everything(closing_demo: Demo) -> None:
    before = closing_demo.held()
    done = closing_demo.v6("close", "SPY", "--dry-run", check=0)
    assert "SPY" in done.stdout and state_of(closing_demo.home) is TradingState.ACTIVE and closing_demo.held() == before

    # One symbol, while v6-trading runs: nothing else is touched, and the trading state is as it was.
    assert "flat" in closing_demo.v6("close", "SPY", "--market", "--yes", check=0).stdout
    after = closing_demo.held()
    assert after == {name: size for name, size in before.items() if not name.startswith("SPY ")}
    assert state_of(closing_demo.home) is TradingState.ACTIVE and permits.standing(closing_demo.home) == []
    assert "v6-trading" in closing_demo.v6("services", "status", check=0).stdout

    # A plan alone halts nothing; declining leaves reduce-only.
    closing_demo.v6("close-all", "--dry-run", check=0)
    assert state_of(closing_demo.home) is TradingState.ACTIVE
    done = closing_demo.v6("close-all", check=77)
    assert "nobody to ask" in done.stderr and state_of(closing_demo.home) is TradingState.REDUCING and closing_demo.held() == after

    done = closing_demo.v6("close-all", "--market", "--yes", timeout=200)
    left = closing_demo.held()
    assert done.returncode == (75 if left else 0), done.stdout + done.stderr
    reasons = ("left to expire", "no quote of", "it may cover")
    assert sum(done.stdout.count(reason) for reason in reasons) >= len(left) <= 4, "what has no price may be left, and is named"
    assert state_of(closing_demo.home) is TradingState.HALTED and permits.standing(closing_demo.home) == []
    with open_read_only(closing_demo.home) as state:
        assert intents.unsettled(state) == []
    services = json.loads(closing_demo.v6("services", "status", "-o", "json", check=0).stdout)["rows"]
    assert {row["service"]: row["state"] for row in services}["v6-trading"] == "stopped"

    with open_read_only(closing_demo.home) as state:
        recorded = runs.last(state, "close-all")
        assert recorded is not None and recorded.exit_code == done.returncode and len(recorded.evidence) == len(left)

    # Again: what is left is what is left, and nothing else happens.
    again = closing_demo.v6("emergency", "close-all", "--market", "--yes", timeout=200)
    assert again.returncode == done.returncode and closing_demo.held() == left


@pytest.mark.parametrize(("options", "says"), [
    ({"cap": 2.0}, "--cap 2 is no share"),
    ({"limits": ("SPY=3",)}, "is not CONTRACT=PRICE"),
    ({"limits": ("5=-1",)}, "is not CONTRACT=PRICE"),
    ({"limits": ("5=nan",)}, "is not CONTRACT=PRICE"),
    ({"timeout": 0.0}, "--timeout 0 is no time"),
    ({"timeout": float("inf")}, "--timeout inf is no time"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"cap": None, "market": False, "queue": False, "timeout": None, "limits": ()}
    with pytest.raises(BadInput, match=says):
        close_wish.wish_for_all(builtin().closing, **(given | options))


@pytest.mark.parametrize("argv", [("close", ""), ("close", "  "), ("close-all", "--symbol", ""), ("close-all", "--strategy", " ")])
def test_an_empty_name_is_no_wish_for_everything(demo: Demo, argv: tuple[str, ...]) -> None:
    """As a shell variable that is not set leaves it."""
    done = demo.v6(*argv, "--yes", check=64)
    assert "is empty: nothing was closed" in done.stderr and state_of(demo.home) is TradingState.ACTIVE
    demo.v6(*argv, "--dry-run", check=64)


def test_a_wish_that_names_nothing_is_for_nothing() -> None:
    how = close_wish.wish_for_everything(builtin().closing).how
    part = Part("SPY", "stock", ())
    assert not close_wish.Wish("v6 close", how).chooses(part) and not close_wish.Wish("v6 close", how).everything
    assert close_wish.wish_for_everything(builtin().closing).chooses(part)


def test_broken_settings_keep_nobody_from_closing(demo: Demo) -> None:
    text = demo.home.settings_file.read_text()
    demo.home.settings_file.write_text(text + "\n[[[")
    try:
        done = demo.v6("close-all", "--symbol", "SPY", "--dry-run", check=0)
        assert "working with the last settings" in done.stderr and "SPY iron condor" in done.stdout
    finally:
        demo.home.settings_file.write_text(text)


def test_nothing_that_fits_is_said(demo: Demo) -> None:
    assert "nothing that is held fits v6 close ZZZ" in demo.v6("close", "ZZZ", "--yes", check=65).stderr


def test_a_combo_of_somebody_else_that_will_not_go_keeps_its_symbol_from_being_closed(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its legs are not told: closing beside it could close the same twice."""
    monkeypatch.setattr(close_all, "CONFIRMED_WITHIN", 0.5)

    async def act(prepared: Any) -> None:
        closing = closing_of(prepared)
        legs = [one.contract for one in prepared.gateway.account.holdings.values() if one.contract.symbol == "SPY"][:2]
        async with prepared.as_client("cancel", 55) as other:
            library = other.client.library
            combo = library.Bag(symbol="SPY", exchange="SMART", currency="USD")
            combo.comboLegs = [library.ComboLeg(conId=own.con_id, ratio=1, action="BUY", exchange="SMART") for own in legs]
            other.client.place(
                other.client.next_order_id(), combo, library.LimitOrder("BUY", 1, 0.01, account="DU1234567", orderRef="theirs")
            )
            async with asyncio.timeout(5):
                while not prepared.gateway.book.alive:
                    await asyncio.sleep(0.02)
            prepared.gateway.faults.set("stuck-cancelling", of="theirs")
            await closing.look()
            left = await closing.carry_out(events.ignore)
        spy = {one.contract.con_id for one in left if one.contract.symbol == "SPY"}
        assert spy == {con_id for con_id, one in prepared.gateway.account.holdings.items() if one.contract.symbol == "SPY"}
        assert all("still works (PendingCancel)" in one.why for one in left if one.contract.symbol == "SPY")
        assert not (others := {str(one.contract): one.why for one in left if one.contract.symbol not in {"SPY", "IWM"}}), others

    stage(act)


@pytest.mark.parametrize("error", [ClientIdInUse("client id 90 is in use"), Refused("the wrong account"), asyncio.CancelledError()])
def test_whatever_stops_it_orders_that_may_work_are_named(stage: Any, error: BaseException) -> None:
    """Their connection may be gone, so that nobody could cancel them."""

    @contextlib.asynccontextmanager
    async def gateway(_role: str, _client_id: int | None = None) -> Any:
        raise error
        yield

    async def act(prepared: Any) -> None:
        wish = close_wish.wish_for_everything(prepared.settings.closing)
        closing = close_all.CloseAll(prepared.home, prepared.settings, prepared.state, wish, "run", gateway)
        with pytest.raises((Refused, asyncio.CancelledError)):
            await closing.carry_out(events.ignore)
        stock = next(one.contract for one in prepared.gateway.account.holdings.values() if one.contract.kind == "STK")
        sent = intents.record(prepared.state, Order("DU1234567", stock, "SELL", 1), "run", 90, 1, "close-all")
        with pytest.raises(OutcomeUnknown, match=f"may still work: {sent.order_ref}"):
            await closing.carry_out(events.ignore)

    stage(act)
