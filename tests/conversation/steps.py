"""The conversation, step by step: what is said to the gateway, and what every client library must have heard afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from client import PATIENCE, Chain, Client, Contract, Fill, Leg, NotAdmitted, Order, Working

ACCOUNT = "DU1234567"
SPY_ID = 756733
STOCK = Contract("SPY", "STK", SPY_ID)
VISITS = 300


@dataclass
class Conversation:
    """One client at a gateway, a process of which ``pid`` is the number; ``make`` makes another client."""

    client: Client
    make: Callable[[], Client]
    port: int
    pid: int

    def option(self, money: float, right: str) -> Contract:
        """A listed option some weeks away, its strike the listed one nearest to ``money`` times the price."""
        chain = self.chain()
        expiry = sorted(chain.expiries)[8]
        wanted = self.client.snapshot(STOCK).ask * money
        near = min((strike for strike in chain.strikes if strike % 5 == 0), key=lambda strike: abs(strike - wanted))
        (found,) = self.client.details(Contract("SPY", "OPT", expiry=expiry, strike=near, right=right, trading_class="SPY"))
        return found.contract

    def chain(self) -> Chain:
        (found,) = [chain for chain in self.client.chains("SPY", SPY_ID) if (chain.exchange, chain.trading_class) == ("SMART", "SPY")]
        return found

    def until(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Ask again and again, more slowly than the gateway's 50 messages a second."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"{what} does not come; heard {self.client.heard.messages}"
            self.client.pause(0.1)

    def working(self, *ids: int) -> list[Working]:
        """These orders as the gateway lists them, in this order; whatever it does not list is missing."""
        listed = {order.id: order for order in self.client.open_orders()}
        return [listed[id_] for id_ in ids if id_ in listed]


def accounts(talk: Conversation) -> None:
    assert talk.client.accounts() == [ACCOUNT], talk.client.accounts()
    values = talk.client.account_values()
    worth = float(values["NetLiquidation"])
    assert 500_000 < worth < 1_500_000, worth
    assert float(values["InitMarginReq"]) >= float(values["MaintMarginReq"]) > 0
    summary = talk.client.summary()
    assert abs(float(summary["NetLiquidation"]) - worth) < 0.02 * worth, summary
    assert talk.client.positions() == {SPY_ID: 100}, talk.client.positions()


def chains_and_details(talk: Conversation) -> None:
    chain = talk.chain()
    assert (chain.multiplier, chain.under_con_id) == ("100", SPY_ID)
    assert len(chain.expiries) > 15 and all(len(day) == 8 for day in chain.expiries)
    assert len(chain.strikes) > 50
    (stock,) = talk.client.details(Contract("SPY", "STK"))
    assert (stock.contract.con_id, stock.min_tick, stock.name[:4]) == (SPY_ID, 0.01, "SPDR"), stock
    option = talk.option(1.0, "P")
    (same,) = talk.client.details(Contract("", "", option.con_id))
    assert same.contract == option, (same.contract, option)
    assert (same.under_con_id, same.contract.multiplier) == (SPY_ID, "100")
    assert len(same.rules) == len(same.exchanges) > 1
    both = talk.client.details(Contract("SPY", "OPT", expiry=option.expiry, strike=option.strike, trading_class="SPY"))
    assert sorted(one.contract.right for one in both) == ["C", "P"]
    before = len(talk.client.heard.messages)
    assert talk.client.details(Contract("NOSUCH", "STK")) == []
    assert 200 in [code for _, code in talk.client.heard.messages[before:]]


def history(talk: Conversation) -> None:
    days = talk.client.closes(STOCK)
    assert len(days) == 5 and days == sorted(days), days
    assert all(len(day) == 8 and 100 < close < 2000 for day, close in days)


def greeks(talk: Conversation) -> None:
    spot = talk.client.snapshot(STOCK)
    option = talk.option(1.0, "P")
    for quote in (talk.client.snapshot(option), talk.client.stream(option, changes=2)):
        assert 0 < quote.bid < quote.ask, quote
        assert quote.bid_size > 0 and quote.ask_size > 0 and quote.bid_size == int(quote.bid_size), quote
        assert quote.greeks is not None, quote
        assert -1 < quote.greeks.delta < 0 < quote.greeks.gamma < 1, quote
        assert 0.02 < quote.greeks.volatility < 2 and quote.greeks.vega > 0 > quote.greeks.theta, quote
        assert abs(quote.greeks.spot - spot.ask) < 0.05 * spot.ask, (quote, spot)


def what_if(talk: Conversation) -> None:
    option = talk.option(0.97, "P")
    quote = talk.client.snapshot(option)
    margins = talk.client.what_if(option, Order("SELL", 1, "LMT", round(quote.bid, 2), ref="what-if"))
    assert float(margins.initial_change) > 1000, margins
    assert float(margins.maintenance_change) > 1000, margins
    assert float(margins.equity_after) > 500_000, margins
    assert 0.2 < margins.commission < 10, margins
    assert talk.client.open_orders() == []


def limit_order(talk: Conversation) -> None:
    """One order that rests, is changed under its id, and cancelled."""
    client = talk.client
    id_ = client.next_id()
    order = Order("BUY", 2, "LMT", 500.0, ref="rests/1")
    client.place(STOCK, order, id_)
    client.until_status(id_, "Submitted")
    (first,) = talk.working(id_)
    assert first.perm_id > 1_000_000
    assert first == Working(id_, first.perm_id, "Submitted", "BUY", 2, "LMT", 500.0, "rests/1", 0), first
    client.place(STOCK, replace(order, quantity=3, limit=501.5), id_)
    talk.until(lambda: talk.working(id_)[0].limit == 501.5, "the change of an order")
    assert talk.working(id_) == [replace(first, quantity=3, limit=501.5)], talk.working(id_)
    client.cancel(id_)
    client.until_status(id_, "Cancelled")
    talk.until(lambda: client.heard.codes(id_) == [202], "202 after a cancel")
    assert client.open_orders() == []
    assert (first.perm_id, "Cancelled") in client.completed()


def refused_order(talk: Conversation) -> None:
    id_ = talk.client.next_id()
    talk.client.place(STOCK, Order("BUY", 1, "LMT", 500.001), id_)
    talk.until(lambda: 110 in talk.client.heard.codes(id_), "110 for a price off the steps")
    talk.client.cancel(talk.client.next_id())
    assert talk.client.open_orders() == []


def bracket_that_is_cancelled(talk: Conversation) -> None:
    """Nothing works before the last child is transmitted; cancelling the parent ends its children."""
    client = talk.client
    parent, target, stop = _bracket(talk, 500.0)
    client.until_status(parent, "Submitted")
    client.until_status(stop, "PreSubmitted")
    listed = talk.working(parent, target, stop)
    assert [order.status for order in listed] == ["Submitted", "PreSubmitted", "PreSubmitted"], listed
    assert [order.parent for order in listed] == [0, parent, parent], listed
    assert [order.type for order in listed] == ["LMT", "LMT", "STP"], listed
    client.cancel(parent)
    for id_ in (parent, target, stop):
        client.until_status(id_, "Cancelled")
    assert client.open_orders() == []


def bracket_that_fills(talk: Conversation) -> None:
    """The parent's fill sets its children to work; ending one ends the other."""
    client = talk.client
    parent, target, stop = _bracket(talk, round(client.snapshot(STOCK).ask * 1.01, 2))
    client.until_status(parent, "Filled")
    client.until_status(target, "Submitted")
    assert client.filled(parent) == 1
    assert [order.id for order in talk.working(parent, target, stop)] == [target, stop]
    for id_ in (target, stop):
        client.cancel(id_)
        client.until_status(id_, "Cancelled")
    assert client.positions() == {SPY_ID: 101}, client.positions()


