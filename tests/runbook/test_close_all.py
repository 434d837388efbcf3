"""v6 close and v6 close-all as their user runs them, in a demo home of their own with everything running."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shlex
import sys
from typing import Any

import pytest

from v6cli import barrier, events, latch, permits, settings
from v6cli.broker import translate
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import BadInput, CannotWrite, OutcomeUnknown, Refused
from v6cli.home import Home
from v6cli.latch import TradingState
from v6cli.models import Order
from v6cli.runbook import close_all, close_tables, close_wish
from v6cli.settings import builtin
from v6cli.state import intents, runs
from v6cli.state.database import open_read_only
from v6cli.trading.execution import Desk
from v6cli.trading.parts import Part

from ..conftest import ROOT, Demo
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
    done = closing_demo.v6("close-all", "--symbol", "IWM", "--cap", "0.5", check=77)
    assert "next: v6 close-all --symbol IWM --cap 0.5 --yes" in done.stderr, "what is suggested closes no more than was asked for"
    done = closing_demo.v6("close-all", "--symbol", "ZZZ", "--yes", check=65)
    assert "nothing that is held fits the symbol 'ZZZ'; held: IWM, QQQ" in done.stderr and "trading stays REDUCING" in done.stderr, (
        done.stderr
    )
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


def test_who_resumed_while_it_closed_is_not_told_that_trading_is_halted() -> None:
    assert "trading stays halted until v6 resume" in close_all.next_line(TradingState.HALTED)
    for state in (TradingState.ACTIVE, TradingState.REDUCING):
        line = close_all.next_line(state)
        assert f"is {state.value}" in line and "v6 halt" in line and "stays halted" not in line


@pytest.mark.parametrize(("options", "says"), [
    ({"cap": 2.0}, "--cap 2 is no share"),
    ({"limits": ("SPY=3",)}, "is not CONTRACT=PRICE"),
    ({"limits": ("5=-1",)}, "is not CONTRACT=PRICE"),
    ({"limits": ("5=nan",)}, "is not CONTRACT=PRICE"),
    ({"limits": ("5=1", "5=2")}, "'5=2' is a second price"),
    ({"timeout": 0.0}, "--timeout 0 is no time"),
    ({"timeout": float("inf")}, "--timeout inf is no time"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"cap": None, "market": False, "queue": False, "timeout": None, "limits": ()}
    with pytest.raises(BadInput, match=rf"{says}.*: nothing was closed, and NOTHING WAS HALTED"):
        close_wish.wish_for_all(builtin().closing, **(given | options))
    with pytest.raises(BadInput, match=rf"{says}.*: nothing was closed$"):
        close_wish.wish_for_position(builtin().closing, "SPY", **(given | options))


@pytest.mark.parametrize("argv", [("close", ""), ("close", "  "), ("close-all", "--symbol", ""), ("close-all", "--strategy", " ")])
def test_an_empty_name_is_no_wish_for_everything(demo: Demo, argv: tuple[str, ...]) -> None:
    """As a shell variable that is not set leaves it."""
    done = demo.v6(*argv, "--yes", check=64)
    assert "is empty: nothing was closed" in done.stderr and state_of(demo.home) is TradingState.ACTIVE
    demo.v6(*argv, "--dry-run", check=64)


def test_a_wish_that_names_nothing_is_for_nothing() -> None:
    how = close_wish.wish_for_everything(builtin().closing).how
    part = Part("SPY", "stock", ())
    assert not close_wish.Wish("v6 close", "v6 close", how).chooses(part) and not close_wish.Wish("v6 close", "v6 close", how).everything
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
    done = demo.v6("close", "ZZZ", "--yes", check=65)
    assert "nothing that is held fits the position or symbol 'ZZZ'; held: " in done.stderr and "SPY" in done.stderr


def test_what_is_suggested_is_what_was_typed(demo: Demo, v6: Any) -> None:
    stock = next(name for name in json.loads(demo.v6("positions", "-o", "json", check=0).stdout)["rows"] if not name["strike"])
    done = v6("--home", demo.home, "close", stock["symbol"], "--market", "--timeout", "90", check=77)
    assert f"next: v6 close {stock['symbol']} --market --timeout 90 --home {demo.home} --yes" in " ".join(done.stderr.split())


def test_a_line_that_is_suggested_can_be_typed_as_it_is() -> None:
    how: dict[str, Any] = {"cap": 0.25, "market": True, "queue": True, "timeout": 60.0, "limits": ("5=1.25", "6=2")}
    own = builtin().closing
    one = close_wish.wish_for_position(own, "SPY 2026-12-18 600C", home="/tmp/a b", **how)
    assert one.what == "v6 close 'SPY 2026-12-18 600C'"
    assert one.line == f"{one.what} --market --queue --cap 0.25 --timeout 60 --limit 5=1.25 --limit 6=2 --home '/tmp/a b'"
    several = close_wish.wish_for_all(own, symbol="SPY", strategy="iron condor", **(how | {"limits": ()}))
    assert several.line == "v6 close-all --symbol SPY --strategy 'iron condor' --market --queue --cap 0.25 --timeout 60"
    assert close_wish.wish_for_everything(own).line == "v6 close-all"


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("shares_a_leg", [True, False])
def test_closing_one_thing_cancels_a_combo_of_the_same_symbol_only_where_it_has_a_leg_of_it(
    stage: Any, monkeypatch: pytest.MonkeyPatch, shares_a_leg: bool, told: bool
) -> None:
    """It may be another position's protection. One whose legs are not told may have any leg of its symbol."""
    if not told:
        monkeypatch.setattr(translate, "_legs", lambda _raw: ())

    async def act(prepared: Any) -> None:
        closing = closing_of(prepared, "SPY")
        ids = {one.contract.con_id for one in held(prepared, "SPY")}
        async with prepared.as_client("cancel", 55) as other:
            library = other.client.library
            strikes = (
                await other.client._ib.qualifyContractsAsync(library.Option("SPY", "20261218", strike, "P", "SMART", tradingClass="SPY"))
                for strike in range(500, 700, 5)
            )
            free = [found.conId async for (found,) in strikes if found.conId not in ids][:2]
            legs = [min(ids), free[0]] if shares_a_leg else free
            combo = library.Bag(symbol="SPY", exchange="SMART", currency="USD")
            combo.comboLegs = [library.ComboLeg(conId=con_id, ratio=1, action="BUY", exchange="SMART") for con_id in legs]
            order = library.LimitOrder("BUY", 1, 0.01, account="DU1234567", orderRef="theirs", tif="GTC")
            other.client.place(other.client.next_order_id(), combo, order)
            async with asyncio.timeout(5):
                while not prepared.gateway.book.alive:
                    await asyncio.sleep(0.02)
        meant = shares_a_leg or not told
        assert [one.order_ref for one in (await closing.look()).resting] == ["theirs"] * meant
        assert await closing.carry_out(events.ignore) == [] and held(prepared, "SPY") == []
        assert [one.order_ref for one in prepared.gateway.book.alive] == ["theirs"] * (not meant)

    stage(act)


