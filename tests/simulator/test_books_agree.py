"""Whatever is ordered, in whatever sequence: cash, positions, executions and the account's values agree with each other."""

import contextlib
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from v6cli import clock
from v6cli.errors import BadConfiguration
from v6cli.simulator.checks import Refused
from v6cli.simulator.listings import LISTINGS, listed, option
from v6cli.simulator.orders import ComboLeg, combo
from v6cli.simulator.scenario import AccountSpec, PositionSpec, Scenario
from v6cli.simulator.server import Gateway
from v6cli.simulator.ticket import Ticket

TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
EXPIRY = date(2026, 11, 27)
SINGLE = [listed(LISTINGS["SPY"]), *(option("SPY", EXPIRY, strike, right) for strike in (650, 660, 670) for right in "CP")]
SPREADS = [
    tuple(ComboLeg(contract.con_id, ratio, action) for contract, ratio, action in legs)
    for legs in (
        ((SINGLE[1], 1, "BUY"), (SINGLE[3], 1, "SELL")),
        ((SINGLE[2], 1, "SELL"), (SINGLE[4], 2, "BUY"), (SINGLE[6], 1, "SELL")),
        ((SINGLE[1], 1, "SELL"), (SINGLE[2], 1, "SELL"), (SINGLE[5], 1, "BUY"), (SINGLE[6], 1, "BUY")),
    )
]
SCENARIO = Scenario(
    account=AccountSpec(cash=150_000.0),
    positions=[PositionSpec("SPY", 100), PositionSpec("SPY", -1, right="C", expiry="2026-11-27", strike=670)],
)

FAULTS = [
    ("reject-orders", {"count": 1}),
    ("held-for-locate", {"seconds": 15}),
    ("stuck-submitting", {"count": 2}),
    ("stuck-submitting", {"seconds": 20}),
    ("stuck-cancelling", {"fills": False}),
    ("stuck-cancelling", {"fills": True, "count": 1}),
    ("cancels-unanswered", {}),
    ("cancels-cross-fills", {}),
    ("combos-rest", {"count": 1}),
    ("partial-then-drop", {"rest": 5}),
    ("lose-acknowledgements", {"count": 1}),
    ("fills-first", {}),
    ("late-commissions", {"by": 5}),
    ("unset-commissions", {"count": 1}),
    ("positions-lag", {"by": 15}),
    ("positions-lag", {"by": 400, "count": 1}),
    ("corrected-executions", {"by": 0.25}),
    ("corrected-executions", {"by": -9.0}),
    ("orders-by-hand", {"of": "SPY", "quantity": -120}),
    ("orders-by-hand", {"of": "SPY", "limit": 500.0, "quantity": 3}),
    ("fills-by-hand", {"quantity": 70}),
    ("early-assignment", {}),
    ("early-assignment", {"quantity": 1}),
    ("liquidation", {}),
]


def place(quantities, types, offsets, times):
    return st.tuples(
        st.just("place"),
        st.sampled_from([*((contract, ()) for contract in SINGLE), *((combo("SPY"), legs) for legs in SPREADS)]),
        st.sampled_from(["BUY", "SELL"]),
        st.sampled_from(quantities),
        st.sampled_from(types),
        offsets,
        st.sampled_from(times),
        st.sampled_from(["", "", "group"]),
        st.integers(0, 3),
        st.booleans(),
        st.sampled_from([1, 1, 1, 7]),
        st.booleans(),
    )


def sound():
    return place([1, 2, 7, 100], ["LMT", "MKT", "STP", "STP LMT"], st.floats(-3, 3), ["DAY", "GTC", "IOC"])


acts = st.one_of(
    sound(),
    sound(),
    place(
        [1, 100, 0, -1, 1.5, 20_001, 1e299], ["LMT", "STP", "TRAIL", ""], st.sampled_from([None, -1e299, 1e299, 0.0]), ["DAY", "GTD", ""]
    ),
    st.tuples(st.just("modify"), st.integers(1, 12), st.sampled_from([1, 3, 200]), st.floats(-3, 3)),
    st.tuples(st.just("cancel"), st.integers(1, 12)),
    st.tuples(st.just("cancel all")),
    st.tuples(st.just("set"), st.sampled_from(FAULTS)),
    st.tuples(st.just("set"), st.sampled_from(FAULTS)),
    st.tuples(st.just("heal")),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 300, 86_400, 4 * 86_400])),
)


