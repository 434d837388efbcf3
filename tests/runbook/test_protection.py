"""Which orders may change a position: by their legs where those are told, by their symbol where they are not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from v6cli.broker import translate
from v6cli.models import Contract, Position, WorkingOrder
from v6cli.runbook.protection import closes, touches

SPY, QQQ = Contract(1, "SPY", "STK"), Contract(2, "QQQ", "STK")
PUT = Contract(11, "SPY", "OPT", strike=600.0, right="P")


def order(own: Contract, legs: tuple[tuple[int, int], ...] = (), action: str = "BUY") -> WorkingOrder:
    return WorkingOrder(5, 1, 1, "DU1", own, action, 1.0, 0.0, "LMT", "Submitted", legs=legs)


def combo(symbol: str) -> Contract:
    return Contract(28812380, symbol, "BAG")


@pytest.mark.parametrize(
    ("own", "touched"),
    [
        (order(SPY), [SPY]),
        (order(combo("SPY"), ((11, 1), (12, -1))), [PUT]),
        (order(combo("SPY"), ((12, 1), (13, -1))), []),
        (order(combo("SPY")), [SPY, PUT]),
        (order(combo("QQQ,SPY")), [SPY, QQQ, PUT]),
        (order(combo("QQQ,SPY"), ((1, 1), (3, -1))), [SPY]),
        (order(Contract(0, "SPY", "OPT")), [SPY, PUT]),
    ],
)
def test_an_order_touches_its_legs_else_its_symbol(own: WorkingOrder, touched: list[Contract]) -> None:
    assert [one for one in (SPY, QQQ, PUT) if touches(own, [one])] == touched


def test_a_combo_closes_only_what_all_of_its_legs_make_smaller() -> None:
    held = [Position("DU1", PUT, -1.0, 0.0), Position("DU1", Contract(12, "SPY", "OPT"), 1.0, 0.0)]
    assert closes(order(combo("SPY"), ((11, 1), (12, -1))), held)
    assert closes(order(combo("SPY"), ((11, -1), (12, 1)), "SELL"), held)
    assert not closes(order(combo("SPY"), ((11, -1), (12, 1))), held)
    assert not closes(order(combo("SPY")), held)


@pytest.mark.parametrize(("ids", "legs"), [((11, 12), ((11, 1), (12, -1))), ((11, 0), ()), ((), ()), (None, ())])
def test_legs_are_told_all_or_not_at_all(ids: Any, legs: tuple[tuple[int, int], ...]) -> None:
    raw = ids and [SimpleNamespace(conId=con_id, action=action) for con_id, action in zip(ids, ("BUY", "SELL"), strict=True)]
    assert translate._legs(SimpleNamespace(comboLegs=raw)) == legs