def test_a_combo_of_somebody_else_that_will_not_go_keeps_its_legs_from_being_closed(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing beside it could close the same twice."""
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


@pytest.mark.parametrize(
    "error",
    [
        ClientIdInUse("client id 90 is in use"),
        Refused("the wrong account"),
        CannotWrite("the disk is full"),
        OSError(errno.EIO, "Input/output error"),
        asyncio.CancelledError(),
    ],
)
def test_whatever_stops_it_orders_that_may_work_are_named(stage: Any, error: BaseException) -> None:
    """Their connection may be gone, so that nobody could cancel them."""

    @contextlib.asynccontextmanager
    async def gateway(_role: str, _client_id: int | None = None) -> Any:
        raise error
        yield

    async def act(prepared: Any) -> None:
        wish = close_wish.wish_for_everything(prepared.settings.closing)
        closing = close_all.CloseAll(prepared.home, prepared.settings, prepared.state, wish, "run", gateway)
        with pytest.raises((Refused, CannotWrite, OSError, asyncio.CancelledError)):
            await closing.carry_out(events.ignore)
        stock = next(one.contract for one in prepared.gateway.account.holdings.values() if one.contract.kind == "STK")
        sent = intents.record(prepared.state, Order("DU1234567", stock, "SELL", 1), "run", 90, 1, "close-all")
        with pytest.raises(OutcomeUnknown, match=f"may still work: {sent.order_ref}"):
            await closing.carry_out(events.ignore)

    stage(act)


def test_nothing_is_closed_beside_who_keeps_the_gate(stage: Any, v6: Any) -> None:
    """What it checked before the halt may leave after every cancel, and open what is being closed."""

    async def act(prepared: Any) -> None:
        before = {con_id: one.quantity for con_id, one in prepared.gateway.account.holdings.items()}
        with barrier.passage(prepared.home, closing=False):  # nobody that v6 can end: its run is not known for a sender's
            done = await asyncio.to_thread(v6, "--home", prepared.home, "close-all", "--yes")
        assert done.returncode == 75, done.stderr
        assert f"(pid {os.getpid()}) keeps the gate: one order of it may still leave: nothing was closed beside it" in done.stderr
        assert prepared.gateway.book.alive == [] and state_of(prepared.home) is TradingState.HALTED
        assert {con_id: one.quantity for con_id, one in prepared.gateway.account.holdings.items()} == before

    stage(act)


def test_who_declines_is_told_who_keeps_the_gate(stage: Any, v6: Any) -> None:
    async def act(prepared: Any) -> None:
        with barrier.passage(prepared.home, closing=False):
            done = await asyncio.to_thread(v6, "--home", prepared.home, "close-all")
        assert done.returncode == 77 and "keeps the gate: one order of it may still leave" in done.stderr

    stage(act)


async def place(stage: Any, client_id: int, contract: Any, action: str, quantity: float, ref: str) -> int:
    """An order of some client of which this home knows nothing, at a price that nobody takes; its number at IB."""
    async with stage.as_client("cancel", client_id) as other:
        library = other.client.library
        wanted = library.Contract(conId=contract.con_id, symbol=contract.symbol, secType=contract.kind, exchange="SMART", currency="USD")
        order = library.LimitOrder(action, quantity, 0.05, account="DU1234567", orderRef=ref, tif="GTC")
        other.client.place(other.client.next_order_id(), wanted, order)
        async with asyncio.timeout(5):
            while not (alive := [one for one in stage.gateway.book.alive if one.order_ref == ref]):
                await asyncio.sleep(0.02)
    return int(alive[0].perm_id)


def held(stage: Any, symbol: str) -> list[Any]:
    return [one for one in stage.gateway.account.holdings.values() if one.contract.symbol == symbol and one.quantity]


@pytest.mark.parametrize("position", ["", "SPY"])
def test_flat_is_not_said_while_an_order_works_that_would_open(stage: Any, monkeypatch: pytest.MonkeyPatch, position: str) -> None:
    """Its cancel was asked for, and it may fill all the same: once all is closed there is nothing that it would close."""
    monkeypatch.setattr(close_all, "CONFIRMED_WITHIN", 0.5)

    async def act(prepared: Any) -> None:
        closing = closing_of(prepared, position)
        await closing.look()
        assert closing.stage is not None
        contract = held(prepared, "SPY")[0].contract
        for one in held(prepared, "SPY") if position else list(prepared.gateway.account.holdings.values()):
            one.quantity = 0.0  # IB closed it, or somebody did, after the plan was shown
        perm_id = await place(prepared, 55, contract, "BUY", 5, "theirs")
        prepared.gateway.faults.set("stuck-cancelling", of="theirs")
        left = await closing.carry_out(events.ignore)
        (one,) = left
        assert one.quantity == 0 and str(perm_id) in one.why and "a fill would open a position" in one.why, left
        with pytest.raises(OutcomeUnknown, match="NOT SETTLED"):
            close_tables.check_flat(left, closing.wish.what)

    stage(act)


def test_an_order_that_came_after_the_cancel_keeps_it_from_being_flat(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(prepared: Any) -> None:
        closing = closing_of(prepared, "SPY")
        await closing.look()
        contract, close = held(prepared, "SPY")[0].contract, closing._close

        async def with_a_stranger(*how: Any) -> Any:
            left = await close(*how)
            await place(prepared, 55, contract, "BUY", 5, "theirs")
            return left

        monkeypatch.setattr(closing, "_close", with_a_stranger)
        (one,) = await closing.carry_out(events.ignore)
        assert one.contract.con_id == contract.con_id and "of client 55, BUY 5" in one.why and "still works" in one.why

    stage(act)


def test_orders_of_the_closing_client_that_this_home_has_no_record_of_are_cancelled(stage: Any) -> None:
    async def act(prepared: Any) -> None:
        closing = closing_of(prepared, "SPY")
        short = next(one for one in held(prepared, "SPY") if one.quantity < 0)
        await place(prepared, 90, short.contract, "BUY", 1, "of another home")
        assert [one.order_ref for one in (await closing.look()).resting] == ["of another home"]
        assert await closing.carry_out(events.ignore) == []
        assert prepared.gateway.book.alive == [] and held(prepared, "SPY") == []

    stage(act)


def test_one_of_them_that_will_not_go_is_in_the_way(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(close_all, "CONFIRMED_WITHIN", 0.5)

    async def act(prepared: Any) -> None:
        closing = closing_of(prepared, "SPY")
        short = next(one for one in held(prepared, "SPY") if one.quantity < 0)
        await place(prepared, 90, short.contract, "BUY", 1, "of another home")
        prepared.gateway.faults.set("stuck-cancelling", of="of another home")
        await closing.look()
        left = await closing.carry_out(events.ignore)
        assert short.contract.con_id in {one.contract.con_id for one in left}
        assert any("of client 90, BUY 1" in one.why and "still works (PendingCancel)" in one.why for one in left), left

    stage(act)


class ClosedTerminal:
    """A report to a terminal that was closed from some moment on."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.closed = False
        self.lost = 0

    def __call__(self, _event: events.Event) -> None:
        if self.closed:
            self.lost += 1
            raise self.error


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), ValueError("I/O operation on closed file")])
def test_a_closed_terminal_keeps_no_order_from_being_taken_back(stage: Any, error: Exception) -> None:
    async def act(prepared: Any) -> None:
        closing, terminal = closing_of(prepared, "SPY", dwell=30.0), ClosedTerminal(error)
        await closing.look()
        prepared.gateway.faults.set("combos-rest")
        closes = asyncio.ensure_future(closing.carry_out(terminal))
        async with asyncio.timeout(20):
            while not prepared.gateway.book.alive:
                await asyncio.sleep(0.05)
        terminal.closed = True
        closes.cancel()  # as SIGHUP does
        with pytest.raises(asyncio.CancelledError):
            await closes
        assert terminal.lost and prepared.gateway.book.alive == [] and intents.unsettled(prepared.state) == []

    stage(act, timeout=3.0)


