"""What a client has asked to be kept up to date about."""

from __future__ import annotations

from msgspec import Struct

from v6cli.models import Contract
from v6cli.simulator.orders import ComboLeg
from v6cli.simulator.wire import Value


class Stream(Struct):
    """A market-data line. ``sent`` holds the last tick of each kind, so that only changes are pushed."""

    contract: Contract
    legs: tuple[ComboLeg, ...]
    generic: tuple[str, ...]
    data_type: int
    sent: dict[tuple[int, int], tuple[Value, ...]]


class BarRequest(Struct, frozen=True):
    """A question about history. ``duration`` and ``size`` in IB's words; ``end`` empty is now."""

    contract: Contract
    end: str
    duration: str
    size: str
    what: str
    regular_hours: bool
    epoch: bool


class Bars(Struct):
    """A history that is kept up to date."""

    request: BarRequest
    sent: tuple[Value, ...] = ()