def _bracket(talk: Conversation, price: float) -> tuple[int, int, int]:
    client = talk.client
    parent, target, stop = (client.next_id() for _ in range(3))
    client.place(STOCK, Order("BUY", 1, "LMT", price, transmit=False, ref="bracket"), parent)
    client.place(STOCK, Order("SELL", 1, "LMT", 990.0, parent=parent, transmit=False, ref="bracket"), target)
    assert [order.status for order in talk.working(parent, target)] == ["PendingSubmit"] * 2, talk.working(parent, target)
    client.place(STOCK, Order("SELL", 1, "STP", stop=100.0, parent=parent, ref="bracket"), stop)
    return parent, target, stop


def combo(talk: Conversation) -> None:
    """A spread of two legs fills: its executions are one line that sums it up, and one for each leg, which alone cost something."""
    client = talk.client
    short, long = talk.option(0.98, "P"), talk.option(0.95, "P")
    spread = Contract("SPY", "BAG", legs=(Leg(short.con_id, 1, "SELL"), Leg(long.con_id, 1, "BUY")))
    worst = client.snapshot(long).ask - client.snapshot(short).bid
    id_ = client.next_id()
    client.place(spread, Order("BUY", 1, "LMT", round(worst + 0.05, 2), ref="spread/1"), id_)
    client.until_status(id_, "Filled")
    made = _executions_of(talk, id_, 3)
    (whole,) = [fill for fill in made if fill.kind == "BAG"]
    legs = {fill.con_id: fill for fill in made if fill.kind == "OPT"}
    assert {con_id: fill.side for con_id, fill in legs.items()} == {short.con_id: "SLD", long.con_id: "BOT"}
    assert abs(legs[long.con_id].price - legs[short.con_id].price - whole.price) < 1e-6, made
    assert whole.price <= round(worst + 0.05, 2)
    assert whole.commission is None and all(fill.commission and 0.2 < fill.commission < 10 for fill in legs.values()), made
    assert {fill.ref for fill in made} == {"spread/1"} and len({fill.perm_id for fill in made}) == 1
    assert client.positions() == {SPY_ID: 101, short.con_id: -1, long.con_id: 1}