def test_nor_anything_from_being_closed_and_confirmed(stage: Any) -> None:
    async def act(prepared: Any) -> None:
        closing, terminal = closing_of(prepared, "SPY"), ClosedTerminal(OSError(errno.EIO, "Input/output error"))
        await closing.look()
        terminal.closed = True
        assert await closing.carry_out(terminal) == [] and terminal.lost and held(prepared, "SPY") == []

    stage(act, timeout=3.0)


@pytest.mark.parametrize("read_by", ["2>&1 | true"])
def test_nor_does_a_closing_that_waits_and_connects_anew_end_because_nobody_reads(stage: Any, read_by: str) -> None:
    """What the connection says on its way is told beside the closing's own words."""

    async def act(prepared: Any) -> None:
        for key, value in (("dwell", "0.3"), ("percent", "1.0"), ("lag", "1"), ("steps", "1")):
            prepared.home.settings_file.write_text(settings.edited(prepared.home, f"closing.{key}", value).text)
        closes = shlex.join([sys.executable, "-P", "-m", "v6cli", "--home", str(prepared.home), "close", "SPY", "--market", "--yes"])
        prepared.gateway.faults.set("partial-then-drop")
        async with prepared.as_client("closing"):
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", f"set -o pipefail; {closes} {read_by}", env=os.environ | {"PYTHONPATH": str(ROOT)}
            )
            await asyncio.sleep(4)
            assert process.returncode is None, "it waits for the client id"
        assert await asyncio.wait_for(process.wait(), 60) == 0 and held(prepared, "SPY") == []

    stage(act, timeout=3.0)


