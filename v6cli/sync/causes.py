"""What differs between two syncs, each difference with its cause: a fill, an expiry, an assignment, or nobody knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct

from v6cli.models import Contract, Fill, Position

EPSILON = 1e-9


class Difference(Struct, frozen=True):
    """One contract whose quantity changed. ``cause`` is one of fill, expired, assigned or exercised, unexplained, first seen."""

    con_id: int
    contract: str
    before: float
    after: float
    cause: str
    detail: str = ""

    def __str__(self) -> str:
        change = f"{self.before:g} -> {self.after:g}"
        return f"{self.contract}: {change} ({self.cause}{': ' + self.detail if self.detail else ''})"


def label(
    before: Sequence[Position] | None, after: Sequence[Position], fills: Sequence[Fill], seen: frozenset[str], today: date
) -> list[Difference]:
    """Every difference with its cause. ``before`` is None for the first sync of a home; ``seen`` are executions known then."""
    was = {one.contract.con_id: one for one in before or ()}
    now = {one.contract.con_id: one for one in after}
    fresh = _net([fill for fill in fills if fill.exec_id not in seen])
    found = []
    for con_id in sorted({*was, *now}):
        old, new = was.get(con_id), now.get(con_id)
        one = new or old
        assert one is not None
        change = (new.quantity if new else 0.0) - (old.quantity if old else 0.0)
        if abs(change) > EPSILON:
            cause, detail = ("first seen", "") if before is None else _cause(one.contract, old, new, change, fresh, was, now, today)
            found.append(Difference(con_id, str(one.contract), old.quantity if old else 0.0, new.quantity if new else 0.0, cause, detail))
    return found


def _net(fills: Sequence[Fill]) -> dict[int, tuple[float, str]]:
    """Signed quantity by contract, with the orderRefs it came from; an order without one was entered by hand."""
    net: dict[int, tuple[float, str]] = {}
    for fill in fills:
        quantity, refs = net.get(fill.contract.con_id, (0.0, ""))
        ref = fill.order_ref or (f"client {fill.client_id}" if fill.client_id else "by hand")
        names = refs if ref in refs.split(", ") else ", ".join(filter(None, (refs, ref)))
        net[fill.contract.con_id] = (quantity + (fill.quantity if fill.side == "BOT" else -fill.quantity), names)
    return net


def _cause(
    own: Contract,
    old: Position | None,
    new: Position | None,
    change: float,
    fresh: Mapping[int, tuple[float, str]],
    was: Mapping[int, Position],
    now: Mapping[int, Position],
    today: date,
) -> tuple[str, str]:
    filled, refs = fresh.get(own.con_id, (0.0, ""))
    if abs(filled - change) < EPSILON:
        return "fill", refs
    if own.is_option and old is not None and _stock_moved(own, filled - change, fresh, was, now):
        return "assigned or exercised", f"{own.symbol} shares changed with it"
    if not own.is_option and _option_went(own, change - filled, fresh, was, now):
        return "assigned or exercised", "options of it went at the same time"
    if own.is_option and new is None and own.expiry is not None and own.expiry <= today:
        return "expired", own.expiry.isoformat()
    return "unexplained", f"fills explain {filled:+g}" if filled else "no fill, no expiry"


def _stock_moved(
    option: Contract, contracts: float, fresh: Mapping[int, tuple[float, str]], was: Mapping[int, Position], now: Mapping[int, Position]
) -> bool:
    """Whether shares of the option's symbol changed, without a fill, as exercising so many contracts makes them."""
    stocks = [con_id for con_id, one in {**was, **now}.items() if one.contract.kind == "STK" and one.contract.symbol == option.symbol]
    return any(_makes(_unfilled(con_id, fresh, was, now), option, contracts) for con_id in stocks)


def _option_went(
    stock: Contract, moved: float, fresh: Mapping[int, tuple[float, str]], was: Mapping[int, Position], now: Mapping[int, Position]
) -> bool:
    """Whether options of this stock went, without a fill, whose exercise moves shares this way."""
    options = [(con_id, one.contract) for con_id, one in was.items() if one.contract.is_option and one.contract.symbol == stock.symbol]
    return stock.kind == "STK" and any(_makes(moved, option, -_unfilled(con_id, fresh, was, now)) for con_id, option in options)


def _makes(moved: float, option: Contract, contracts: float) -> bool:
    """Whether exercising ``contracts`` of an option (negative: being assigned) makes shares move so, or further the same way."""
    shares = contracts * option.multiplier * (1 if option.right == "C" else -1)
    return moved * shares > 0 and abs(moved) >= abs(shares) - EPSILON


def _unfilled(con_id: int, fresh: Mapping[int, tuple[float, str]], was: Mapping[int, Position], now: Mapping[int, Position]) -> float:
    """The change of a quantity that no fill explains."""
    return _quantity(now, con_id) - _quantity(was, con_id) - fresh.get(con_id, (0.0, ""))[0]


def _quantity(positions: Mapping[int, Position], con_id: int) -> float:
    return positions[con_id].quantity if con_id in positions else 0.0
