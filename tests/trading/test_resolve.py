"""Open intents: settled by what a complete answer says, unknown where no answer can say it any more, and never sent again on a guess."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from v6cli.errors import GatewayUnavailable
from v6cli.models import CompletedOrder, Contract, Fill, Leg, Order, WorkingOrder
from v6cli.state import alerts, intents
from v6cli.state.intents import Intent
from v6cli.trading import resolve
from v6cli.trading.resolve import Answer

from .conftest import NEW_YORK, Trading, ends

SPY = Contract(1, "SPY", "STK")
LEGS = (Leg(Contract(2, "SPY", "OPT"), 1, "SELL"), Leg(Contract(3, "SPY", "OPT"), 2, "BUY"))
TOKYO = ZoneInfo("Asia/Tokyo")


def intent(at: datetime, order: Order | None = None) -> Intent:
    wanted = order or Order("DU1", SPY, "SELL", 100, 1.0)
    return Intent("v6-a", "run", 90, "close", True, wanted, at, "open", None, None, None, "", ("v6-a.1",))


def working(ref: str = "v6-a.1", perm_id: int = 5) -> WorkingOrder:
    return WorkingOrder(perm_id, 1, 90, "DU1", SPY, "SELL", 100, 0, "LMT", "Submitted", order_ref=ref)


def fill(quantity: float, ref: str = "v6-a.1", exec_id: str = "0001.01", contract: Contract = SPY) -> Fill:
    return Fill(exec_id, "DU1", contract, "SLD", quantity, 1.0, NOON, 1, 5, 90, ref)


def at(text: str, zone: Any = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


NOON = at("2026-11-24 12:00")


def answer(ended: datetime = NOON, working: Any = (), completed: Any = (), fills: Any = ()) -> Answer:
    return Answer(working, completed, fills, ended - timedelta(seconds=1), ended)


def said(given: Answer, minted: datetime = NOON, order: Order | None = None, zone: Any = NEW_YORK) -> tuple[Any, Any]:
    verdict = resolve.judge(intent(minted, order), given, zone)
    return ("alive", len(verdict.alive)) if verdict.alive else (verdict.ending, verdict.filled)


def completed(status: str, filled: float = 0.0) -> CompletedOrder:
    return CompletedOrder(5, "v6-a.1", status, filled)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (answer(working=[working()]), ("alive", 1)),
        (answer(working=[working(), working(perm_id=6)]), ("alive", 2)),
        (answer(working=[working()], completed=[completed("Cancelled")], fills=[fill(40)]), ("alive", 1)),
        (answer(working=[working("v6-b.1")]), ("absent", 0)),
        (answer(completed=[completed("Filled", 100)]), ("filled", 100)),
        (answer(fills=[fill(60), fill(40, exec_id="0002.01")]), ("filled", 100)),
        (answer(fills=[fill(60), fill(60, exec_id="0001.02")]), ("cancelled", 60)),
        (answer(completed=[completed("Cancelled")]), ("cancelled", 0)),
        (answer(completed=[completed("Cancelled", 30)], fills=[fill(30)]), ("cancelled", 30)),
        (answer(completed=[completed("Inactive")]), ("rejected", 0)),
        (answer(fills=[fill(100, "v6-b.1")]), ("absent", 0)),
    ],
)
def test_what_an_answer_says(given: Answer, verdict: tuple[Any, Any]) -> None:
    assert said(given) == verdict


def test_a_combo_is_counted_by_its_summaries_or_by_its_scarcest_leg() -> None:
    order = Order("DU1", Contract(0, "SPY", "BAG"), "BUY", 2, -0.5, LEGS)
    bag = Contract(9, "SPY", "BAG")
    one, two = (leg.contract for leg in LEGS)
    legs = [fill(2, exec_id="1.1", contract=one), fill(2, exec_id="2.1", contract=two)]
    assert said(answer(fills=legs), order=order) == ("cancelled", 1)
    assert said(answer(fills=[*legs, fill(2, exec_id="3.1", contract=bag)]), order=order) == ("filled", 2)


@pytest.mark.parametrize(
    ("minted", "ended", "zone", "known"),
    [
        (at("2026-11-24 23:58"), at("2026-11-24 23:59"), NEW_YORK, True),
        (at("2026-11-24 23:59"), at("2026-11-25 00:01"), NEW_YORK, False),
        (at("2026-11-25 00:01"), at("2026-11-25 00:02"), NEW_YORK, True),
        (at("2026-11-24 12:00"), at("2026-11-25 12:00"), NEW_YORK, False),
        # The gateway's day, not ours: midnight in Tokyo is 10:00 in New York.
        (at("2026-11-24 09:59"), at("2026-11-24 10:01"), TOKYO, False),
        (at("2026-11-24 23:59"), at("2026-11-25 00:01"), TOKYO, True),
        # The nights in which clocks are changed: one o'clock comes twice, two o'clock not at all.
        (datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=0), datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1), NEW_YORK, True),
        (at("2026-10-31 23:59"), at("2026-11-01 00:01"), NEW_YORK, False),
        (at("2026-03-08 01:59"), at("2026-03-08 03:01"), NEW_YORK, True),
        (at("2026-03-07 23:59"), at("2026-03-08 00:01"), NEW_YORK, False),
    ],
)
def test_absence_proves_nothing_over_a_midnight_of_the_gateway(minted: datetime, ended: datetime, zone: Any, known: bool) -> None:
    assert said(answer(ended), minted, zone=zone) == (("absent", 0) if known else ("unknown", None))
    # What is found is a fact all the same; a part of it is not: the rest may have filled before that midnight.
    assert said(answer(ended, fills=[fill(100)]), minted, zone=zone) == ("filled", 100)
    assert said(answer(ended, fills=[fill(40)]), minted, zone=zone) == (("cancelled", 40) if known else ("unknown", None))
    assert said(answer(ended, working=[working()]), minted, zone=zone) == ("alive", 1)


def test_an_order_that_never_left_is_absent(trading: Any) -> None:
    async def act(at: Trading) -> None:
        await at.sells()
        (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert (verdict.ending, at.state, at.orders) == ("absent", "absent", 0)
        assert await resolve.resolve(at.connection, at.stage.state, NEW_YORK) == []

    trading(act)


def test_a_lost_connection_is_asked_about_on_the_next_one(trading: Any) -> None:
    """One order filled, one went on resting, one was never acknowledged."""

    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("lose-acknowledgements")  # or its fill may be told before the connection is lost
        filled = await at.desk.place(await at.sells(100))
        await at.again()
        with pytest.raises(GatewayUnavailable):
            await filled.ended(1)
        verdicts = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert [(one.ending, one.filled) for one in verdicts] == [("filled", 100)]

    trading(act)


def test_an_order_that_still_works_stays_open_until_it_is_cancelled(trading: Any) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("lose-acknowledgements", until="ever")
        await at.desk.place(await at.sells(limit=999.0))
        await at.again()
        (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert len(verdict.alive) == 1 and at.state == "open"
        at.stage.gateway.faults.clear_all()
        await at.connection.client.cancel_order(verdict.alive[0].order_id)
        await asyncio.sleep(0.3)
        (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert (verdict.ending, verdict.filled) == ("cancelled", 0)

    trading(act)


@pytest.mark.parametrize("answer", ["open-orders", "completed-orders", "executions"])
def test_an_answer_without_its_end_settles_nothing(trading: Any, answer: str) -> None:
    async def act(at: Trading) -> None:
        await at.sells()
        at.stage.gateway.faults.set("withhold-end", answer=answer)
        with pytest.raises(GatewayUnavailable):
            await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert at.state == "open"

    trading(act)


def test_a_link_that_fails_while_it_is_asked_settles_nothing(trading: Any) -> None:
    async def act(at: Trading) -> None:
        await at.sells()
        asked = asyncio.ensure_future(resolve.resolve(at.connection, at.stage.state, NEW_YORK))
        await asyncio.sleep(0.25)  # amid the questions: this role sends five a second
        at.stage.gateway.faults.set("link-lost")
        await asyncio.sleep(0.1)
        at.stage.gateway.faults.clear("link-lost")
        with pytest.raises(GatewayUnavailable):
            await asked
        assert at.state == "open"

    trading(act, timeout=3.0)


def test_an_old_intent_is_unknown_and_says_how_to_settle_it(trading: Any) -> None:
    async def act(at: Trading) -> None:
        recorded = await at.sells()
        at.stage.state.write("UPDATE intents SET minted = '2026-01-02T15:00:00.000000+00:00'")
        for _ in range(2):
            (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
            assert (verdict.ending, at.state) == ("unknown", "unknown")
        (alert,) = [one for one in alerts.open_alerts(at.stage.state) if one.key.startswith("intent-")]
        assert f"v6 orders settle {recorded.order_ref} --filled N" in alert.next_step
        with pytest.raises(intents.Claimed):
            await at.sells()

    trading(act)


def test_a_modification_that_became_a_second_order_is_told_of(trading: Any) -> None:
    async def act(at: Trading) -> None:
        working = await at.desk.place(await at.sells(limit=999.0))
        await asyncio.sleep(0.2)
        at.stage.gateway.faults.set("link-lost", modifications="doubled")
        contract, order = resolve_for(working)
        at.connection.client.place(working.recorded.order_id, contract, order)  # past v6's own proof of the link
        await asyncio.sleep(0.2)
        at.stage.gateway.faults.clear("link-lost")
        await asyncio.sleep(0.5)
        (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert len(verdict.alive) == 2
        assert any(one.key.startswith("twice-") for one in alerts.open_alerts(at.stage.state))

    def resolve_for(working: Any) -> tuple[Any, Any]:
        from v6cli.broker import translate

        return translate.for_order(working.recorded, working.desk.connection.client.library)

    trading(act)


def test_what_filled_by_halves_before_the_connection_was_lost(trading: Any) -> None:
    async def act(at: Trading) -> None:
        at.stage.gateway.faults.set("partial-then-drop", rest=3600)
        working = await at.desk.place(await at.sells(limit=None))
        with pytest.raises(GatewayUnavailable):
            await ends(working, 10)
        at.stage.gateway.faults.clear_all()
        await at.again()
        (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        if verdict.alive:
            await at.connection.client.cancel_order(verdict.alive[0].order_id)
            await asyncio.sleep(0.5)
            (verdict,) = await resolve.resolve(at.connection, at.stage.state, NEW_YORK)
        assert verdict.ending in {"cancelled", "filled"} and verdict.filled and verdict.filled >= 50

    trading(act)
