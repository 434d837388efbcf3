"""The conversation's words in those of ibapi: how each question is asked."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from client import HOST, PATIENCE, Chain, Contract, Details, Fill, Margins, NotAdmitted, Order, Quote, Unreadable, Working
from heard_by_ibapi import UNREAD, Answers
from ibapi.client import EClient
from ibapi.contract import ComboLeg
from ibapi.contract import Contract as TheirContract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order as TheirOrder

_PACE = 45


class Client(Answers, EClient):
    """Its methods ask and wait; what they wait for comes in another thread."""

    def __init__(self) -> None:
        Answers.__init__(self)
        EClient.__init__(self, self)
        self._sent: deque[float] = deque(maxlen=_PACE)

    def sendMsg(self, msg):
        """As it is, but no faster than the gateway takes: the other libraries see to that themselves."""
        while len(self._sent) == _PACE and time.monotonic() - self._sent[0] < 1:
            time.sleep(0.01)
        self._sent.append(time.monotonic())
        EClient.sendMsg(self, msg)

    def connect(self, port: int, client_id: int, patience: float = PATIENCE) -> None:
        EClient.connect(self, HOST, port, client_id)
        threading.Thread(target=self._read, daemon=True).start()
        self._wait(lambda: bool(self._next) or self.heard.codes(-1) == [326], "the next valid id", patience)
        if not self._next:
            raise NotAdmitted(self.heard.codes(-1))

    def _read(self) -> None:
        try:
            self.run()
        except BaseException:
            UNREAD.complaints.append(traceback.format_exc())
            self._tell()

    def accounts(self) -> list[str]:
        return self._accounts

    def account_values(self) -> dict[str, str]:
        self._ask("values", lambda: self.reqAccountUpdates(True, ""))
        return dict(self._values)

    def summary(self) -> dict[str, str]:
        id_ = self.next_id()
        found = self._ask(id_, lambda: self.reqAccountSummary(id_, "All", "NetLiquidation,BuyingPower,$LEDGER:USD"))
        self.cancelAccountSummary(id_)
        return dict(found)

    def positions(self) -> dict[int, float]:
        return dict(self._ask("positions", self.reqPositions))

    def chains(self, symbol: str, con_id: int) -> list[Chain]:
        id_ = self.next_id()
        return self._ask(id_, lambda: self.reqSecDefOptParams(id_, symbol, "", "STK", con_id))

    def details(self, contract: Contract) -> list[Details]:
        id_ = self.next_id()
        return self._ask(id_, lambda: self.reqContractDetails(id_, _theirs(contract)))

    def snapshot(self, contract: Contract) -> Quote:
        id_ = self.next_id()
        self._quotes[id_] = Quote()
        self._ask(id_, lambda: self.reqMktData(id_, _theirs(contract), "", True, False, []))
        return self._quotes.pop(id_)

    def stream(self, contract: Contract, changes: int) -> Quote:
        id_ = self.next_id()
        quote = self._quotes[id_] = Quote()
        seen: set[tuple[float, float]] = set()

        def changed() -> bool:
            seen.add((quote.bid, quote.ask))
            return len(seen) > changes + 2 and quote.greeks is not None  # the first bid and the first ask come one by one

        self.reqMktData(id_, _theirs(contract), "", False, False, [])
        self._wait(changed, "greeks and changes of a stream")
        self.cancelMktData(id_)
        return quote

    def closes(self, contract: Contract) -> list[tuple[str, float]]:
        id_ = self.next_id()
        return self._ask(id_, lambda: self.reqHistoricalData(id_, _theirs(contract), "", "5 D", "1 day", "TRADES", 1, 1, False, []))

    def what_if(self, contract: Contract, order: Order) -> Margins:
        id_ = self.next_id()
        theirs = _order(order)
        theirs.whatIf = True
        self.placeOrder(id_, _theirs(contract), theirs)
        self._wait(lambda: id_ in self._what_ifs, "a what-if's answer")
        return self._what_ifs[id_]

    def next_id(self) -> int:
        self._next += 1
        return self._next - 1

    def place(self, contract: Contract, order: Order, order_id: int) -> None:
        self.placeOrder(order_id, _theirs(contract), _order(order))

    def cancel(self, order_id: int) -> None:
        if self._statuses.get(order_id, ("", 0.0))[0] not in {"Cancelled", "Filled"}:
            self.cancelOrder(order_id)

    def until_status(self, order_id: int, status: str) -> None:
        self._wait(lambda: self._statuses.get(order_id, ("", 0.0))[0] == status, f"status {status}")

    def filled(self, order_id: int) -> float:
        return self._statuses[order_id][1]

    def open_orders(self) -> list[Working]:
        return self._ask("open orders", self.reqAllOpenOrders)

    def completed(self) -> list[tuple[int, str]]:
        return self._ask("completed orders", lambda: self.reqCompletedOrders(False))

    def executions(self) -> list[Fill]:
        id_ = self.next_id()
        made = self._ask(id_, lambda: self.reqExecutions(id_, ExecutionFilter()))
        return [
            Fill(
                execution.orderId,
                execution.permId,
                execution.execId,
                contract.secType,
                contract.conId,
                execution.side,
                execution.shares,
                execution.price,
                execution.orderRef,
                execution.time,
                self._costs.get(execution.execId),
            )
            for contract, execution in made
        ]

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def check(self) -> None:
        """Raise Unreadable where something could not be read."""
        if UNREAD.complaints:
            raise Unreadable(UNREAD.complaints[0])

    def _ask(self, key: object, ask: Callable[[], None]) -> list[Any]:
        """What is answered under ``key``, in full, or as far as an error let it come."""
        self._gathered[key] = []
        self._ended.discard(key)
        ask()
        self._wait(lambda: key in self._ended, f"the end of {key}")
        return self._gathered.pop(key)

    def _wait(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: bool(UNREAD.complaints) or condition(), patience)
        self.check()
        assert came, f"{what} does not come; heard {self.heard.messages}"


def _theirs(contract: Contract) -> TheirContract:
    made = TheirContract()
    made.symbol, made.secType, made.conId = contract.symbol, contract.kind, contract.con_id
    made.lastTradeDateOrContractMonth, made.strike, made.right = contract.expiry, contract.strike, contract.right
    made.multiplier, made.tradingClass = contract.multiplier, contract.trading_class
    made.exchange, made.currency = "SMART", "USD"
    if contract.legs:
        made.comboLegs = []
        for leg in contract.legs:
            theirs = ComboLeg()
            theirs.conId, theirs.ratio, theirs.action, theirs.exchange = leg.con_id, leg.ratio, leg.action, "SMART"
            made.comboLegs.append(theirs)
    return made


def _order(order: Order) -> TheirOrder:
    made = TheirOrder()
    made.action, made.totalQuantity, made.orderType, made.tif = order.action, order.quantity, order.type, "DAY"
    made.orderRef, made.parentId, made.transmit = order.ref, order.parent, order.transmit
    if order.limit is not None:
        made.lmtPrice = order.limit
    if order.stop is not None:
        made.auxPrice = order.stop
    return made
