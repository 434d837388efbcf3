"""The long messages about orders, field by field, as the client libraries' decoders read them at server version 157."""

from __future__ import annotations

from v6cli import clock
from v6cli.simulator.answers.account import contract_fields
from v6cli.simulator.funds import Effect
from v6cli.simulator.orders import Execution, Order
from v6cli.simulator.sessions import ZONE_NAME
from v6cli.simulator.wire import UNSET, Value

OPEN_ORDER = 5
ORDER_STATUS = 3
EXECUTION = 11
COMMISSION = 59

#: What IB says of the nine margins around an order, unless a what-if asked.
_NO_MARGINS = (UNSET,) * 9


def open_order(order: Order, *, margins: tuple[Value, ...] = _NO_MARGINS, fee: Value = "", what_if: bool = False) -> list[Value]:
    """5: an order as it stands. ``margins`` and ``fee`` (the commission) are a what-if's answer."""
    return [
        OPEN_ORDER,
        order.order_id,
        *contract_fields(order.contract, "SMART"),
        order.action,
        order.quantity,
        order.type,
        order.limit if order.limit is not None else 0.0,
        order.stop if order.stop is not None else 0.0,
        order.tif,
        order.oca_group,
        order.account,
        "",  # open or close
        0,  # origin
        order.order_ref,
        order.client_id,
        order.perm_id,
        order.outside_rth,
        0,  # hidden
        0,  # discretionary amount
        "",  # good after
        "",  # shares allocation, obsolete
        *("",) * 4,  # adviser group, method, percentage, profile
        "",  # model
        "",  # good till
        "",  # rule 80A
        "",  # percent offset
        "",  # settling firm
        0,  # short sale slot
        "",  # designated location
        -1,  # exempt code
        0,  # auction strategy
        *("",) * 5,  # starting price, reference price, delta, range
        "",  # display size
        *(0,) * 3,  # block, sweep, all or none
        "",  # minimum quantity
        order.oca_type if order.oca_group else 0,
        *(0,) * 2,  # electronic trade only, firm quote only
        "",  # NBBO cap
        order.parent_id,
        0,  # trigger method
        "",  # volatility
        0,  # volatility type
        *("",) * 2,  # delta-neutral order and its price: eight more fields would follow a named one
        0,  # continuous update
        0,  # reference price type
        "",  # trailing stop price
        "",  # trailing percent
        *("",) * 2,  # basis points
        *_legs(order),
        *("",) * 3,  # scale
        "",  # hedge
        0,  # opted out of smart routing
        *("", "IB"),  # clearing account, intent
        0,  # not held
        0,  # delta-neutral contract
        "",  # algorithm
        0,  # solicited
        what_if,
        order.status,
        *margins,
        fee,
        *("",) * 2,  # least and most commission
        "USD" if what_if else "",
        "",  # warning
        *(0,) * 2,  # randomized size, price
        0,  # conditions
        "None",  # adjusted order
        *("",) * 6,
        0,  # unit of the adjusted trailing amount
        *("",) * 3,  # soft dollar tier
        0,  # cash quantity
        0,  # do not use the automatic price for a hedge
        *(0,) * 2,  # OMS container, discretionary up to the limit
        "",  # price management
    ]


def margins(found: Effect) -> tuple[Value, ...]:
    """A what-if's nine sums: initial and maintenance margin and equity with loan value, before, changed by, and after."""
    before, after = ((state.initial_margin, state.maintenance_margin, state.equity_with_loan) for state in (found.before, found.after))
    changes = (round(late - early, 2) for early, late in zip(before, after, strict=True))
    return tuple(f"{amount:.2f}" for amount in (*before, *changes, *after))


def _legs(order: Order) -> list[Value]:
    """The description of a combo's legs, the legs, no prices of single legs, and how the combo is routed."""
    described = ",".join(f"{leg.con_id}|{leg.ratio if leg.action == 'BUY' else -leg.ratio}" for leg in order.legs)
    fields: list[Value] = [described, len(order.legs)]
    for leg in order.legs:
        fields += [leg.con_id, leg.ratio, leg.action, leg.exchange, 0, 0, "", -1]
    return [*fields, 0, *((1, "NonGuaranteed", "0") if order.legs else (0,))]


