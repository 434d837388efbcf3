"""The conversation's words in ib_insync's, or in those of ib_async where that is installed instead."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from client import (
    HOST,
    PATIENCE,
    Chain,
    Contract,
    Details,
    Fill,
    Greeks,
    Heard,
    Margins,
    NotAdmitted,
    Order,
    Quote,
    Unread,
    Unreadable,
    Working,
)

# The library asks for a current event loop when it is imported, and Python 3.14 no longer makes one.
asyncio.set_event_loop(asyncio.new_event_loop())
try:
    import ib_async as library
except ImportError:
    import ib_insync as library


UNREAD = Unread()
logging.getLogger(library.__name__).addHandler(logging.NullHandler())  # refusals are part of the conversation
logging.getLogger(f"{library.__name__}.Decoder").addHandler(UNREAD)


class Client:
    def __init__(self) -> None:
        self.heard = Heard()
        self._ib = library.IB()
        self._ib.RequestTimeout = PATIENCE
        self._ib.errorEvent += lambda id_, code, _text, _contract: self.heard.messages.append((id_, code))
        self._trades: dict[int, Any] = {}

    def connect(self, port: int, client_id: int, patience: float = PATIENCE) -> None:
        try:
            self._ib.connect(HOST, port, client_id, timeout=patience)
        except (ConnectionError, TimeoutError):
            raise NotAdmitted([code for _, code in self.heard.messages]) from None

    def disconnect(self) -> None:
        self._ib.disconnect()

    def accounts(self) -> list[str]:
        return self._ib.managedAccounts()

    def account_values(self) -> dict[str, str]:
        return {value.tag: value.value for value in self._ib.accountValues() if value.currency in {"", "USD"}}

    def summary(self) -> dict[str, str]:
        return {value.tag: value.value for value in self._ib.accountSummary()}

    def positions(self) -> dict[int, float]:
        return {position.contract.conId: position.position for position in self._ib.reqPositions()}

    def chains(self, symbol: str, con_id: int) -> list[Chain]:
        return [
            Chain(
                chain.exchange,
                chain.tradingClass,
                int(chain.underlyingConId),
                chain.multiplier,
                frozenset(chain.expirations),
                frozenset(chain.strikes),
            )
            for chain in self._ib.reqSecDefOptParams(symbol, "", "STK", con_id)
        ]

    def details(self, contract: Contract) -> list[Details]:
        return [
            Details(
                _read(one.contract),
                one.longName,
                one.minTick,
                one.validExchanges.split(","),
                one.marketRuleIds.split(","),
                one.underConId,
            )
            for one in self._ib.reqContractDetails(_theirs(contract))
        ]

    def snapshot(self, contract: Contract) -> Quote:
        (ticker,) = self._ib.reqTickers(_theirs(contract))
        return _quote(ticker)

    def stream(self, contract: Contract, changes: int) -> Quote:
        seen: list[tuple[float, float]] = []
        ticker = self._ib.reqMktData(_theirs(contract))
        ticker.updateEvent += lambda ticker: seen.append((ticker.bid, ticker.ask))
        self._wait(lambda: len(set(seen)) > changes and ticker.modelGreeks is not None, "greeks and changes of a stream")
        self._ib.cancelMktData(ticker.contract)
        return _quote(ticker)

    def closes(self, contract: Contract) -> list[tuple[str, float]]:
        bars = self._ib.reqHistoricalData(_theirs(contract), "", "5 D", "1 day", "TRADES", useRTH=True)
        return [(f"{bar.date:%Y%m%d}", bar.close) for bar in bars]

    def what_if(self, contract: Contract, order: Order) -> Margins:
        state = self._ib.whatIfOrder(_theirs(contract), _order(order))
        return Margins(state.initMarginChange, state.maintMarginChange, state.equityWithLoanAfter, state.commission)

    def next_id(self) -> int:
        return self._ib.client.getReqId()

    def place(self, contract: Contract, order: Order, order_id: int) -> None:
        theirs = _order(order)
        theirs.orderId = order_id
        if order_id in self._trades:  # a change goes out on the order that the library keeps
            theirs = self._trades[order_id].order
            theirs.totalQuantity, theirs.lmtPrice = order.quantity, order.limit
        self._trades[order_id] = self._ib.placeOrder(_theirs(contract), theirs)

    def cancel(self, order_id: int) -> None:
        trade = self._trades.get(order_id)
        if trade is None:
            self._ib.client.cancelOrder(order_id, *([""] if library.__name__ == "ib_async" else []))
        elif not trade.isDone():
            self._ib.cancelOrder(trade.order)

    def until_status(self, order_id: int, status: str) -> None:
        trade = self._trades[order_id]
        self._wait(lambda: trade.orderStatus.status == status, f"status {status} (it is {trade.orderStatus.status})")

    def filled(self, order_id: int) -> float:
        return self._trades[order_id].orderStatus.filled

    def open_orders(self) -> list[Working]:
        return [
            Working(
                trade.order.orderId,
                trade.order.permId,
                trade.orderStatus.status,
                trade.order.action,
                trade.order.totalQuantity,
                trade.order.orderType,
                trade.order.lmtPrice,
                trade.order.orderRef,
                trade.order.parentId,
            )
            for trade in self._ib.reqAllOpenOrders()
        ]

    def completed(self) -> list[tuple[int, str]]:
        return [(trade.order.permId, trade.orderStatus.status) for trade in self._ib.reqCompletedOrders(False)]

    def executions(self) -> list[Fill]:
        self._ib.reqExecutions()  # its own result lacks the commissions of what was known before
        return [
            Fill(
                fill.execution.orderId,
                fill.execution.permId,
                fill.execution.execId,
                fill.contract.secType,
                fill.contract.conId,
                fill.execution.side,
                fill.execution.shares,
                fill.execution.price,
                fill.execution.orderRef,
                f"{fill.execution.time.astimezone():%Y%m%d %H:%M:%S}",
                fill.commissionReport.commission if fill.commissionReport.execId else None,
            )
            for fill in self._ib.fills()
        ]

    def pause(self, seconds: float) -> None:
        self._ib.sleep(seconds)

    def check(self) -> None:
        """Raise Unreadable where something could not be read."""
        if UNREAD.complaints:
            raise Unreadable(UNREAD.complaints[0])

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            self.check()
            assert time.monotonic() < end, f"{what} does not come; heard {self.heard.messages}"
            self._ib.sleep(0.01)


def _theirs(contract: Contract) -> Any:
    legs = [library.ComboLeg(leg.con_id, leg.ratio, leg.action, "SMART") for leg in contract.legs]
    return library.Contract(
        secType=contract.kind,
        conId=contract.con_id,
        symbol=contract.symbol,
        lastTradeDateOrContractMonth=contract.expiry,
        strike=contract.strike,
        right=contract.right,
        multiplier=contract.multiplier,
        exchange="SMART",
        currency="USD",
        tradingClass=contract.trading_class,
        comboLegs=legs,
    )


def _read(contract: Any) -> Contract:
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


def _order(order: Order) -> Any:
    how = {"orderRef": order.ref, "parentId": order.parent, "transmit": order.transmit, "tif": "DAY"}
    if order.stop is not None:
        return library.Order(action=order.action, totalQuantity=order.quantity, orderType=order.type, auxPrice=order.stop, **how)
    return library.Order(action=order.action, totalQuantity=order.quantity, orderType=order.type, lmtPrice=order.limit, **how)


def _quote(ticker: Any) -> Quote:
    found = ticker.modelGreeks
    model = Greeks(found.impliedVol, found.delta, found.gamma, found.vega, found.theta, found.undPrice) if found else None
    return Quote(ticker.bid, ticker.ask, ticker.bidSize, ticker.askSize, model)
