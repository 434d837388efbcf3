"""Intents: durable before the send, one claim on a contract, no claim beyond what is held, no reference twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from v6cli.errors import BadInput, CannotWrite, Refused
from v6cli.home import Home
from v6cli.models import Contract, Leg, Order, RecordedIntent
from v6cli.state import intents
from v6cli.state.database import State, open_state

SPY = Contract(1, "SPY", "STK")
LONG = Contract(2, "SPY", "OPT", right="P", strike=600.0)
SHORT = Contract(3, "SPY", "OPT", right="P", strike=610.0)
COMBO = Contract(0, "SPY", "BAG")
HELD = {1: 100.0, 2: 2.0, 3: -2.0}


@pytest.fixture
def state(folder: Path) -> Iterator[State]:
    with open_state(Home(folder)) as opened:
        yield opened


def sell(quantity: float = 100, contract: Contract = SPY, action: str = "SELL", account: str = "DU1234567") -> Order:
    return Order(account, contract, action, quantity, 1.0)


def vertical(quantity: float = 2) -> Order:
    """Closes the vertical: the long is sold, the short is bought."""
    return Order("DU1234567", COMBO, "BUY", quantity, -0.5, (Leg(LONG, 1, "SELL"), Leg(SHORT, 1, "BUY")))


def claim(state: State, order: Order, held: dict[int, float] | None = None, asked: int | None = None) -> RecordedIntent:
    asked = intents.turn(state) if asked is None else asked
    return intents.claim_close(state, order, "run", 90, 7, "close-all", HELD if held is None else held, asked)


@pytest.mark.parametrize(
    ("order", "fits"),
    [
        (sell(), True),
        (sell(101), False),
        (sell(action="BUY"), False),
        (sell(2, LONG), True),
        (sell(3, LONG), False),
        (sell(2, SHORT, "BUY"), True),
        (sell(2, SHORT), False),
        (vertical(), True),
        (vertical(3), False),
        (sell(contract=Contract(9, "QQQ", "STK")), False),
    ],
)
def test_closing_never_opens(state: State, order: Order, fits: bool) -> None:
    if fits:
        claim(state, order)
        return
    with pytest.raises(Refused, match="does not close"):
        claim(state, order)
    assert intents.unsettled(state) == []


def test_what_an_order_changes(state: State) -> None:
    assert vertical().changes == {2: -2.0, 3: 2.0}
    assert sell(5, SHORT, "BUY").changes == {3: 5}


def test_a_contract_is_closed_by_one_intent_at_a_time(state: State) -> None:
    """Halves that would add up to the whole are no exception: what one of them fills is not known to the other."""
    first = claim(state, sell(50))
    with pytest.raises(intents.Claimed, match="is open"):
        claim(state, sell(50))
    intents.end(state, first.intent, "filled", 50.0)
    claim(state, sell(50), held={1: 50.0})


def test_a_combo_claims_each_of_its_legs(state: State) -> None:
    claim(state, vertical())
    for order in (sell(1, LONG), sell(1, SHORT, "BUY"), vertical(1)):
        with pytest.raises(intents.Claimed):
            claim(state, order)
    claim(state, sell())


def test_positions_asked_for_before_an_order_ended_close_nothing_after_it(state: State) -> None:
    """Two who close the same: the second asked before the first one's fill, and would sell what is no longer there."""
    asked = intents.turn(state)
    intents.end(state, claim(state, sell()).intent, "filled", 100.0)
    with pytest.raises(intents.Stale):
        claim(state, sell(), asked=asked)
    claim(state, sell(2, LONG), asked=asked)


def test_an_unknown_one_keeps_its_claim_until_it_is_released(state: State) -> None:
    first = claim(state, sell())
    intents.end(state, first.intent, "unknown", None, "midnight")
    with pytest.raises(intents.Claimed, match="is unknown"):
        claim(state, sell())
    with pytest.raises(intents.Claimed):
        intents.record(state, sell(action="BUY"), "run", 1, 1, "entry")
    intents.release(state, first.intent)
    claim(state, sell())
    assert [one.state for one in intents.unsettled(state)] == ["unknown", "open"]


def test_a_person_settles_an_unknown_one(state: State) -> None:
    first = claim(state, sell())
    intents.end(state, first.intent, "unknown", None)
    intents.end(state, first.intent, "settled", 40.0, "seen in TWS")
    found = intents.find(state, first.order_ref)
    assert (found.state, found.filled, found.note) == ("settled", 40.0, "seen in TWS")
    assert intents.unsettled(state) == []


def test_what_has_ended_stays_so(state: State) -> None:
    """A late word does not bring an order back."""
    first = claim(state, sell())
    intents.end(state, first.intent, "filled", 100.0)
    intents.end(state, first.intent, "absent", 0.0)
    assert intents.find(state, first.order_ref).filled == 100.0


def test_an_opening_order_waits_for_what_is_open_on_its_contract(state: State) -> None:
    intents.record(state, sell(action="BUY"), "run", 1, 1, "entry")
    with pytest.raises(intents.Claimed):
        intents.record(state, sell(action="BUY"), "run", 1, 2, "entry")
    with pytest.raises(intents.Claimed):
        claim(state, sell())


def test_order_ids_are_counted_for_each_client(state: State) -> None:
    claim(state, sell())
    assert intents.last_order_id(state, 90) == 7 and intents.last_order_id(state, 1) == 0


def test_a_change_is_recorded_and_keeps_its_reference(state: State) -> None:
    first = claim(state, sell())
    changed = intents.modified(state, first, 0.95)
    assert (changed.order_ref, changed.order_id, changed.order.limit) == (first.order_ref, first.order_id, 0.95)
    assert state.row("SELECT limit_price, changed IS NOT NULL FROM attempts") == (0.95, 1)


def test_references_do_not_repeat_in_a_database_begun_anew(folder: Path) -> None:
    """The first of each would be the same, were it counted only."""
    references = set()
    for number in range(20):
        with open_state(Home(folder / str(number))) as state:
            references.add(claim(state, sell()).order_ref)
    assert len(references) == 20


def test_nothing_is_recorded_for_no_account(state: State) -> None:
    with pytest.raises(Refused, match="names no account"):
        claim(state, sell(account=""))
    assert intents.unsettled(state) == []


def test_intent_and_claims_are_written_together_or_not_at_all(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    real = State.write_many

    def full(self: State, sql: str, parameters: object) -> None:
        raise CannotWrite("no space left on device")

    monkeypatch.setattr(State, "write_many", full)
    with pytest.raises(CannotWrite):
        claim(state, sell())
    monkeypatch.setattr(State, "write_many", real)
    assert intents.unsettled(state) == [] and not intents.known(state, "v6")
    claim(state, sell())


def test_a_reference_that_is_none_of_ours(state: State) -> None:
    with pytest.raises(BadInput, match="no order of v6"):
        intents.find(state, "manual")


def test_the_orders_of_a_run_are_known_by_it(state: State) -> None:
    claim(state, sell())
    assert [one.order.quantity for one in intents.of_run(state, "run")] == [100]
    assert intents.of_run(state, "another") == []