def executions(talk: Conversation) -> None:
    """All of the day's: the bracket's parent and the spread."""
    made = talk.client.executions()
    assert sorted(fill.kind for fill in made) == ["BAG", "OPT", "OPT", "STK"], made
    assert len({fill.exec_id for fill in made}) == 4
    (stock,) = [fill for fill in made if fill.kind == "STK"]
    assert (stock.side, stock.quantity, stock.ref, stock.con_id) == ("BOT", 1, "bracket", SPY_ID), stock
    assert stock.commission == 1.0 and stock.time.startswith("20261124"), stock


def _executions_of(talk: Conversation, order_id: int, count: int) -> list[Fill]:
    made = [fill for fill in talk.client.executions() if fill.order_id == order_id]
    assert len(made) == count, made
    return made


def same_client_id(talk: Conversation) -> None:
    second = talk.make()
    try:
        second.connect(talk.port, 1, patience=1.0)  # ib_insync waits as long, whatever it hears
    except NotAdmitted as refusal:
        assert 326 in refusal.codes, refusal.codes
    else:
        raise AssertionError("a second client came in under an id that is in use")
    assert talk.client.accounts() == [ACCOUNT]
    assert len(talk.client.positions()) == 3


def visits(talk: Conversation) -> None:
    """Hundreds of clients come and go: the gateway holds no more descriptors afterwards."""
    _visit(talk, 1000)
    talk.client.pause(1.5)  # ibapi holds the socket of its first visit as long
    before = _descriptors(talk.pid)
    for number in range(VISITS):
        _visit(talk, 1001 + number)
    talk.until(lambda: _descriptors(talk.pid) <= before, "the end of every connection", patience=5.0)


def _visit(talk: Conversation, client_id: int) -> None:
    guest = talk.make()
    guest.connect(talk.port, client_id)
    assert guest.accounts() == [ACCOUNT]
    guest.disconnect()


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path("/proc", str(pid), "fd").iterdir())


TRADING = [
    accounts,
    chains_and_details,
    history,
    greeks,
    what_if,
    limit_order,
    refused_order,
    bracket_that_is_cancelled,
    bracket_that_fills,
    combo,
    executions,
    same_client_id,
]
