"""The emergency shutdown against the simulated gateway and its faults: what is cancelled, what is proven, and what is not."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from v6cli import clock, events, latch
from v6cli.broker import connection as connections
from v6cli.broker.connection import connect
from v6cli.errors import CannotWrite, OutcomeUnknown, Refused
from v6cli.latch import TradingState
from v6cli.models import Contract, Order
from v6cli.procedure import Status
from v6cli.runbook import emergency_orders, emergency_record, shutdown
from v6cli.runbook.emergency_record import Record
from v6cli.runbook.shutdown import Rooms, Shutdown
from v6cli.runbook.shutdown_wish import Wish
from v6cli.services.backend import choose
from v6cli.services.catalogue import SERVICES
from v6cli.state import intents, runs

CLOSED = """
title = "by the clock"
market = "exchange"
[account]
cash = 1_000_000
"""


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch) -> None:
    monkeypatch.setattr(connections, "WAIT_FOR_ID", 0.5)
    monkeypatch.setattr(emergency_orders, "SETTLES", 1.0)
    monkeypatch.setattr(emergency_orders, "ASK_EVERY", 0.1)
    monkeypatch.setattr(emergency_orders, "LIST_WITHIN", 0.3)


def begun(stage, wish: Wish | None = None, **settings: Any) -> Shutdown:
    """A shutdown of the stage's home, halted and not yet carried out."""
    wish = wish or Wish("test")
    own = msgspec.structs.replace(stage.settings, **settings)
    latched = shutdown.halt_first(stage.home, wish, "ann", lambda: "nothing")
    rooms = Rooms(own, lambda: choose("supervisord", stage.home, SERVICES), lambda: stage.state, lambda: None)
    return Shutdown(stage.home, wish, latched, rooms, "ann")


async def carried_out(stage, wish: Wish | None = None, **settings: Any) -> Shutdown:
    one = begun(stage, wish, **settings)
    await one.carry_out(events.ignore)
    return one


async def places(stage, client_id: int, *, dies: bool = False) -> None:
    """A client of the bare library places an order far from the market, and goes; one that ``dies`` goes without being read."""
    one = await connect(stage.settings, stage.home, "cancel", events.ignore, client_id=client_id)
    if dies:
        stage.gateway.faults.set("stop-reading", client=client_id)
    library, raw = one.client.library, one.client._ib
    raw.placeOrder(library.Stock("SPY", "SMART", "USD"), library.LimitOrder("BUY", 1, 100.0, tif="GTC", orderRef=f"ref/{client_id}"))
    await asyncio.sleep(0.05) if dies else await raw.reqCurrentTimeAsync()
    await one.close()


def said(one: Shutdown) -> str:
    return " | ".join(f"{finding.status.value}: {finding.text}" for finding in one.findings)


def kept(one: Shutdown) -> Record:
    assert stat.S_IMODE(one.keeper.path.stat().st_mode) == 0o600
    return emergency_record.read(one.keeper.path)


