"""What has grown since the plan was shown is shown, and asked about once more; --yes closes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from v6cli import events, settings
from v6cli.errors import Refused
from v6cli.models import Order
from v6cli.runbook.close_all import CloseAll, Grown
from v6cli.state import intents

from .closing_on_stage import closing_of
from .terminal import at_a_terminal


def held(stage: Any, symbol: str = "SPY") -> dict[int, float]:
    holdings = stage.gateway.account.holdings.items()
    return {con_id: one.quantity for con_id, one in holdings if one.contract.symbol == symbol and one.quantity}


def the_stock(stage: Any) -> Any:
    return next(one for one in stage.gateway.account.holdings.values() if one.contract.kind == "STK")


async def grow(stage: Any, by: float) -> None:
    """Another client trades so much more of the stock."""
    stock = the_stock(stage)
    wanted = stock.quantity + by
    async with stage.as_client("cancel", 55) as other:
        library = other.client.library
        contract = library.Stock(stock.contract.symbol, "SMART", "USD", conId=stock.contract.con_id)
        order = library.MarketOrder("BUY" if by > 0 else "SELL", abs(by), account="DU1234567")
        other.client.place(other.client.next_order_id(), contract, order)
        async with asyncio.timeout(10):
            while the_stock(stage).quantity != wanted:
                await asyncio.sleep(0.02)


async def agreed(stage: Any, ask: Any = None, **how: Any) -> CloseAll:
    """A closing of the stock's symbol whose plan was shown and agreed to; the account holds 100 of the stock."""
    closing = closing_of(stage, the_stock(stage).contract.symbol)
    await closing.look()
    closing.agree(ask, typed="", **how)
    return closing


def test_without_yes_it_stops_before_anything_is_sent_and_goes_on_once_agreed(stage: Any) -> None:
    async def act(stage: Any) -> None:
        closing = await agreed(stage, lambda _question: "y", yes=False)
        shown = closing.stage
        await grow(stage, 30)
        with pytest.raises(Grown, match=r"has grown from \+100 to \+130 since the plan was shown") as grown:
            await closing.carry_out(events.ignore)
        assert intents.recent(stage.state) == [] and closing.stage is not shown
        for ask, says in ((None, "nobody to ask"), (lambda _question: "n", "declined")):
            with pytest.raises(Refused, match=says):
                closing.agree_to_more(ask, grown.value)
        asked: list[str] = []
        closing.agree_to_more(lambda question: asked.append(question) or "yes", grown.value)
        assert asked == [f"{grown.value.message}. Close all of it? [y/N] "]
        left = await closing.carry_out(events.ignore)
        assert set(held(stage, closing.wish.position)) == {one.contract.con_id for one in left}
        assert not any(one.contract.kind == "STK" for one in left)

    stage(act, timeout=3.0)


def test_declining_after_orders_were_sent_does_not_say_that_nothing_was_closed(stage: Any) -> None:
    async def act(stage: Any) -> None:
        closing = await agreed(stage, yes=False, agreed=True)
        sent = intents.record(stage.state, Order("DU1234567", the_stock(stage).contract, "SELL", 1, 1.0), closing._run, 90, 1, "close")
        intents.end(stage.state, sent.intent, "filled", 1.0, "")  # over a connection that was lost since
        await grow(stage, 30)
        with pytest.raises(Grown) as grown:
            await closing.carry_out(events.ignore)
        with pytest.raises(Refused, match="declined, and nothing more was closed"):
            closing.agree_to_more(lambda _question: "n", grown.value)

    stage(act, timeout=3.0)


def test_yes_closes_what_has_grown_and_says_so(stage: Any) -> None:
    async def act(stage: Any) -> None:
        closing = await agreed(stage, yes=True)
        await grow(stage, 30)
        told: list[events.Event] = []
        left = await closing.carry_out(told.append)
        assert any(isinstance(one, events.Note) and "has grown from +100 to +130" in one.text for one in told)
        assert not any(one.contract.kind == "STK" for one in left)

    stage(act, timeout=3.0)


def test_a_position_that_has_turned_has_grown(stage: Any) -> None:
    async def act(stage: Any) -> None:
        closing = await agreed(stage, yes=False, agreed=True)
        await grow(stage, -200)
        with pytest.raises(Grown, match=r"from \+100 to -100"):
            await closing.carry_out(events.ignore)
        await closing.look()
        assert closing.grown_since(closing.stage) == ""  # type: ignore[arg-type]

    stage(act, timeout=3.0)


@pytest.mark.parametrize(("answer", "codes"), [("y", {0, 75}), ("n", {77})])
def test_at_a_terminal_the_plan_is_shown_anew_with_a_second_question(stage: Any, answer: str, codes: set[int]) -> None:
    async def act(stage: Any) -> None:
        symbol = the_stock(stage).contract.symbol
        for key, value in (("dwell", "0.3"), ("percent", "1.0"), ("lag", "1"), ("steps", "1")):
            stage.home.settings_file.write_text(settings.edited(stage.home, f"closing.{key}", value).text)
        loop, stock = asyncio.get_running_loop(), the_stock(stage).contract.con_id

        def once_it_has_grown() -> str:
            asyncio.run_coroutine_threadsafe(grow(stage, 30), loop).result(20)
            return "y"

        answers = [once_it_has_grown, lambda: answer]
        done, shown = await asyncio.to_thread(at_a_terminal, stage.home, "close", symbol, "--market", answers=answers)
        assert done in codes and shown.count("[y/N]") == 2 and "has grown from +100 to +130" in shown, shown
        assert shown.count(f"v6 close {symbol}: the plan") == 2 and "selling 30" in shown, shown
        left = stage.gateway.account.holdings.get(stock)
        assert (left is not None and bool(left.quantity)) == (answer == "n"), "a long without a bid may be left, the stock may not"

    stage(act, timeout=3.0)
