"""What the conversation says and hears, in words that no client library owns; each library has an adapter that speaks them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

HOST = "127.0.0.1"
#: Seconds within which a simulated gateway answers, however busy the machine.
PATIENCE = 20.0


class NotAdmitted(Exception):
    """The gateway did not let this client in; ``codes`` are what it said."""

    def __init__(self, codes: list[int]) -> None:
        super().__init__(f"not admitted: {codes}")
        self.codes = codes


class Unreadable(AssertionError):
    """The client library could not read what the gateway sent."""


@dataclass(frozen=True)
class Leg:
    con_id: int
    ratio: int
    action: str


@dataclass(frozen=True)
class Contract:
    symbol: str
    kind: str
    con_id: int = 0
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    trading_class: str = ""
    multiplier: str = ""
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True)
class Details:
    contract: Contract
    name: str
    min_tick: float
    exchanges: list[str]
    rules: list[str]
    under_con_id: int


@dataclass(frozen=True)
class Chain:
    exchange: str
    trading_class: str
    under_con_id: int
    multiplier: str
    expiries: frozenset[str]
    strikes: frozenset[float]


@dataclass(frozen=True)
class Greeks:
    volatility: float
    delta: float
    gamma: float
    vega: float
    theta: float
    spot: float


@dataclass
class Quote:
    """What is known of a contract's market; ``greeks`` are the model's."""

    bid: float = -1.0
    ask: float = -1.0
    bid_size: float = 0.0
    ask_size: float = 0.0
    greeks: Greeks | None = None


@dataclass(frozen=True)
class Order:
    action: str
    quantity: float
    type: str
    limit: float | None = None
    stop: float | None = None
    ref: str = ""
    parent: int = 0
    transmit: bool = True


@dataclass(frozen=True)
class Margins:
    """A what-if's answer as the library hands it out, sums still in writing."""

    initial_change: str
    maintenance_change: str
    equity_after: str
    commission: float


@dataclass(frozen=True)
class Working:
    """An order as the gateway lists it."""

    id: int
    perm_id: int
    status: str
    action: str
    quantity: float
    type: str
    limit: float
    ref: str
    parent: int


@dataclass(frozen=True)
class Fill:
    """An execution; ``commission`` is None where no report came with it."""

    order_id: int
    perm_id: int
    exec_id: str
    kind: str
    con_id: int
    side: str
    quantity: float
    price: float
    ref: str
    time: str
    commission: float | None


class Unread(logging.Handler):
    """What a library's decoder complains of. It logs that and goes on, so this is where it is noticed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.complaints.append(self.format(record))


@dataclass
class Heard:
    """IB's messages to a client: request or order id, and code."""

    messages: list[tuple[int, int]] = field(default_factory=list)

    def codes(self, id_: int) -> list[int]:
        return [code for about, code in self.messages if about == id_]


class Client(Protocol):
    """A client library, asked in sequence; whatever takes longer than PATIENCE, or cannot be read, fails."""

    heard: Heard

    def connect(self, port: int, client_id: int, patience: float = PATIENCE) -> None:
        """Connect and wait until orders can be placed. Raises NotAdmitted."""

    def disconnect(self) -> None: ...

    def check(self) -> None:
        """Raise Unreadable where something could not be read so far."""

    def pause(self, seconds: float) -> None:
        """Let time pass in which the client goes on hearing."""

    def accounts(self) -> list[str]: ...

    def account_values(self) -> dict[str, str]: ...

    def summary(self) -> dict[str, str]: ...

    def positions(self) -> dict[int, float]: ...

    def chains(self, symbol: str, con_id: int) -> list[Chain]: ...

    def details(self, contract: Contract) -> list[Details]: ...

    def snapshot(self, contract: Contract) -> Quote: ...

    def stream(self, contract: Contract, changes: int) -> Quote:
        """The quote of a stream once it has its greeks and has changed so often; then the stream is cancelled."""

    def closes(self, contract: Contract) -> list[tuple[str, float]]:
        """Day and close of the last days."""

    def what_if(self, contract: Contract, order: Order) -> Margins: ...

    def next_id(self) -> int: ...

    def place(self, contract: Contract, order: Order, order_id: int) -> None: ...

    def cancel(self, order_id: int) -> None: ...

    def until_status(self, order_id: int, status: str) -> None: ...

    def filled(self, order_id: int) -> float: ...

    def open_orders(self) -> list[Working]: ...

    def completed(self) -> list[tuple[int, str]]:
        """Permanent id and status of orders that have come to their end."""

    def executions(self) -> list[Fill]: ...