class Conversation:
    """Does acts to a gateway's desk, and checks its books after each."""

    def __init__(self, at, market="always"):
        self._at, self._seconds, self._tickets = at, 0, {}
        at(TUESDAY, rate=1e-9)
        self.gateway = Gateway(replace(SCENARIO, market=market))
        self._fill, self.gateway.floor.fill = self.gateway.floor.fill, self._checked_fill
        self.gateway.account.forget_before = lambda day: None  # every execution is needed for the sums
        account = self.gateway.account
        self._cash = account.cash
        self._held = {key: holding.quantity for key, holding in account.holdings.items()}
        self._settled = False

    def do(self, act):
        kind, *rest = act
        with contextlib.suppress(Refused):
            getattr(self, f"_{kind.replace(' ', '_')}")(*rest)
        self.gateway.announcer.flush()

    def _checked_fill(self, order, quantity, price, quotes, moment):
        assert order.alive
        assert order.transmit
        assert self.gateway.book.parent_of(order) is None
        assert 0 < quantity <= order.remaining
        assert order.limit is None or (price - order.limit) * order.sign <= 1e-6
        assert order.stop is None or order.triggered
        self._fill(order, quantity, price, quotes, moment)

    def _place(self, what, action, quantity, type_, offset, tif, group, parent, transmit, client, outside_rth):
        contract, legs = what
        price = self._price(contract, legs, offset)
        id_ = len(self._tickets) + 1
        ticket = Ticket(
            id_,
            client,
            contract,
            legs,
            action,
            quantity,
            type_,
            price,
            price,
            tif,
            "",
            "x",
            outside_rth,
            parent if parent < id_ else 0,
            group,
            1 + id_ % 3,
            transmit,
        )
        self._tickets[id_] = ticket
        self.gateway.desk.place(ticket, clock.now())

    def _price(self, contract, legs, offset):
        if offset is None:
            return None
        gateway, now = self.gateway, clock.now()
        contracts = [gateway.chains.by_id(leg.con_id) for leg in legs] or [contract]
        ratios = [leg.signed_ratio for leg in legs] or [1]
        level = sum(ratio * mark.price for ratio, mark in zip(ratios, gateway.market.marks(contracts, now), strict=True))
        price = round(level + offset, 2)
        return price if legs else max(0.01, price)

    def _modify(self, id_, quantity, offset):
        ticket = self._tickets.get(id_)
        if ticket is not None and self.gateway.book.working(ticket.client_id, id_) is not None:
            price = self._price(ticket.contract, ticket.legs, offset)
            self.gateway.desk.place(replace(ticket, quantity=quantity, limit=price, stop=price), clock.now())

    def _cancel(self, id_):
        ticket = self._tickets.get(id_)
        self.gateway.desk.cancel(ticket.client_id if ticket is not None else 1, id_, clock.now())

    def _cancel_all(self):
        self.gateway.desk.cancel_everything(clock.now())
        gripped = self.gateway.faults.grips
        for order in self.gateway.book.alive:
            assert any(gripped(name, order.perm_id) is not None for name in ("stuck-cancelling", "cancels-unanswered"))

    def _set(self, fault):
        name, parameters = fault
        account = self.gateway.account
        cash, held = account.cash, {key: holding.quantity for key, holding in account.holdings.items()}
        with contextlib.suppress(BadConfiguration):
            self.gateway.faults.set(name, **parameters)
        if name == "early-assignment":  # it moves positions and cash without an execution
            self._cash += account.cash - cash
            for key in {*held, *account.holdings}:
                now_held = account.holdings[key].quantity if key in account.holdings else 0.0
                self._held[key] = self._held.get(key, 0.0) + now_held - held.get(key, 0.0)

    def _heal(self):
        self.gateway.faults.clear_all()
        assert self.gateway.statement.holdings(clock.now()) == self.gateway.account.holdings

    def _wait(self, seconds):
        self._seconds += seconds
        self._at(TUESDAY + timedelta(seconds=self._seconds), rate=1e-9)
        self.gateway.floor.advance(clock.now())
        self._settled = self._seconds > 3 * 86_400

    def check(self):
        account, book, now = self.gateway.account, self.gateway.book, clock.now()
        fills = [fill for fill in account.own_fills if not fill.is_summary]
        if not self._settled:  # what expires changes positions without an execution
            sums = defaultdict(float, self._held)
            for fill in fills:
                sums[fill.contract.con_id] += fill.signed_quantity
            assert {key: quantity for key, quantity in sums.items() if quantity} == {
                key: holding.quantity for key, holding in account.holdings.items()
            }
            spent = sum(fill.signed_quantity * fill.price * fill.contract.multiplier + fill.commission for fill in fills)
            assert account.cash == pytest.approx(self._cash - spent, abs=0.01)
        state = account.standing(now)
        assert state.net_liquidation == pytest.approx(state.cash + sum(each.value for each in state.positions), abs=0.05)
        shown = self.gateway.statement.standing(now)
        assert shown.net_liquidation == pytest.approx(shown.cash + sum(each.value for each in shown.positions), abs=0.05)
        assert state.initial_margin >= 0
        assert state.maintenance_margin >= 0
        for line in (fill for fill in account.own_fills if fill.is_summary):
            base = line.exec_id[:17]
            legs = [fill for fill in fills if fill.exec_id.startswith(base)]
            assert sum(fill.signed_quantity * fill.price for fill in legs) == pytest.approx(line.signed_quantity * line.price, abs=1e-3)
            assert all(fill.price >= 0 for fill in legs)
        for order in [*book.alive, *book.ended]:
            mine = [fill for fill in account.own_fills if fill.perm_id == order.perm_id and fill.is_summary is bool(order.legs)]
            assert order.filled == sum(fill.quantity for fill in mine) <= order.quantity
            assert order.alive is (order.status not in {"Filled", "Cancelled", "Inactive"})
            assert (order.status == "Filled") is (order.filled == order.quantity and not order.alive) or order.status == "Cancelled"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from(["always", "exchange"]), st.lists(acts, min_size=1, max_size=25))