def test_every_order_is_saved_cancelled_and_proven_gone(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        await places(stage, 90)
        stage.gateway.faults.set("orders-by-hand", of=["SPY"], limit=50.0, quantity=2)
        one = await carried_out(stage)
        assert stage.gateway.book.alive == []
        assert one.exit_code == 0, said(one)
        one.check()
        assert latch.read(stage.home).state is TradingState.HALTED
        record = kept(one)
        assert sorted(saved.order.client_id for saved in record.orders) == [0, 1, 90]
        assert all(saved.left is False and saved.filled_after == 0 for saved in record.orders)
        assert {"lmtPrice", "tif", "orderRef"} <= next(
            saved.in_full["order"].keys() for saved in record.orders if saved.order.client_id == 1
        )
        assert [step.name for step in record.steps if step.name not in {"cancel", "trading"}] == [
            "halt", "proof", "services", "positions", "state", "logs", "homes",
        ]  # fmt: skip
        assert (record.outcome, record.exit_code, record.reason) == ("all proven", 0, "test")
        assert {1, 90, 91} <= {listing.client_id for listing in record.lists}
        last = runs.last(stage.state, shutdown.KIND)
        assert last is not None and last.exit_code == 0 and len(last.evidence["orders"]) == 3
        held = next(finding for finding in one.findings if finding.subject == "positions")
        assert "21 positions open, with no order that closes or protects them" in held.text

    stage(act)


@pytest.mark.parametrize(
    ("fault", "parameters", "told"),
    [
        ("stuck-cancelling", {}, "is still PendingCancel: its market is open"),
        ("withhold-end", {"answer": "open-orders"}, "has no end"),
        ("link-lost", {}, "lost its connection to IB"),
        ("silent", {}, "did not complete the login"),
        ("stop-reading", {}, "did not complete the login"),
        ("read-only", {}, "read-only: it refuses every cancel"),
        ("withhold-end", {"answer": "positions"}, "positions: no complete answer"),
        ("other-account", {}, "the gateway manages DU9999999"),
        ("refuse-logins", {"how": "close"}, "did not complete the login"),
    ],
)
def test_what_is_not_proven_is_unknown(stage, fault: str, parameters: dict[str, Any], told: str) -> None:
    """And every other step goes on, and once it is healed another shutdown proves it."""

    async def act(stage) -> None:
        await places(stage, 1)
        stage.gateway.faults.set(fault, **parameters)
        one = await carried_out(stage)
        assert one.exit_code == 75 and told in said(one), said(one)
        with pytest.raises(OutcomeUnknown, match="NOT PROVEN"):
            one.check()
        assert len(kept(one).steps) == 9
        assert (stage.home.logs / f"{one.keeper.stem}.tar.gz").exists()
        stage.gateway.faults.clear(fault)
        again = await carried_out(stage)
        assert again.exit_code == 0 and stage.gateway.book.alive == [], said(again)
        assert again.keeper.path != one.keeper.path

    stage(act, timeout=0.6)


def test_an_empty_list_from_memory_proves_nothing(stage) -> None:
    async def act(stage) -> None:
        stage.gateway.faults.set("link-lost")
        one = await carried_out(stage)
        assert one.exit_code == 75 and "no order works" not in said(one), said(one)
        assert "as client 1 and as client 90: the gateway has lost its connection to IB" in said(one), said(one)

    stage(act, timeout=0.6)


def test_a_cancel_that_waits_for_the_open_names_it(stage, folder: Path) -> None:
    """A PendingCancel is no cancel."""
    (folder / "closed.toml").write_text(CLOSED)
    clock.start(1.0, datetime(2026, 11, 28, 16, 0, tzinfo=UTC), clock.wall())  # a Saturday

    async def act(stage) -> None:
        await places(stage, 1)
        stage.gateway.faults.set("cancels-unanswered")
        one = await carried_out(stage)
        assert one.exit_code == 75
        assert "BUY 1 SPY LMT 100.00 (client 1) is still PendingCancel: known at its next open, 2026-11-30" in said(one), said(one)
        assert [saved.left for saved in kept(one).orders] == [True]

    stage(act, str(folder / "closed.toml"))


@pytest.mark.parametrize("client_id", [1, 90, 55])
def test_what_a_dead_client_had_sent_is_waited_for(stage, client_id: int) -> None:
    """Its last order reaches the gateway only after the first global cancel: the proof is made behind it, under its own id."""

    async def act(stage) -> None:
        if client_id == 55:  # an operator's own, known by its open intent
            order = Order("DU1234567", Contract(1, "SPY", "STK"), "BUY", 1, 100.0)
            intents.record(stage.state, order, "run", client_id, 1, "close")
        await places(stage, client_id, dies=True)

        async def is_read_at_last() -> None:
            await asyncio.sleep(0.3)
            stage.gateway.faults.clear("stop-reading")

        reads = asyncio.ensure_future(is_read_at_last())
        one = await carried_out(stage)
        await reads
        assert stage.gateway.book.alive == []
        assert one.exit_code == 0, said(one)
        assert [saved.order.client_id for saved in kept(one).orders] == [client_id]

    stage(act)


def test_an_id_that_is_never_free_proves_nothing(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1, dies=True)
        one = await carried_out(stage)
        assert one.exit_code == 75
        assert "client id 1 is still in use" in said(one) and "may still reach the market" in said(one), said(one)
        assert "no order that closes or protects" not in said(one), "nobody knows that"
        stage.gateway.faults.clear("stop-reading")
        assert len(stage.gateway.book.alive) == 1, "the dead one is obeyed late"
        again = await carried_out(stage)
        assert again.exit_code == 0 and stage.gateway.book.alive == []

    stage(act)


def test_a_cancel_that_crosses_a_fill_is_told(stage) -> None:
    async def act(stage) -> None:
        one = await connect(stage.settings, stage.home, "trading", events.ignore)
        library, raw = one.client.library, one.client._ib
        raw.placeOrder(library.Stock("SPY", "SMART", "USD"), library.LimitOrder("BUY", 3, 100.0, tif="GTC"))
        await raw.reqCurrentTimeAsync()
        await one.close()
        stage.gateway.faults.set("cancels-cross-fills")
        ended = await carried_out(stage)
        assert ended.exit_code == 0, said(ended)
        assert "filled meanwhile: 3 of BUY 3 SPY LMT 100.00" in said(ended)
        assert [saved.filled_after for saved in kept(ended).orders] == [3]
        assert "3 positions" not in said(ended) and "22 positions" in said(ended)

    stage(act)


def test_the_orders_of_another_account_are_cancelled_by_consent_alone(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        stage.gateway.faults.set("second-account")
        for wish in (Wish(), Wish(account="DU7654321"), Wish(account="DU123456")):
            one = await carried_out(stage, wish)
            assert one.exit_code == 77 and len(stage.gateway.book.alive) == 1, said(one)
            with pytest.raises(Refused, match="NO ORDER WAS CANCELLED"):
                one.check()
        one = await carried_out(stage, Wish(account="DU1234567"))
        assert one.exit_code == 0 and stage.gateway.book.alive == [], said(one)

    stage(act)


def test_a_home_that_pins_no_account_sends_nothing_before_one_is_typed(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        one = await carried_out(stage, account="")
        assert one.exit_code == 77 and len(stage.gateway.book.alive) == 1
        for account, code in (("DU9999999", 75), ("DU1234567", 0)):
            one = await carried_out(stage, Wish(account=account), account="")
            assert one.exit_code == code, said(one)
        assert stage.gateway.book.alive == []

    stage(act)


def test_orders_that_are_kept_are_kept(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        one = await carried_out(stage, Wish(keep_orders=True))
        assert one.exit_code == 0 and len(stage.gateway.book.alive) == 1, said(one)
        assert "1 order kept, as asked" in said(one) and "has lost" not in said(one)

    stage(act)


def test_what_protected_a_position_is_named(stage) -> None:
    async def act(stage) -> None:
        short = next(one for one in stage.gateway.account.holdings.values() if one.quantity < 0)
        one = await connect(stage.settings, stage.home, "trading", events.ignore)
        library, raw = one.client.library, one.client._ib
        contract = library.Contract(conId=short.contract.con_id, exchange="SMART")
        raw.placeOrder(contract, library.StopOrder("BUY", abs(short.quantity), 900.0, tif="GTC"))
        await raw.reqCurrentTimeAsync()
        await one.close()
        before = begun(stage)
        table = await before.look(events.ignore)
        assert not isinstance(table, str) and [row[:2] for row in table.rows] == [("client 1", "protective")]
        ended = await carried_out(stage)
        assert f"{short.quantity:+g} {short.contract} has lost BUY {abs(short.quantity):g} STP 900.00 (client 1)" in said(ended), said(
            ended
        )
        assert ended.exit_code == 0

    stage(act)


class Typist:
    """Types one answer, and remembers the question."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.question = ""

    def __call__(self, question: str) -> str:
        self.question = question
        return self.answer


@pytest.mark.parametrize(
    ("pinned", "second", "typed", "answer", "agreed"),
    [
        ("DU1234567", False, "", "y", True),
        ("DU1234567", False, "", "", False),
        ("DU1234567", True, "", "y", False),
        ("DU1234567", True, "", "DU7654321", False),
        ("DU1234567", True, "", "DU1234567", True),
        ("DU1234567", True, "DU1234567", "y", True),
        ("", False, "", "y", False),
        ("", False, "", "DU1234567", True),
    ],
)
def test_who_agrees_knows_whose_orders(stage, pinned: str, second: bool, typed: str, answer: str, agreed: bool) -> None:
    """Declined, the halt stands, says so, and nothing was sent."""

    async def act(stage) -> None:
        await places(stage, 1)
        if second:
            stage.gateway.faults.set("second-account")
        one = begun(stage, Wish(account=typed), account=pinned)
        await one.look(events.ignore)
        ask = Typist(answer)
        refused = ""
        try:
            one.agree(ask, yes=False)
        except Refused as error:
            refused = error.message
        assert "EVERY working order" in ask.question
        if second and not typed:
            assert "DU1234567 and DU7654321" in ask.question
        if not agreed and not (pinned == "" and answer == "y"):
            assert "trading stays HALTED" in refused and kept(one).outcome == "declined"
            assert len(stage.gateway.book.alive) == 1
            return
        await one.carry_out(events.ignore)
        assert (stage.gateway.book.alive == []) == agreed, said(one)

    stage(act)


def test_where_nobody_can_be_asked_trading_ends_and_nothing_is_cancelled(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        one = begun(stage)
        with pytest.raises(Refused, match="no order was cancelled") as refused:
            one.agree(None, yes=False)
        assert refused.value.next_step == "v6 emergency shutdown --yes" and len(stage.gateway.book.alive) == 1

    stage(act)


def test_a_record_that_cannot_be_written_is_kept_in_state_or_printed(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        def refuse(path: Path, content: bytes) -> None:
            raise CannotWrite(f"cannot write {path}: no space left on device")

        monkeypatch.setattr(emergency_record, "write_durably", refuse)
        one = await carried_out(stage)
        assert "in the state file alone" in one.kept_elsewhere() and one.exit_code == 0, said(one)
        stage.state.close()
        (stage.home.state).unlink()
        stage.home.state.mkdir()
        one = begun(stage)
        one._rooms = msgspec.structs.replace(one._rooms, state=_no_state)
        await one.carry_out(events.ignore)
        printed = one.kept_elsewhere().split("\n", 1)[1]
        assert json.loads(printed)["schema"] == emergency_record.SCHEMA

    stage(act)


def _no_state() -> Any:
    raise CannotWrite("no state")


def test_a_state_file_without_its_tables_stops_nothing(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        for table in ("attempts", "claims", "intents", "mirror", "runs"):
            stage.state.write(f"DROP TABLE {table}")
        one = await carried_out(stage)
        assert stage.gateway.book.alive == [] and "no order works" in said(one) and "a bug" not in said(one), said(one)

    stage(act)


def test_a_step_that_has_a_bug_stops_no_other(stage, monkeypatch) -> None:
    async def act(stage) -> None:
        await places(stage, 1)

        def breaks(*_arguments: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(shutdown.senders, "silence", breaks)
        one = await carried_out(stage)
        assert one.exit_code == 75 and "a bug in v6: ZeroDivisionError" in said(one)
        assert stage.gateway.book.alive == []
        assert [finding.status for finding in one.findings].count(Status.UNKNOWN) == 1

    stage(act)


def test_kept_orders_are_not_called_gone(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        one = await carried_out(stage, Wish(keep_orders=True))
        titles = {row[0] for row in one.table().rows}
        assert {"Orders listed", "Orders kept"} <= titles and not titles & {"Orders cancelled", "Nothing works"}
        assert kept(one).nothing_cancelled and not any("reentry" in note for note in one.table().notes)

    stage(act)


def test_what_is_to_be_typed_again_keeps_what_was_asked_for(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        stage.gateway.faults.set("second-account")
        one = begun(stage, Wish(close_all=True, keep_dashboard=True))
        one.agree(None, yes=True)
        await one.carry_out(events.ignore)
        again = "v6 emergency shutdown --keep-dashboard --close-all --account ID --yes"
        for check in (one.check, one.consent.check):
            with pytest.raises(Refused) as refused:
                check()
            assert refused.value.next_step == again
        typed = begun(stage, Wish(account="DU1234567"))
        assert typed.consent.again("--yes") == "v6 emergency shutdown --yes --account DU1234567"

    stage(act)
