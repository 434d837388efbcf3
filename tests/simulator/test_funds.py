"""No order gets past the funds of the account, however it is put, and none keeps more of them than it needs."""

import contextlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v6cli import clock
from v6cli.simulator.checks import Refused
from v6cli.simulator.listings import LISTINGS, listed, option
from v6cli.simulator.orders import ComboLeg, combo
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario
from v6cli.simulator.server import Gateway
from v6cli.simulator.ticket import Ticket

TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
SPY = listed(LISTINGS["SPY"])
PUTS = {strike: option("SPY", date(2026, 12, 18), strike, "P") for strike in (400, 500, 640, 650)}


@pytest.fixture
def order(at):
    """Place an order at a gateway with 100,000 in cash: its place in the book, whatever has become of it."""
    at(TUESDAY, rate=1e-9)
    gateways = []

    def place(id_, action, quantity, limit=None, contract=SPY, **how):
        if not gateways:
            gateways.append(Gateway(how.pop("scenario", Scenario(account=AccountSpec(cash=100_000.0)))))
        (gateway,) = gateways
        place.gateway = gateway
        words = {"legs": (), "stop": None, "tif": "GTC", "parent_id": 0, "oca_group": "", "oca_type": 1, "transmit": True} | how
        ticket = Ticket(
            order_id=id_,
            client_id=1,
            contract=contract,
            action=action,
            quantity=quantity,
            type="MKT" if limit is None else "LMT",
            limit=limit,
            account="",
            order_ref="",
            outside_rth=False,
            **words,
        )
        gateway.desk.place(ticket, clock.now())
        return next(order for order in [*gateway.book.alive, *gateway.book.ended] if order.order_id == id_)

    return place


def test_a_market_order_at_night_is_reckoned_at_the_last_prices(order, at):
    at(datetime(2026, 11, 24, 8, 0, tzinfo=UTC), rate=1e-9)
    closed = Scenario(account=AccountSpec(cash=100_000.0), market="exchange")
    assert order(1, "BUY", 100_000, scenario=closed).status == "Inactive"
    assert order(2, "BUY", 10).status == "PreSubmitted"
    assert order(3, "BUY", 1_000, contract=PUTS[650]).status == "Inactive"


def test_a_limit_far_from_the_market_does_not_pay_for_itself(order):
    assert order(1, "BUY", 10_000, 300.0).status == "Inactive"
    assert order(2, "SELL", 10_000, 2_000.0).status == "Inactive"
    assert order(3, "BUY", 100, 300.0).status == "Submitted"


def test_an_order_in_a_group_is_checked_as_any_other(order):
    assert order(1, "BUY", 1, 500.0, oca_group="either").status == "Submitted"
    assert order(2, "BUY", 10_000, 500.0, oca_group="either").status == "Inactive"


def test_of_a_group_the_dearest_keeps_its_funds(order):
    for id_, quantity in ((1, 200), (2, 400), (3, 300)):
        assert order(id_, "BUY", quantity, 500.0, oca_group="either").status == "Submitted"
    need = 400 * 0.25 * order.gateway.account.mark([(SPY, 1.0)], clock.now())
    free = 100_000 - need
    fits = int(free / need * 400)
    assert order(4, "BUY", fits + 20, 500.0).status == "Inactive"
    assert order(5, "BUY", fits - 20, 500.0).status == "Submitted"


def test_a_child_is_checked_as_if_its_parent_had_filled(order):
    order(1, "BUY", 100, 500.0, transmit=False)
    assert order(2, "SELL", 100, 900.0, parent_id=1).status == "PreSubmitted"
    order(3, "BUY", 100, 500.0, transmit=False)
    assert order(4, "BUY", 10_000, 500.0, parent_id=3).status == "Inactive"
    order(5, "BUY", 100, 500.0, transmit=False)
    assert order(6, "SELL", 10_000, 900.0, parent_id=5).status == "Inactive"


def test_a_child_may_reverse_its_parent_and_not_add_to_it_beyond_the_funds(order):
    order(1, "BUY", 450, 500.0, transmit=False)
    assert order(2, "SELL", 900, 900.0, parent_id=1).status == "PreSubmitted", "it ends as short as its parent makes it long"
    order.gateway.desk.cancel(1, 1, clock.now())
    order(3, "BUY", 450, 500.0, transmit=False)
    assert order(4, "BUY", 300, 500.0, parent_id=3).status == "Inactive", "each alone could be afforded"