def order_status(order: Order) -> list[Value]:
    """3: how far an order has come."""
    return [
        ORDER_STATUS,
        order.order_id,
        order.status,
        order.filled,
        order.quantity - order.filled,
        order.average_price,
        order.perm_id,
        order.parent_id,
        order.last_price,
        order.client_id,
        order.why_held,
        0.0,
    ]


def completed_order(order: Order) -> list[Value]:
    """101: an order that came to its end; it carries neither order id nor client id."""
    ended = order.completed or clock.now()
    return [
        101,
        *contract_fields(order.contract, "SMART"),
        order.action,
        order.quantity,
        order.type,
        order.limit if order.limit is not None else 0.0,
        order.stop if order.stop is not None else 0.0,
        order.tif,
        order.oca_group,
        order.account,
        "",  # open or close
        0,  # origin
        order.order_ref,
        order.perm_id,
        order.outside_rth,
        0,  # hidden
        0,  # discretionary amount
        "",  # good after
        *("",) * 4,  # adviser group, method, percentage, profile
        "",  # model
        "",  # good till
        "",  # rule 80A
        "",  # percent offset
        "",  # settling firm
        0,  # short sale slot
        "",  # designated location
        -1,  # exempt code
        *("",) * 5,  # starting price, reference price, delta, range
        "",  # display size
        *(0,) * 2,  # sweep, all or none
        "",  # minimum quantity
        order.oca_type if order.oca_group else 0,
        0,  # trigger method
        "",  # volatility
        0,  # volatility type
        *("",) * 2,  # delta-neutral order and its price: four more fields would follow a named one
        0,  # continuous update
        0,  # reference price type
        "",  # trailing stop price
        "",  # trailing percent
        *_legs(order),
        *("",) * 3,  # scale
        "",  # hedge
        *("", "IB"),  # clearing account, intent
        0,  # not held
        0,  # delta-neutral contract
        "",  # algorithm
        0,  # solicited
        order.status,
        *(0,) * 2,  # randomized size, price
        0,  # conditions
        *("",) * 2,  # trailing stop price, limit offset
        0,  # cash quantity
        0,  # do not use the automatic price for a hedge
        0,  # OMS container
        "",  # cancels itself on
        order.filled,
        0,  # reference contract
        0,  # cancels itself with its parent
        "",  # shareholder
        *(0,) * 2,  # imbalance only, routed marketable
        0,  # parent's permanent id
        f"{ended.astimezone(clock.eastern()):%Y%m%d %H:%M:%S} {ZONE_NAME}",
        order.ended_by or "Cancelled by Trader",
    ]


def execution(id_: int, fill: Execution, contract: tuple[Value, ...]) -> list[Value]:
    """11: a fill, in 31 fields; ``id_`` is -1 when nobody asked."""
    return [
        EXECUTION,
        id_,
        fill.order_id,
        *contract,
        fill.exec_id,
        f"{fill.at.astimezone(clock.eastern()):%Y%m%d %H:%M:%S} {ZONE_NAME}",
        fill.account,
        venue(fill),
        fill.side,
        fill.quantity,
        fill.price,
        fill.perm_id,
        fill.client_id,
        fill.liquidation,
        fill.cumulative or fill.quantity,
        fill.average if fill.cumulative else fill.price,
        fill.order_ref,
        "",  # economic value rule
        "",  # its multiplier
        "",  # model
        2,  # removed liquidity
    ]


def venue(fill: Execution) -> str:
    """The exchange that a fill happened at."""
    return "ARCA" if fill.contract.kind == "STK" else "CBOE"


def commission(fill: Execution) -> list[Value]:
    """59: what a fill cost and realized."""
    return [COMMISSION, 1, fill.exec_id, fill.commission, "USD", fill.realized if fill.realized is not None else UNSET, UNSET, ""]
