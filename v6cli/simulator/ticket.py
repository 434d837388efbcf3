"""An order as somebody describes it, before IB has looked at it."""

from __future__ import annotations

from msgspec import Struct

from v6cli.models import Contract
from v6cli.simulator.orders import ComboLeg


class Ticket(Struct, frozen=True):
    """What is wanted. Prices are per share; None is not set."""

    order_id: int
    client_id: int
    contract: Contract
    legs: tuple[ComboLeg, ...]
    action: str
    quantity: float
    type: str
    limit: float | None
    stop: float | None
    tif: str
    account: str
    order_ref: str
    outside_rth: bool
    parent_id: int
    oca_group: str
    oca_type: int
    transmit: bool