def test_a_child_is_checked_before_it_works_though_its_parent_fills_at_once(order):
    order(1, "BUY", 1, transmit=False)
    child = order(2, "SELL", 300, contract=PUTS[650], parent_id=1)
    assert order.gateway.book.done(1, 1).status == "Filled"
    assert (child.status, child.filled) == ("Inactive", 0.0)


tickets = st.tuples(
    st.sampled_from([SPY, *PUTS.values()]),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 300),
    st.sampled_from([None, None, 0.9, 1.0, 1.05]),
    st.sampled_from(["GTC", "IOC"]),
    st.booleans(),
    st.sampled_from(["", "", "either"]),
    st.booleans(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tickets, min_size=3, max_size=15))
def test_at_one_moment_no_orders_take_more_than_the_account_has(at, sequence):
    at(TUESDAY, rate=1e-9)
    gateway = Gateway(Scenario(account=AccountSpec(cash=100_000.0)))
    for id_, (contract, action, quantity, part, tif, follows, group, transmit) in enumerate(sequence, 1):
        worth = gateway.account.mark([(contract, 1.0)], clock.now())
        limit = max(0.01, round(part * worth, 2)) if part is not None else None
        kind = "MKT" if limit is None else "LMT"
        ticket = Ticket(
            id_, 1, contract, (), action, quantity, kind, limit, None, tif, "", "", False, (id_ - 1) * follows, group, 1 + id_ % 3, transmit
        )
        with contextlib.suppress(Refused):
            gateway.desk.place(ticket, clock.now())
        # Fees and the spread may take a little beyond the margin.
        assert gateway.account.standing(clock.now()).available_funds > -150


def test_a_change_of_a_child_or_of_one_in_a_group_is_checked(order):
    order(1, "BUY", 1, 500.0, oca_group="either")
    order(2, "BUY", 1, 500.0, oca_group="either")
    order(2, "BUY", 10_000, 500.0, oca_group="either")
    assert [kept.quantity for kept in order.gateway.book.alive] == [1, 1]


def test_what_has_filled_keeps_no_funds_beside_its_position(order):
    first = order(1, "SELL", 300, contract=PUTS[650], scenario=Scenario(account=AccountSpec(cash=10_000_000.0)))
    assert 0 < first.filled < 300
    assert first.reserved_each > 10_000
    other = order(2, "BUY", 1, 300.0)
    assert order.gateway.book.reserved_beside(other) == pytest.approx(first.remaining * first.reserved_each)


def test_a_long_option_far_away_never_raises_the_margin(order):
    held = Scenario(account=AccountSpec(cash=100_000.0), positions=[PositionSpec("SPY", -3, right="P", expiry="2026-12-18", strike=650)])
    bought = order(1, "BUY", 3, contract=PUTS[500], scenario=held)
    naked = order.gateway.account.supposing(clock.now(), [(PUTS[500], -3.0)], 0.0).initial_margin
    assert bought.status == "Filled"
    assert order.gateway.account.standing(clock.now()).initial_margin == naked
    order(2, "BUY", 3, contract=PUTS[640])
    assert order.gateway.account.standing(clock.now()).initial_margin == pytest.approx(3_000)


@pytest.mark.parametrize(
    ("legs", "quantity", "code"),
    [
        ((1_000_000_000, 1_000_000_000), 1, 201),
        ((5_000, 5_000), 5, 201),
        ((1, 1), 20_001, 201),
    ],
)
def test_the_size_of_a_combo_is_that_of_its_largest_leg(order, legs, quantity, code):
    parts = tuple(
        ComboLeg(PUTS[strike].con_id, ratio, action) for strike, ratio, action in zip((650, 640), legs, ("BUY", "SELL"), strict=True)
    )
    with pytest.raises(Refused) as refused:
        order(1, "BUY", quantity, 0.01, contract=combo("SPY"), legs=parts)
    assert refused.value.code == code


@pytest.mark.parametrize("price", [1e299, -1e308, 1e7, 0.0, -1.0])
def test_no_price_is_absurd(order, price):
    with pytest.raises(Refused) as refused:
        order(1, "SELL", 1, price)
    assert refused.value.code == 321
