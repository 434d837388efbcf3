"""What filled of an order since it was seen working, as executions tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from v6cli.models import Fill, WorkingOrder


def since(order: WorkingOrder, seen_at: datetime, fills: Sequence[Fill]) -> float | None:
    """How much of an order filled since it was seen. None where that is unknown: of a combination only its legs may be told."""
    # IB's clock is not this machine's: of an order that had no fill, each one is a later one.
    later = [fill for fill in fills if _is_of(fill, order) and (not order.filled or fill.at > seen_at)]
    own = [fill.quantity for fill in later if fill.contract.kind == order.contract.kind]
    return None if later and not own else sum(own)


def _is_of(fill: Fill, order: WorkingOrder) -> bool:
    """IB gives an order its number only once it has it; until then it is known by who placed it."""
    if order.perm_id:
        return fill.perm_id == order.perm_id
    return (fill.client_id, fill.order_id) == (order.client_id, order.order_id)