def test_the_books_agree_after_any_sequence_of_orders(at, market, sequence):
    conversation = Conversation(at, market)
    conversation.check()
    for act in sequence:
        conversation.do(act)
        conversation.check()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(acts, min_size=5, max_size=20))
def test_the_same_sequence_has_the_same_outcome(at, sequence):
    outcomes = []
    for _ in range(2):
        conversation = Conversation(at)
        for act in sequence:
            conversation.do(act)
        outcomes.append((conversation.gateway.account.own_fills, conversation.gateway.book.ended, conversation.gateway.account.cash))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_books_agree_under_each_fault(at, fault):
    def order(what, action, quantity, type_, offset=0.0, tif="GTC"):
        return ("place", what, action, quantity, type_, offset, tif, "", 0, True, 1, False)

    stock, spread = (SINGLE[0], ()), (combo("SPY"), SPREADS[0])
    trading = [order(stock, "BUY", 100, "MKT"), order(spread, "BUY", 7, "MKT"), order((SINGLE[2], ()), "SELL", 2, "MKT")]
    resting = [order(stock, "BUY", 50, "LMT", -3.0), order(spread, "BUY", 2, "LMT", -2.0)]
    conversation = Conversation(at)
    for act in [
        *trading,
        ("wait", 10),
        ("set", fault),
        *trading,
        *resting,
        ("cancel", 7),
        ("modify", 8, 3, 1.0),
        ("wait", 10),
        ("cancel all",),
        ("heal",),
        ("wait", 10),
        ("cancel all",),
    ]:
        conversation.do(act)
        conversation.check()
    assert conversation.gateway.faults.met.get(fault[0]), "it has bitten"
    assert conversation.gateway.book.alive == []
