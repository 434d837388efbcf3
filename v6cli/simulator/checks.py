"""What IB refuses before it takes an order, with its codes and words."""

from __future__ import annotations

from datetime import datetime

from v6cli.errors import V6Error
from v6cli.simulator import matching
from v6cli.simulator.account import Account
from v6cli.simulator.floor import Floor
from v6cli.simulator.orders import Order

TYPES = {"LMT", "MKT", "STP", "STP LMT"}
TIMES = {"DAY", "GTC", "IOC"}
MOST_CONTRACTS = 20_000
MOST_SHARES = 1_000_000
MOST_PRICE = 1_000_000.0
_FAR_BEYOND = 2.0


class Refused(V6Error):
    """An order or a cancel that is not taken: IB's code and words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class PriceCap(Refused):
    """A price that the exchange does not accept: a new order is cancelled for it, a change is not made."""

    def __init__(self, reason: str) -> None:
        super().__init__(202, f"Order Canceled - reason:{reason}")
        self.reason = reason


def _invalid(cause: str) -> Refused:
    return Refused(321, f"Error validating request.-'bY' : cause - {cause}")


def check_ticket(order: Order, account: Account, floor: Floor, now: datetime) -> None:
    """Raise Refused unless IB would take ``order`` as it is described."""
    _check_words(order, account)
    _check_size(order)
    if floor.session(order, now) is None:
        raise Refused(200, "No security definition has been found for the request")
    check_price(order, floor, now)


def _check_words(order: Order, account: Account) -> None:
    if order.type not in TYPES:
        raise Refused(387, f"Unsupported order type for this exchange and security type: {order.type[:20] or 'none'}")
    if order.action not in {"BUY", "SELL"}:
        raise _invalid(f"Invalid action '{order.action[:20]}'")
    if order.tif not in TIMES:
        raise Refused(10052, f"Invalid time in force: {order.tif[:20]}")
    if order.account not in account.ids:
        raise _invalid(f"Invalid account code '{order.account[:40]}'.")
    if order.account != account.id:
        raise Refused(201, f"Order rejected - reason:No trading permissions for account {order.account}")
    if order.contract.kind == "IND":
        raise Refused(201, "Order rejected - reason:An index cannot be traded")


def _check_size(order: Order) -> None:
    if order.quantity == 0:
        raise Refused(434, "The order size cannot be zero.")
    if order.quantity < 0:
        raise _invalid("The order size must be positive")
    if order.quantity != int(order.quantity):
        raise Refused(10243, "Fractional-sized order cannot be placed via API. Please place this order in a desktop version of TWS.")
    most = MOST_SHARES if order.contract.kind == "STK" else MOST_CONTRACTS
    if order.quantity * max((leg.ratio for leg in order.legs), default=1) > most:
        raise Refused(201, f"Order rejected - reason:The order size exceeds the limit of {most} for this contract")


def check_price(order: Order, floor: Floor, now: datetime) -> None:
    """Raise Refused for a price that is missing, off the exchange's steps, or too far through the market."""
    if (order.limit is None and order.type in {"LMT", "STP LMT"}) or (order.stop is None and order.type in {"STP", "STP LMT"}):
        raise _invalid("Please enter a valid price")
    for price in (order.limit, order.stop):
        if price is None:
            continue
        # What rounds to nothing would be on every step.
        if (round(price, 6) <= 0 and not order.legs) or abs(price) > MOST_PRICE:
            raise _invalid(f"The price {price:g} is invalid")
        if not matching.is_on_step(order, price):
            raise Refused(110, "The price does not conform to the minimum price variation for this contract.")
    _check_distance(order, floor, now)


def _check_distance(order: Order, floor: Floor, now: datetime) -> None:
    """A limit far through the market is a slip of the finger: IB's presets stop it, and what passes them, the exchange."""
    if order.limit is None or order.type != "LMT":
        return
    market = matching.sides(order, floor.quotes([order], now))
    side = market.ask if order.sign > 0 else market.bid
    if side is None:
        return
    room = 0.1 * side if order.contract.kind == "STK" else max(1.0, 0.5 * abs(side))
    beyond = (order.limit - side) * order.sign
    if beyond > _FAR_BEYOND * room:
        raise Refused(
            109, "Price is out of the range defined by the Percentage Setting at order defaults frame. The order will not be transmitted."
        )
    if beyond > room:
        raise PriceCap(
            "We cannot accept an order at the limit price you selected. Please submit your order using a limit "
            f"price that is closer to the current market price of {side:g}."
        )


def check_change(order: Order, changed: Order) -> None:
    """Raise Refused unless ``changed`` may take the place of ``order``."""
    if order.status == "PendingCancel":
        raise Refused(201, "Order rejected - reason:The order is being cancelled.")
    if (order.contract.con_id, order.legs, order.action, order.account) != (
        changed.contract.con_id,
        changed.legs,
        changed.action,
        changed.account,
    ):
        raise Refused(105, "Order being modified does not match original order.")
    if order.type != changed.type and (order.stop is None) != (changed.stop is None):
        raise Refused(329, "Order modify failed. Cannot change to the new order type.")
    if changed.quantity < order.filled:
        raise Refused(105, "Order being modified does not match original order: less than what has been filled.")
