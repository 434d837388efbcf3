"""Orders and fills as the gateway knows them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from v6cli.models import Contract

#: The contract that IB names for every combo of US legs.
COMBO_ID = 28812380


class ComboLeg(Struct, frozen=True):
    """One leg of a combo, per unit of it."""

    con_id: int
    ratio: int
    action: str
    exchange: str = "SMART"

    @property
    def signed_ratio(self) -> int:
        """Bought is positive, when the combo itself is bought."""
        return self.ratio if self.action == "BUY" else -self.ratio


class Order(Struct):
    """An order at the gateway, alive or done. Prices are per share; None is not set.

    ``completed`` is when it came to its end, and ``ended_by`` IB's words for how. ``expires`` is when its time in force
    runs out. ``triggered`` is whether a stop's price was reached. ``cancel_due`` is when a cancel that was asked for is
    carried out. ``fees`` are what its fills so far cost by the contract, ``charged`` what was charged for them, minimum
    included. ``reserved_each`` is the equity that each unit still to be filled keeps from other orders, in currency.
    ``liquidation`` is 1 for one by which IB closes a position by itself. ``leg_averages`` are what a combo's legs filled at so
    far, on average, by contract id.
    """

    order_id: int
    client_id: int
    perm_id: int
    account: str
    contract: Contract
    action: str
    quantity: float
    type: str
    limit: float | None = None
    stop: float | None = None
    tif: str = "DAY"
    order_ref: str = ""
    status: str = "Submitted"
    filled: float = 0.0
    average_price: float = 0.0
    last_price: float = 0.0
    parent_id: int = 0
    oca_group: str = ""
    why_held: str = ""
    outside_rth: bool = False
    legs: tuple[ComboLeg, ...] = ()
    completed: datetime | None = None
    oca_type: int = 3
    transmit: bool = True
    triggered: bool = False
    expires: datetime | None = None
    cancel_due: datetime | None = None
    ended_by: str = ""
    fees: float = 0.0
    charged: float = 0.0
    reserved_each: float = 0.0
    liquidation: int = 0
    leg_averages: dict[int, float] = {}

    @property
    def alive(self) -> bool:
        """Whether it can still fill; an inactive order that has not ended waits for a person and counts as alive."""
        return self.completed is None

    @property
    def remaining(self) -> float:
        """What is still to be filled."""
        return self.quantity - self.filled

    @property
    def sign(self) -> int:
        """1 when it buys, -1 when it sells."""
        return 1 if self.action == "BUY" else -1

    @property
    def key(self) -> tuple[int, int]:
        """Client id and order id: how a client names it."""
        return self.client_id, self.order_id


class Execution(Struct, frozen=True):
    """A fill, with what IB charged for it.

    ``realized`` is the P&L it realized, None for an opening one. ``cumulative`` and ``average`` are of the order after
    this fill; 0 where this fill was all of it. ``liquidation`` is its order's. A combo's own line, which only sums its legs up, is of the kind BAG.
    """

    exec_id: str
    order_id: int
    client_id: int
    perm_id: int
    account: str
    contract: Contract
    side: str
    quantity: float
    price: float
    at: datetime
    order_ref: str = ""
    commission: float = 0.0
    realized: float | None = None
    cumulative: float = 0.0
    average: float = 0.0
    liquidation: int = 0

    @property
    def signed_quantity(self) -> float:
        """Bought is positive."""
        return self.quantity if self.side == "BOT" else -self.quantity

    @property
    def is_summary(self) -> bool:
        """Whether it sums up a combo's legs: they move positions and money, it does not."""
        return self.contract.kind == "BAG"


def combo(symbol: str) -> Contract:
    """The contract of a combo on ``symbol``."""
    return Contract(COMBO_ID, symbol, "BAG", exchange="SMART", local_symbol=str(COMBO_ID), trading_class="COMB")
