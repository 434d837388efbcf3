"""From the library's objects to v6's nouns and back; nothing of the library leaves this room."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from v6cli.errors import Unavailable
from v6cli.models import Account, CompletedOrder, Contract, Fill, Position, RecordedIntent, WorkingOrder

_UNSET = 1e300  # IB's "no value" for a float is 1.797e308


def number(value: Any) -> float | None:
    """A number as IB sends it; None where it sends nothing, NaN or its mark for unset."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(result) or abs(result) > _UNSET else result


def day(text: str) -> date | None:
    """A date as IB writes it, ``20261218`` with or without a time after it; a month alone is none."""
    try:
        return date.fromisoformat(text[:8])
    except ValueError:
        return None


def contract(raw: Any) -> Contract:
    """A contract. IB marks a right or a strike that has no meaning as ``0`` or ``?``.

    Raises Unavailable for an option that lacks a part: whatever were put in its place would enter sums, sizes and prices.
    """
    right = raw.right[:1].upper()
    multiplier = number(raw.multiplier) or None
    own = Contract(
        con_id=int(raw.conId),
        symbol=raw.symbol,
        kind=raw.secType,
        expiry=day(raw.lastTradeDateOrContractMonth),
        strike=number(raw.strike) or None,
        right=right if right in {"C", "P"} else None,
        multiplier=1.0 if multiplier is None else multiplier,
        currency=raw.currency,
        exchange=raw.exchange,
        local_symbol=raw.localSymbol,
        trading_class=raw.tradingClass,
    )
    parts = {"expiry": own.expiry, "strike": own.strike, "right": own.right, "multiplier": multiplier}
    lacking = [name for name, part in parts.items() if part is None or (isinstance(part, float) and part < 0)]
    if own.is_option and lacking:
        raise Unavailable(
            f"the gateway's answer cannot be used: the option {own.local_symbol or own.symbol} (contract {own.con_id}) "
            f"has no {', no '.join(lacking)}",
            next_step="look at the contract in TWS, then: v6 sync --force",
        )
    return own


def for_request(own: Contract, library: Any) -> Any:
    """A contract as a request names it: by contract id, routed SMART unless it is an index."""
    exchange = own.exchange if own.kind == "IND" and own.exchange else "SMART"
    return library.Contract(conId=own.con_id, symbol=own.symbol, secType=own.kind, exchange=exchange, currency=own.currency)


def for_order(recorded: RecordedIntent, library: Any) -> tuple[Any, Any]:
    """An order as the library sends it: what is traded, and how."""
    own = recorded.order
    traded = for_request(own.contract, library)
    if own.legs:
        traded.exchange = "SMART"
        traded.comboLegs = [
            library.ComboLeg(conId=leg.contract.con_id, ratio=leg.ratio, action=leg.action, exchange="SMART") for leg in own.legs
        ]
    order = library.Order(
        orderId=recorded.order_id,
        clientId=recorded.client_id,
        account=own.account,
        action=own.action,
        totalQuantity=own.quantity,
        orderType="MKT" if own.limit is None else "LMT",
        tif="DAY",
        orderRef=recorded.order_ref,
        outsideRth=own.outside_rth,
    )
    if own.limit is not None:
        order.lmtPrice = own.limit
    return traded, order


def position(raw: Any, line: Any | None) -> Position:
    """A position, with price, value and P&L from the account's portfolio ``line`` where there is one for the same size."""
    own = contract(raw.contract)
    quantity, cost = float(raw.position), float(raw.avgCost)
    if line is None or float(line.position) != quantity:
        return Position(raw.account, own, quantity, cost)
    return Position(
        raw.account,
        own,
        quantity,
        cost,
        price=number(line.marketPrice),
        value=number(line.marketValue),
        unrealized=number(line.unrealizedPNL),
        realized=number(line.realizedPNL),
    )


