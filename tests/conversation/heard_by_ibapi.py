"""What ibapi hands over, in its reader's thread, gathered in the conversation's words."""

from __future__ import annotations

import logging
import threading
from typing import Any

from client import Chain, Contract, Details, Greeks, Heard, Margins, Quote, Unread, Working
from ibapi.contract import Contract as TheirContract
from ibapi.wrapper import EWrapper

#: Codes that tell of data farms, and end nothing.
_NOTES = range(2100, 2200)


UNREAD = Unread()
for _name in ("ibapi.decoder", "ibapi.client"):
    logging.getLogger(_name).addHandler(UNREAD)
logging.getLogger("ibapi").addHandler(logging.NullHandler())  # its reader complains of sockets that it closed itself


class Answers(EWrapper):
    """``_gathered`` is what each question has been answered so far, ``_ended`` which of them are answered in full."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = Heard()
        self._changed = threading.Condition()
        self._gathered: dict[object, list[Any]] = {}
        self._ended: set[object] = set()
        self._accounts: list[str] = []
        self._next = 0
        self._values: dict[str, str] = {}
        self._quotes: dict[int, Quote] = {}
        self._statuses: dict[int, tuple[str, float]] = {}
        self._what_ifs: dict[int, Margins] = {}
        self._costs: dict[str, float] = {}

    def _note(self, key: object, answer: Any) -> None:
        self._gathered.setdefault(key, []).append(answer)

    def _end(self, key: object) -> None:
        with self._changed:
            self._ended.add(key)
            self._changed.notify_all()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def error(self, req_id, error_code, error_string):
        self.heard.messages.append((req_id, error_code))
        if error_code not in _NOTES:
            self._end(req_id)

    def connectionClosed(self):
        self._tell()

    def managedAccounts(self, accounts_list):
        self._accounts = [name for name in accounts_list.split(",") if name]

    def nextValidId(self, order_id):
        self._next = order_id
        self._tell()

    def updateAccountValue(self, key, val, currency, account_name):
        if currency in {"", "USD"}:
            self._values[key] = val

    def accountDownloadEnd(self, account_name):
        self._end("values")

    def accountSummary(self, req_id, account, tag, value, currency):
        self._note(req_id, (tag, value))

    def accountSummaryEnd(self, req_id):
        self._end(req_id)

    def position(self, account, contract, position, avg_cost):
        self._note("positions", (contract.conId, position))

    def positionEnd(self):
        self._end("positions")

    def securityDefinitionOptionParameter(self, req_id, exchange, underlying_con_id, trading_class, multiplier, expirations, strikes):
        chain = Chain(exchange, trading_class, underlying_con_id, multiplier, frozenset(expirations), frozenset(strikes))
        self._note(req_id, chain)

    def securityDefinitionOptionParameterEnd(self, req_id):
        self._end(req_id)

    def contractDetails(self, req_id, contract_details):
        one = contract_details
        exchanges, rules = one.validExchanges.split(","), one.marketRuleIds.split(",")
        self._note(req_id, Details(_read(one.contract), one.longName, one.minTick, exchanges, rules, one.underConId))

    def contractDetailsEnd(self, req_id):
        self._end(req_id)

    def historicalData(self, req_id, bar):
        self._note(req_id, (bar.date, bar.close))

    def historicalDataEnd(self, req_id, start, end):
        self._end(req_id)

    def tickPrice(self, req_id, tick_type, price, attrib):
        quote = self._quotes[req_id]
        quote.bid, quote.ask = price if tick_type == 1 else quote.bid, price if tick_type == 2 else quote.ask
        self._tell()

    def tickSize(self, req_id, tick_type, size):
        quote = self._quotes[req_id]
        quote.bid_size, quote.ask_size = size if tick_type == 0 else quote.bid_size, size if tick_type == 3 else quote.ask_size
        self._tell()

    def tickOptionComputation(
        self, req_id, tick_type, tick_attrib, implied_vol, delta, opt_price, pv_dividend, gamma, vega, theta, und_price
    ):
        if tick_type == 13:
            self._quotes[req_id].greeks = Greeks(implied_vol, delta, gamma, vega, theta, und_price)
        self._tell()

    def tickSnapshotEnd(self, req_id):
        self._end(req_id)

    def openOrder(self, order_id, contract, order, order_state):
        if order.whatIf:
            state = order_state
            self._what_ifs[order_id] = Margins(state.initMarginChange, state.maintMarginChange, state.equityWithLoanAfter, state.commission)
        if "open orders" in self._gathered:
            self._note(
                "open orders",
                Working(
                    order_id,
                    order.permId,
                    order_state.status,
                    order.action,
                    order.totalQuantity,
                    order.orderType,
                    order.lmtPrice,
                    order.orderRef,
                    order.parentId,
                ),
            )
        self._tell()

    def openOrderEnd(self):
        self._end("open orders")

    def orderStatus(
        self, order_id, status, filled, remaining, avg_fill_price, perm_id, parent_id, last_fill_price, client_id, why_held, mkt_cap_price
    ):
        self._statuses[order_id] = status, filled
        self._tell()

    def completedOrder(self, contract, order, order_state):
        self._note("completed orders", (order.permId, order_state.status))

    def completedOrdersEnd(self):
        self._end("completed orders")

    def execDetails(self, req_id, contract, execution):
        self._note(req_id, (contract, execution))

    def execDetailsEnd(self, req_id):
        self._end(req_id)

    def commissionReport(self, commission_report):
        self._costs[commission_report.execId] = commission_report.commission


def _read(contract: TheirContract) -> Contract:
    return Contract(
        contract.symbol,
        contract.secType,
        contract.conId,
        contract.lastTradeDateOrContractMonth,
        contract.strike,
        contract.right,
        contract.tradingClass,
        contract.multiplier,
    )
