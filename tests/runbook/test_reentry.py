"""v6 orders reentry: what a shutdown cancelled, and what it did not."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

import msgspec

from v6cli.broker.orders import Listed
from v6cli.home import Home
from v6cli.models import Contract, WorkingOrder
from v6cli.runbook import emergency_record, reentry, shutdown_tables
from v6cli.runbook.emergency_record import Keeper, Record, SavedOrder
from v6cli.runbook.protection import said

from .test_shutdown import _short_waits, carried_out, kept, places

__all__ = ["_short_waits"]  # a fixture that is used by itself
AT = datetime(2026, 11, 24, 15, tzinfo=UTC)


def order(perm_id: int, kind: str = "LMT", contract: Contract | None = None, **more: Any) -> WorkingOrder:
    own = contract or Contract(1, "SPY", "STK")
    return WorkingOrder(perm_id, perm_id, 1, "DU1", own, "SELL", 2.0, 0.0, kind, "Submitted", **more)


def record(home: Home, *orders: SavedOrder) -> Record:
    keeper: Keeper = emergency_record.begin(home, profile="demo", account="DU1", operator="ann", reason="x", options=[])
    keeper.record.orders.extend(orders)
    return keeper.record


def column(shown: Any, title: str) -> list[Any]:
    number = [one.name for one in shown.columns].index(title)
    return [row[number] for row in shown.rows]


def test_where_nobody_typed_the_account_nothing_is_said_to_be_cancelled(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        stage.gateway.faults.set("second-account")
        one = await carried_out(stage)
        assert one.exit_code == 77 and len(stage.gateway.book.alive) == 1
        assert not any("reentry" in note for note in one.table().notes)
        shown = reentry.table(kept(one))
        assert "NOTHING WAS CANCELLED" in shown.title
        assert [remark.partition(";")[0] for remark in column(shown, "remark")] == ["MAY STILL WORK: look in TWS first"]
        assert any("1 order NOT PROVEN GONE" in note for note in shown.notes)

    stage(act)


def test_the_line_that_shows_them_can_be_typed_in_a_home_with_a_space(stage) -> None:
    async def act(stage) -> None:
        await places(stage, 1)
        one = await carried_out(stage)
        assert kept(one).cancel_sent is not None
        one.keeper.path = stage.home.logs / "my records" / "x.json"
        (line,) = [note for note in one.table().notes if "reentry" in note]
        assert shlex.split(line)[-1] == str(one.keeper.path)
        assert reentry.table(one.keeper.record).title == "cancelled by the shutdown"

    stage(act)


def test_what_may_still_work_comes_last_and_says_so(demo_home: Home) -> None:
    gone, maybe = SavedOrder(order(1), {}, AT, 0.0, left=False), SavedOrder(order(2, "STP", stop_price=9.0), {}, AT, 0.0)
    shown = reentry.table(record(demo_home, maybe, gone))
    assert [remark.startswith("MAY STILL WORK") for remark in column(shown, "remark")] == [False, True]


def test_a_record_says_that_nothing_was_cancelled_only_at_its_end(demo_home: Home) -> None:
    own = record(demo_home, SavedOrder(order(1), {}, AT))
    assert not own.nothing_cancelled
    own.ended = AT
    assert own.nothing_cancelled
    own.cancel_sent = AT
    assert not own.nothing_cancelled


def test_a_record_of_an_older_v6_is_read_and_claims_nothing(demo_home: Home) -> None:
    own = msgspec.to_builtins(record(demo_home, SavedOrder(order(1), {}, AT, 0.0, left=False)))
    own["ended"] = AT.isoformat()
    for name in ("says_cancels", "cancel_sent"):
        del own[name]
    path = demo_home.logs / "old.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.encode(own))
    shown = reentry.table(emergency_record.read(path))
    assert shown.title == "cancelled by the shutdown" and len(shown.rows) == 1


def test_a_combo_for_nothing_has_a_limit_of_nothing(demo_home: Home) -> None:
    combo = order(1, contract=Contract(9, "SPY", "BAG"), limit_price=0.0)
    stop = order(2, "STP", limit_price=0.0, stop_price=9.0)
    shown = reentry.table(record(demo_home, *(SavedOrder(one, {}, AT, 0.0, left=False) for one in (combo, stop))))
    assert sorted(column(shown, "limit"), key=str) == [0.0, None]
    listed = shutdown_tables.working(Listed((combo, stop), ({}, {}), complete=True), [])
    assert column(listed, "limit") == [0.0, None]
    assert "LMT 0.00" in said(combo) and "STP 9.00" in said(stop)
