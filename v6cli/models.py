"""The nouns that rooms exchange: frozen, with units, free of any library's types."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from math import isfinite

from msgspec import Struct


class Contract(Struct, frozen=True):
    """What can be held or traded, as IB names it.

    ``con_id`` is IB's contract id and the key everywhere. ``kind`` is IB's security type: STK, OPT, IND, BAG.
    ``right`` is ``C`` or ``P`` and, like ``expiry`` and ``strike``, None where it has no meaning.
    """

    con_id: int
    symbol: str
    kind: str
    expiry: date | None = None
    strike: float | None = None
    right: str | None = None
    multiplier: float = 1.0
    currency: str = "USD"
    exchange: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    @property
    def is_option(self) -> bool:
        """An option, whose greeks come from a model; everything else has delta one."""
        return self.kind in {"OPT", "FOP"}

    def __str__(self) -> str:
        if not self.is_option:
            return f"{self.symbol} combo" if self.kind == "BAG" else self.symbol
        expiry = self.expiry.isoformat() if self.expiry else "?"
        strike = "?" if self.strike is None else f"{self.strike:g}"
        return f"{self.trading_class or self.symbol} {expiry} {strike}{self.right or '?'}"


class Position(Struct, frozen=True):
    """What an account holds of one contract.

    ``quantity`` is in contracts or shares, negative when short. ``average_cost`` is IB's: per contract, multiplier
    included. ``price`` is per share, ``value`` and the P&L are money in the contract's currency; None is unknown.
    """

    account: str
    contract: Contract
    quantity: float
    average_cost: float
    price: float | None = None
    value: float | None = None
    unrealized: float | None = None
    realized: float | None = None


class GreekSource(StrEnum):
    """Where a greek came from; ``missing`` and ``stale`` are unknown, whatever number stands beside them."""

    MODEL = "model"
    COMPUTED = "computed"
    AS_OF_CLOSE = "as of close"
    STALE = "stale"
    MISSING = "missing"


class Greeks(Struct, frozen=True):
    """Greeks of one contract, per share of the underlying.

    ``theta`` is per calendar day, ``vega`` per volatility point, ``implied_volatility`` a fraction (0.2 is 20 %).
    ``at`` is when they were true, in UTC.
    """

    con_id: int
    source: GreekSource
    at: datetime
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    implied_volatility: float | None = None
    price: float | None = None
    underlying_price: float | None = None

    @property
    def known(self) -> bool:
        """Whether these may enter a sum."""
        if self.source is GreekSource.MISSING or self.source is GreekSource.STALE:
            return False
        if self.delta is None or self.gamma is None or self.theta is None or self.vega is None:
            return False
        return isfinite(self.delta + self.gamma + self.theta + self.vega)  # one that is no number makes the sum none


class Account(Struct, frozen=True):
    """The account as IB states it, in ``currency``; None is unknown, never zero."""

    account: str
    currency: str
    at: datetime
    net_liquidation: float | None = None
    cash: float | None = None
    buying_power: float | None = None
    excess_liquidity: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None
    gross_position_value: float | None = None
    unrealized: float | None = None
    realized: float | None = None
    daily: float | None = None


class Fill(Struct, frozen=True):
    """One execution, keyed by ``exec_id``. ``side`` is BOT or SLD; ``commission`` is None until IB reports it."""

    exec_id: str
    account: str
    contract: Contract
    side: str
    quantity: float
    price: float
    at: datetime
    order_id: int
    perm_id: int
    client_id: int
    order_ref: str = ""
    commission: float | None = None
    realized: float | None = None


class Leg(Struct, frozen=True):
    """One contract of a combo: ``ratio`` of it for each combo, bought or sold when the combo is bought."""

    contract: Contract
    ratio: int
    action: str


class Order(Struct, frozen=True):
    """An order as v6 wants it: ``quantity`` of a contract or, with ``legs``, of a combo. ``limit`` is per share; None is at the market.

    ``action`` is BUY or SELL. A combo's limit is the net price of buying it: negative where that brings money in.
    """

    account: str
    contract: Contract
    action: str
    quantity: float
    limit: float | None = None
    legs: tuple[Leg, ...] = ()
    outside_rth: bool = False

    @property
    def changes(self) -> dict[int, float]:
        """By how much a complete fill changes each position, by contract id."""
        sign = 1 if self.action == "BUY" else -1
        if not self.legs:
            return {self.contract.con_id: sign * self.quantity}
        return {leg.contract.con_id: sign * self.quantity * leg.ratio * (1 if leg.action == "BUY" else -1) for leg in self.legs}


class RecordedIntent(Struct, frozen=True):
    """An order that is durably recorded and may be sent: only ``state.intents`` makes one.

    ``order_ref`` names the intent and the attempt; IB returns it as it was sent. ``client_id`` is the one to send it under.
    """

    intent: str
    order_ref: str
    order_id: int
    client_id: int
    closing: bool
    order: Order


class WorkingOrder(Struct, frozen=True):
    """An order alive at the gateway, whoever placed it. ``perm_id`` is its key; ``status`` is IB's word.

    ``legs`` are those of a combo, by contract id, with 1 where buying the combo buys it and -1 where that sells it; none where IB does
    not tell them all.
    """

    perm_id: int
    order_id: int
    client_id: int
    account: str
    contract: Contract
    action: str
    quantity: float
    filled: float
    order_type: str
    status: str
    limit_price: float | None = None
    stop_price: float | None = None
    order_ref: str = ""
    legs: tuple[tuple[int, int], ...] = ()


class CompletedOrder(Struct, frozen=True):
    """An order that came to its end today; IB no longer says which client placed it. ``status`` is IB's word."""

    perm_id: int
    order_ref: str
    status: str
    filled: float


class Severity(StrEnum):
    """How loud an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(Struct, frozen=True):
    """Something the operator should know. The same ``key`` raised again counts up instead of repeating."""

    key: str
    severity: Severity
    text: str
    next_step: str = ""