def test_orders_are_taken_back_before_that_is_told(stage: Any) -> None:
    """A terminal may keep a line back for as long as it likes."""

    async def act(prepared: Any) -> None:
        closing, asked = closing_of(prepared, "SPY", dwell=30.0), []

        def report(event: events.Event) -> None:
            if isinstance(event, events.Note) and event.text.startswith("stopped"):
                asked.append([one.cancelling for one in placed])

        prepared.gateway.faults.set("combos-rest")
        await closing.look()
        placed: list[Any] = []
        really_place = Desk.place

        async def place(desk: Desk, recorded: Any) -> Any:
            placed.append(await really_place(desk, recorded))
            return placed[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Desk, "place", place)
            closes = asyncio.ensure_future(closing.carry_out(report))
            async with asyncio.timeout(20):
                while not prepared.gateway.book.alive:
                    await asyncio.sleep(0.05)
            closes.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closes
        assert asked and all(all(one) for one in asked)

    stage(act, timeout=3.0)


def test_a_price_is_typed_for_what_is_closed_or_refused(demo: Demo) -> None:
    rows = json.loads(demo.v6("close", "SPY", "--dry-run", "-o", "json", check=0).stdout)["rows"]
    first = rows[0]
    done = demo.v6("close", "SPY", "--limit", f"{first['id']}=1.25", "--dry-run", "-o", "json", check=0)
    shown = {row["id"]: row["closes"] for row in json.loads(done.stdout)["rows"]}
    assert shown == {row["id"]: row["closes"] + (" at 1.25" if row is first else "") for row in rows}
    done = demo.v6("close", "SPY", "--limit", "1=1.25", "--yes", check=65)
    assert "--limit 1=1.25: contract 1 is not among what is to be closed; nothing was closed" in done.stderr


def test_help_says_that_a_leg_takes_its_strategy_with_it(v6: Any) -> None:
    assert "Of a strategy every leg is closed" in " ".join(v6("close", "--help", check=0).stdout.split())
