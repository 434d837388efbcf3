"""v6 orders settle: whose word ends an order, and of which orders nobody's does."""

from __future__ import annotations

from typing import Any

import pytest

from v6cli import clock, locks
from v6cli.errors import BadInput, Refused
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.models import Contract, Order, WorkingOrder
from v6cli.runbook import settling
from v6cli.state import intents
from v6cli.state.database import open_state

from ..conftest import free_port
from .test_orders import sent


@pytest.fixture
def home(folder: Any) -> Home:
    return new_home.make(folder / "h", "demo", port=free_port())


@pytest.mark.parametrize(("argv", "code", "says"), [
    (("--filled", "2", "--dead"), 64, "--filled N, or --dead"),
    ((), 64, "--filled N, or --dead"),
    (("--filled", "101"), 65, "was for 100"),
    (("--filled", "-1"), 64, "never negative"),
    (("--filled", "nan"), 64, "is a number"),
    (("--filled", "inf"), 64, "is a number"),
    (("--dead",), 77, "nobody to ask"),
])  # fmt: skip
def test_settling_asks_for_exactly_one_word(v6: Any, home: Home, argv: tuple[str, ...], code: int, says: str) -> None:
    reference = sent(home, ending="unknown", filled=None)
    assert says in v6("--home", home, "orders", "settle", reference, *argv, check=code).stderr
    with open_state(home) as state:
        assert intents.find(state, reference).state == "unknown"


def test_a_word_settles_an_unknown_order_and_frees_its_contract(v6: Any, home: Home) -> None:
    reference = sent(home, ending="unknown", filled=None)
    assert "UNKNOWN" in v6("--home", home, "orders", "settle", reference, "--filled", "40", "--yes", check=0).stdout
    assert "is known: settled" in v6("--home", home, "orders", "settle", reference, "--dead", "--yes", check=77).stderr
    with open_state(home) as state:
        found = intents.find(state, reference)
        assert (found.state, found.filled) == ("settled", 40.0)
    sent(home)
    assert "settle" in v6("--home", home, "journal", check=0).stdout


def test_no_word_makes_an_order_dead_that_works() -> None:
    order = Order("DU1", Contract(1, "SPY", "STK"), "SELL", 100, 1.0)
    intent = intents.Intent("v6-a", "run", 90, "close", True, order, clock.now(), "unknown", None, None, None, "", ("v6-a.1",))
    alive = WorkingOrder(5, 1, 90, "DU1", order.contract, "SELL", 100, 0, "LMT", "Submitted", order_ref="v6-a.1")
    assert "LISTS IT AS WORKING" in settling.said_of(intent, [alive])
    with pytest.raises(Refused, match="works at IB"):
        settling.check_not_working(intent, [alive])
    settling.check_not_working(intent, "nobody answers")


def test_the_order_of_a_run_that_lives_is_not_settled(v6: Any, home: Home) -> None:
    run = locks.begin_run(home, "v6 close QQQ")
    references = [sent(home, run=run.identity, con_id=1), sent(home, run=run.identity, con_id=2, ending="unknown", filled=None)]
    for reference in references:
        done = v6("--home", home, "orders", "settle", reference, "--dead", "--yes", check=77)
        assert "in the hands of v6 close QQQ" in done.stderr and "nothing was settled" in done.stderr
    run.end()
    with open_state(home) as state:
        assert [intents.find(state, reference).state for reference in references] == ["open", "unknown"]
        with pytest.raises(intents.Claimed):
            order = Order("DU1234567", Contract(1, "SPY", "STK"), "SELL", 100, 1.0)
            intents.claim_close(state, order, "run", 90, 8, "close", {1: 100.0}, intents.turn(state))


def test_an_open_order_is_not_settled_while_ib_cannot_be_asked(v6: Any, home: Home) -> None:
    reference = sent(home)
    done = v6("--home", home, "orders", "settle", reference, "--dead", "--yes", check=77)
    assert "may work, IB cannot be asked" in done.stderr
    with open_state(home) as state:
        assert intents.find(state, reference).state == "open"


def test_options_fill_in_whole_numbers() -> None:
    option = Contract(1, "SPY", "OPT", right="C", strike=600.0)
    for contract, bad in ((option, True), (Contract(1, "SPY", "STK"), False)):
        order = Order("DU1", contract, "SELL", 2, 1.0)
        intent = intents.Intent("v6-a", "run", 90, "close", True, order, clock.now(), "unknown", None, None, None, "", ("v6-a.1",))
        settling.check_possible(intent, 1.0)
        if bad:
            with pytest.raises(BadInput, match="whole numbers"):
                settling.check_possible(intent, 0.5)
        else:
            settling.check_possible(intent, 0.5)
