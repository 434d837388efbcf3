"""What IB charges for a fill, in US dollars."""

from __future__ import annotations

from v6cli.models import Contract
from v6cli.simulator.orders import Order

PER_CONTRACT = 0.65
PER_SHARE = 0.005
LEAST = 1.00


def by_size(contract: Contract, quantity: float) -> float:
    """The charge for so many contracts or shares, before the minimum of an order."""
    return abs(quantity) * (PER_CONTRACT if contract.is_option else PER_SHARE)


def charge(order: Order, contract: Contract, quantity: float) -> float:
    """Charge ``order`` for a fill: its first one bears the order's minimum, and later ones only what goes beyond it."""
    order.fees = round(order.fees + by_size(contract, quantity), 4)
    due = max(LEAST, order.fees)
    fee = round(due - order.charged, 4)
    order.charged = due
    return fee
