"""What the account is worth: its cash and positions, the margin they need, what they earned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from v6cli.models import Contract
from v6cli.simulator.holdings import Holding
from v6cli.simulator.margin import requirement
from v6cli.simulator.market import Mark, Market
from v6cli.simulator.orders import Execution


class Valued(Struct, frozen=True):
    """A position with its price per share, and in currency its value and what it has earned."""

    holding: Holding
    price: float
    value: float
    unrealized: float
    realized: float
    daily: float


class Footing(Struct, frozen=True):
    """What orders are measured against at one moment, in currency: what margin can be borrowed on, and the margin that is needed."""

    cash: float
    stock_value: float
    initial_margin: float
    maintenance_margin: float

    @property
    def equity_with_loan(self) -> float:
        """What margin can be borrowed on: options are none of it."""
        return self.cash + self.stock_value

    @property
    def available_funds(self) -> float:
        """Free for new positions."""
        return self.equity_with_loan - self.initial_margin

    @property
    def excess_liquidity(self) -> float:
        """Below zero, the broker closes positions."""
        return self.equity_with_loan - self.maintenance_margin


class Standing(Footing, frozen=True, kw_only=True):
    """The whole account at one moment, in currency; ``closed`` are the positions closed today. Cash and the positions' values add up to ``net_liquidation``."""

    positions: list[Valued]
    option_value: float
    gross_value: float
    unrealized: float
    realized: float
    daily: float
    closed: list[Valued]

    @property
    def net_liquidation(self) -> float:
        """What would be left if everything were closed at its mark."""
        return self.cash + self.stock_value + self.option_value


def footing(holdings: Sequence[Holding], cash: float, market: Market, now: datetime) -> Footing:
    """What orders are measured against as of ``now``: neither what was earned nor yesterday's prices come into it."""
    return _footing(holdings, market.marks([holding.contract for holding in holdings], now), cash)


def _footing(holdings: Sequence[Holding], marks: Sequence[Mark], cash: float) -> Footing:
    margin = requirement(holdings, [mark.price for mark in marks], [mark.spot for mark in marks])
    stocks = [_worth(holding, mark.price) for holding, mark in zip(holdings, marks, strict=True) if not holding.contract.is_option]
    return Footing(round(cash, 2), round(sum(stocks), 2), initial_margin=margin, maintenance_margin=margin)


def standing(holdings: Sequence[Holding], cash: float, fills: Iterable[Execution], market: Market, now: datetime) -> Standing:
    """Value the account as of ``now``; ``fills`` are today's. What was closed today still counts towards the day's P&L."""
    today = _by_contract(fills)
    contracts = [holding.contract for holding in holdings]
    marks = market.marks(contracts, now)
    closes = market.previous_close(contracts, now).tolist()
    positions = [
        _value(holding, mark.price, close, today.get(holding.contract.con_id, []))
        for holding, mark, close in zip(holdings, marks, closes, strict=True)
    ]
    closed = _closed(contracts, today, market, now)
    options = [each.value for each in positions if each.holding.contract.is_option]
    base = _footing(holdings, marks, cash)
    return Standing(
        base.cash,
        base.stock_value,
        base.initial_margin,
        base.maintenance_margin,
        positions=positions,
        option_value=round(sum(options), 2),
        gross_value=round(sum(abs(each.value) for each in positions), 2),
        unrealized=round(sum(each.unrealized for each in positions), 2),
        realized=round(sum(fill.realized or 0.0 for held in today.values() for fill in held), 2),
        daily=round(sum(each.daily for each in [*positions, *closed]), 2),
        closed=closed,
    )


def _closed(held: list[Contract], today: dict[int, list[Execution]], market: Market, now: datetime) -> list[Valued]:
    """What was traded today and is no longer held, with what it earned."""
    kept = {contract.con_id for contract in held}
    closed = [fills for con_id, fills in today.items() if con_id not in kept]
    contracts = [fills[0].contract for fills in closed]
    marks, closes = market.marks(contracts, now), market.previous_close(contracts, now).tolist()
    return [
        _value(Holding(fills[0].contract, 0.0, 0.0), mark.price, close, fills)
        for mark, close, fills in zip(marks, closes, closed, strict=True)
    ]


