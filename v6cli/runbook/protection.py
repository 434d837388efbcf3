"""Which working orders change, close or protect what is held: whoever cancels everything takes these, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from v6cli.models import Contract, Position, WorkingOrder
from v6cli.runbook.emergency_record import SavedOrder

_LIMITED = frozenset({"LMT", "STP LMT", "LIT", "LOC", "TRAIL LIMIT"})


def origin(order: WorkingOrder) -> str:
    """Who placed it: a client of the API, or somebody by hand in TWS."""
    return f"client {order.client_id}" if order.client_id else "by hand"


def limit(order: WorkingOrder) -> float | None:
    """Its limit, None where its type has none: IB says 0 of such a one, too, and a combination may be wanted for 0 or less."""
    return order.limit_price if order.limit_price or order.order_type in _LIMITED else None


def said(order: WorkingOrder, *, contract: bool = True) -> str:
    """An order in a few words: ``BUY 2 SPY 2026-12-18 600P LMT 1.25 (client 1)``, the contract only where it is not clear."""
    prices = [f"{price:.2f}" for price in (limit(order), order.stop_price or None) if price is not None]
    what = [str(order.contract)] if contract else []
    return " ".join((order.action, f"{order.quantity - order.filled:g}", *what, order.order_type, *prices, f"({origin(order)})"))


def stops(order: WorkingOrder) -> bool:
    """Whether it waits for the market to turn against a position."""
    return order.order_type.startswith(("STP", "TRAIL"))


def closes(order: WorkingOrder, held: Sequence[Position]) -> bool:
    """Whether every leg of it is known, and would make a position smaller."""
    quantities = {one.contract.con_id: one.quantity for one in held if one.account == order.account or not order.account}
    legs = _legs(order)
    return bool(legs) and all(quantities.get(con_id, 0.0) * sign < 0 for con_id, sign in legs)


def touches(order: WorkingOrder, contracts: Iterable[Contract]) -> bool:
    """Whether it may change positions in these: by its legs; a combo whose legs are not told may, where it is of their symbol.

    IB names a combo of several symbols by all of them, with commas between.
    """
    if legs := _legs(order):
        ids = {con_id for con_id, _ in legs}
        return any(own.con_id in ids for own in contracts)
    return any(own.symbol in order.contract.symbol.split(",") for own in contracts)


def lost(held: Sequence[Position], saved: Sequence[SavedOrder]) -> Iterator[tuple[Position, str]]:
    """Each position with the orders that closed or protected it and work no more."""
    for position in held:
        gone = [
            said(one.order, contract=one.order.contract.kind == "BAG")
            for one in saved
            if one.left is False
            and not one.filled_after
            and touches(one.order, [position.contract])
            and (stops(one.order) or closes(one.order, held))
        ]
        if gone:
            yield position, "; ".join(gone)


def _legs(order: WorkingOrder) -> list[tuple[int, int]]:
    """Contract ids with 1 where the order buys and -1 where it sells; none where they are not known."""
    sign = 1 if order.action == "BUY" else -1
    if order.contract.kind == "BAG":
        return [(con_id, sign * bought) for con_id, bought in order.legs]
    return [(order.contract.con_id, sign)] if order.contract.con_id else []


def listed(held: Sequence[Position]) -> list[str]:
    """What is held, one line for each underlying and expiry: ``SPY 2026-12-18: -2 643P, +2 640P``."""
    lines: dict[str, list[str]] = {}
    for one in held:
        contract = one.contract
        if contract.is_option and contract.expiry and contract.strike is not None:
            heading = f"{contract.trading_class or contract.symbol} {contract.expiry.isoformat()}"
            lines.setdefault(heading, []).append(f"{one.quantity:+g} {contract.strike:g}{contract.right}")
        else:
            lines.setdefault(str(contract), []).append(f"{one.quantity:+g}")
    return [f"{heading}: {', '.join(legs)}" for heading, legs in lines.items()]
