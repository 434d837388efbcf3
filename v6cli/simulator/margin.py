"""Margin as a broker asks it: defined risks at their worst, naked shorts by the 20 percent rule, stock by a quarter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from v6cli.simulator.holdings import Holding

STOCK = 0.25
NAKED = 0.20
NAKED_FAR = 0.10


def requirement(holdings: Sequence[Holding], prices: Sequence[float], spots: Sequence[float]) -> float:
    """Maintenance margin of the positions, in currency.

    ``prices`` are per share, ``spots`` the underlyings' prices; both are in the order of ``holdings``. Options are looked at
    per underlying and expiry; calls that are short without a long one are covered by shares first.
    """
    shares: dict[str, float] = {}
    total = 0.0
    for holding, price in zip(holdings, prices, strict=True):
        if not holding.contract.is_option:
            total += STOCK * abs(holding.quantity * price)
            shares[holding.contract.symbol] = shares.get(holding.contract.symbol, 0.0) + holding.quantity
    groups: dict[tuple[str, date | None], list[tuple[Holding, float, float]]] = {}
    for row in zip(holdings, prices, spots, strict=True):
        if row[0].contract.is_option:
            groups.setdefault((row[0].contract.symbol, row[0].contract.expiry), []).append(row)
    for (symbol, _expiry), rows in groups.items():
        asked, used = _of_group(rows, shares.get(symbol, 0.0))
        shares[symbol] = shares.get(symbol, 0.0) - used
        total += asked
    return round(total, 2)


def _of_group(rows: list[tuple[Holding, float, float]], shares: float) -> tuple[float, float]:
    """What one expiry asks for, and the shares that cover its calls."""
    multiplier = rows[0][0].contract.multiplier
    left = {index: row[0].quantity for index, row in enumerate(rows)}
    covered = min(max(shares, 0.0) // multiplier, _uncovered(rows, left, "C"))
    _take_off(rows, left, "C", covered)
    alone = _naked(rows, {index: max(0.0, -count) for index, count in left.items()})
    uncovered: dict[int, float] = {}
    for right in ("C", "P"):
        uncovered |= dict(_take_off(rows, left, right, _uncovered(rows, left, right)))
    paired = _worst_loss(rows, left) + _naked(rows, uncovered)
    # A long option far away covers less than it would cost to leave it out.
    return min(paired, alone) * multiplier, covered * multiplier


def _naked(rows: list[tuple[Holding, float, float]], shorts: dict[int, float]) -> float:
    return sum(count * _naked_per_share(*rows[index]) for index, count in shorts.items())


def _uncovered(rows: list[tuple[Holding, float, float]], left: dict[int, float], right: str) -> float:
    return max(0.0, -sum(left[index] for index, row in enumerate(rows) if row[0].contract.right == right))


def _take_off(rows: list[tuple[Holding, float, float]], left: dict[int, float], right: str, count: float) -> list[tuple[int, float]]:
    """Set ``count`` short contracts aside, the farthest out of the money first, and say which."""
    shorts = [index for index, row in enumerate(rows) if row[0].contract.right == right and left[index] < 0]
    shorts.sort(key=lambda index: rows[index][0].contract.strike or 0.0, reverse=right == "C")
    taken = []
    for index in shorts:
        part = min(count, -left[index])
        if part > 0:
            left[index] += part
            count -= part
            taken.append((index, part))
    return taken


def _naked_per_share(holding: Holding, price: float, spot: float) -> float:
    strike = holding.contract.strike or 0.0
    away = max(0.0, strike - spot if holding.contract.right == "C" else spot - strike)
    return price + max(NAKED * spot - away, NAKED_FAR * (spot if holding.contract.right == "C" else strike))


def _worst_loss(rows: list[tuple[Holding, float, float]], left: dict[int, float]) -> float:
    """The largest loss at expiry, per share: with no uncovered short it lies at zero or at one of the strikes."""
    strikes = [row[0].contract.strike or 0.0 for row in rows]

    def worth(level: float) -> float:
        return sum(
            quantity * max(0.0, level - strikes[index] if rows[index][0].contract.right == "C" else strikes[index] - level)
            for index, quantity in left.items()
        )

    return max(0.0, -min(worth(level) for level in (0.0, *strikes)))