def _by_contract(fills: Iterable[Execution]) -> dict[int, list[Execution]]:
    found: dict[int, list[Execution]] = {}
    for fill in fills:
        if not fill.is_summary:  # its legs are there as well
            found.setdefault(fill.contract.con_id, []).append(fill)
    return found


def _value(holding: Holding, price: float, closed_at: float, fills: list[Execution]) -> Valued:
    multiplier = holding.contract.multiplier
    value = _worth(holding, price)
    # What was traded today earns from its own price on, not from yesterday's close.
    traded = sum(fill.signed_quantity for fill in fills)
    spent = sum(fill.signed_quantity * fill.price for fill in fills) * multiplier
    daily = value - (holding.quantity - traded) * closed_at * multiplier - spent
    return Valued(
        holding,
        price,
        value,
        unrealized=round(value - holding.quantity * holding.average_cost, 2),
        realized=round(sum(fill.realized or 0.0 for fill in fills), 2),
        daily=round(daily, 2),
    )


def _worth(holding: Holding, price: float) -> float:
    return round(holding.quantity * price * holding.contract.multiplier, 2)


def values(state: Standing, account: str) -> list[tuple[str, str, str]]:
    """The account's values as IB names them: tag, value, currency."""
    net = state.net_liquidation
    money = {
        "NetLiquidation": net,
        "TotalCashValue": state.cash,
        "SettledCash": state.cash,
        "EquityWithLoanValue": state.equity_with_loan,
        "GrossPositionValue": state.gross_value,
        "BuyingPower": max(0.0, 4 * state.available_funds),
        "AvailableFunds": state.available_funds,
        "ExcessLiquidity": state.excess_liquidity,
        "InitMarginReq": state.initial_margin,
        "MaintMarginReq": state.maintenance_margin,
        "FullInitMarginReq": state.initial_margin,
        "FullMaintMarginReq": state.maintenance_margin,
        "FullAvailableFunds": state.available_funds,
        "FullExcessLiquidity": state.excess_liquidity,
        "LookAheadInitMarginReq": state.initial_margin,
        "LookAheadMaintMarginReq": state.maintenance_margin,
        "LookAheadAvailableFunds": state.available_funds,
        "LookAheadExcessLiquidity": state.excess_liquidity,
        "PreviousDayEquityWithLoanValue": state.equity_with_loan,
        "RegTEquity": state.equity_with_loan,
        "RegTMargin": state.initial_margin,
        "SMA": state.available_funds,
        "AccruedCash": 0.0,
    }
    words = {
        "AccountCode": account,
        "AccountReady": "true",
        "AccountType": "INDIVIDUAL",
        "Cushion": f"{max(0.0, state.excess_liquidity / net) if net > 0 else 0.0:.6f}",
        "DayTradesRemaining": "-1",
        "Leverage-S": f"{state.gross_value / net if net > 0 else 0.0:.2f}",
        "LookAheadNextChange": "0",
    }
    return [
        *((tag, text, "") for tag, text in words.items()),
        *((tag, f"{amount:.2f}", "USD") for tag, amount in money.items()),
        *ledger(state),
    ]


def ledger(state: Standing) -> list[tuple[str, str, str]]:
    """The part IB states per currency, and for all of them together as BASE."""
    amounts = {
        "CashBalance": state.cash,
        "TotalCashBalance": state.cash,
        "StockMarketValue": state.stock_value,
        "OptionMarketValue": state.option_value,
        "NetLiquidationByCurrency": state.net_liquidation,
        "UnrealizedPnL": state.unrealized,
        "RealizedPnL": state.realized,
        "NetDividend": 0.0,
    }
    found = []
    for currency in ("BASE", "USD"):
        found += [("Currency", currency, currency), ("ExchangeRate", "1.00", currency)]
        found += [(tag, f"{amount:.2f}", currency) for tag, amount in amounts.items()]
    return found