_TAGS: Mapping[str, str] = {
    "NetLiquidation": "net_liquidation",
    "TotalCashValue": "cash",
    "BuyingPower": "buying_power",
    "ExcessLiquidity": "excess_liquidity",
    "InitMarginReq": "initial_margin",
    "MaintMarginReq": "maintenance_margin",
    "GrossPositionValue": "gross_position_value",
    "UnrealizedPnL": "unrealized",
    "RealizedPnL": "realized",
}


def account(name: str, values: list[Any], daily: float | None, at: datetime) -> Account:
    """The account from its values; its currency is the one in which IB states net liquidation."""
    own = [value for value in values if value.account == name]
    currency = next((value.currency for value in own if value.tag == "NetLiquidation"), "USD")
    found = {_TAGS[value.tag]: number(value.value) for value in own if value.tag in _TAGS and value.currency == currency}
    return Account(account=name, currency=currency, at=at, daily=daily, **found)


def fill(raw: Any) -> Fill:
    """An execution with its commission, where IB has reported that."""
    execution, report = raw.execution, raw.commissionReport
    reported = bool(report.execId)
    return Fill(
        exec_id=execution.execId,
        account=execution.acctNumber,
        contract=contract(raw.contract),
        side=execution.side,
        quantity=float(execution.shares),
        price=float(execution.price),
        at=execution.time.astimezone(UTC),
        order_id=int(execution.orderId),
        perm_id=int(execution.permId),
        client_id=int(execution.clientId),
        order_ref=execution.orderRef,
        commission=number(report.commission) if reported else None,
        realized=number(report.realizedPNL) if reported else None,
    )


def working_order(raw: Any) -> WorkingOrder:
    """An open order."""
    return _order(raw, contract(raw.contract))


def any_order(raw: Any) -> WorkingOrder:
    """An open order, also one whose contract lacks a part: in an emergency it is named as far as it is known."""
    own = raw.contract
    try:
        return working_order(raw)
    except Unavailable:
        return _order(raw, Contract(int(own.conId), own.symbol, own.secType, local_symbol=own.localSymbol))


def _order(raw: Any, own: Contract) -> WorkingOrder:
    order = raw.order
    return WorkingOrder(
        perm_id=int(order.permId),
        order_id=int(order.orderId),
        client_id=int(order.clientId),
        account=order.account,
        contract=own,
        action=order.action,
        quantity=float(order.totalQuantity),
        filled=float(raw.orderStatus.filled),
        order_type=order.orderType,
        status=raw.orderStatus.status,
        limit_price=number(order.lmtPrice),
        stop_price=number(order.auxPrice),
        order_ref=order.orderRef,
        legs=_legs(raw.contract),
    )


def _legs(raw: Any) -> tuple[tuple[int, int], ...]:
    """The legs of a combo; none where one of them is not told: which contracts such an order changes is not known."""
    legs = tuple((int(leg.conId), 1 if leg.action.startswith("B") else -1) for leg in raw.comboLegs or ())
    return legs if all(con_id for con_id, _ in legs) else ()


def completed_order(raw: Any) -> CompletedOrder:
    """An order that has ended."""
    return CompletedOrder(int(raw.order.permId), raw.order.orderRef, raw.orderStatus.status, number(raw.order.filledQuantity) or 0.0)


def order_in_full(raw: Any) -> dict[str, Any]:
    """All that IB says of an open order that is not what the library takes for unsaid: ``order``, ``contract`` and ``status``."""
    return {"order": _said(raw.order), "contract": _said(raw.contract), "status": _said(raw.orderStatus)}


def _said(raw: Any) -> dict[str, Any]:
    """The fields of one of the library's dataclasses that say something, as JSON can write them."""
    from dataclasses import fields, is_dataclass

    found: dict[str, Any] = {}
    for one in fields(raw):
        value = getattr(raw, one.name)
        if isinstance(value, list | tuple):
            if value:
                found[one.name] = [_said(each) if is_dataclass(each) else str(each) for each in value]
        elif is_dataclass(value):
            found[one.name] = _said(value)
        elif value is not None and value != one.default and value == value:  # noqa: PLR0124  NaN says nothing
            found[one.name] = value if isinstance(value, bool | int | float) else str(value)
    return found
