"""The portfolio against its limits. Missing greeks make the answer UNKNOWN, and UNKNOWN is never green."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from v6cli.models import Account, Greeks, Position
from v6cli.portfolio.greeks import RollUp, roll_up
from v6cli.procedure import Finding, Fix, Status
from v6cli.settings import Limits

SYNC = Fix(("sync", "--force"))


class Measure(Struct, frozen=True):
    """One limit and how far it is used. ``value`` is None where it is unknown; ``used`` is a fraction of the limit."""

    name: str
    value: float | None
    limit: float
    status: Status
    text: str
    unit: str

    @property
    def used(self) -> float | None:
        """Share of the limit in use, 1.0 being all of it."""
        return None if self.value is None else abs(self.value) / self.limit


def measure(positions: Sequence[Position], greeks: Mapping[int, Greeks], account: Account | None, limits: Limits) -> list[Measure]:
    """Delta, gamma and the largest symbol against their limits."""
    rolled = roll_up(positions, greeks)
    return [
        _greek("delta", rolled, limits.delta, limits.near, "share equivalents"),
        _greek("gamma", rolled, limits.gamma, limits.near, "share equivalents per 1.00"),
        _concentration(positions, account, limits),
    ]


def findings(measures: Sequence[Measure]) -> list[Finding]:
    """The measures as findings about risk."""
    advice = "reduce exposure before new entries"
    return [
        Finding(
            "risk",
            one.status,
            one.text,
            fix=SYNC if one.status is Status.UNKNOWN else None,
            advice=advice if one.status in {Status.DEGRADED, Status.UNHEALTHY} else "",
            evidence={"limit": one.name, "value": one.value, "of": one.limit},
        )
        for one in measures
    ]


def _greek(name: str, rolled: RollUp, limit: float, near: float, unit: str) -> Measure:
    if not rolled.complete:
        text = f"{name} unknown: {rolled.total.unknown} of {rolled.total.legs} legs have no greeks"
        return Measure(name, None, limit, Status.UNKNOWN, text, unit)
    value = float(getattr(rolled.total, name))
    status = _status(abs(value) / limit, near)
    return Measure(name, value, limit, status, f"{name} {value:+.1f} of ±{limit:g}{_word(status)}", unit)


def _concentration(positions: Sequence[Position], account: Account | None, limits: Limits) -> Measure:
    name, unit = "concentration", "fraction"
    gross: dict[str, float] = {}
    for position in positions:
        if position.value is None:
            text = f"concentration unknown: {position.contract} has no price"
            return Measure(name, None, limits.concentration, Status.UNKNOWN, text, unit)
        gross[position.contract.symbol] = gross.get(position.contract.symbol, 0.0) + abs(position.value)
    if not gross:
        return Measure(name, 0.0, limits.concentration, Status.OK, "no positions", unit)
    basis = sum(gross.values()) if limits.concentration_basis == "gross_over_gross" else account.net_liquidation if account else None
    if basis is None or basis <= 0:
        return Measure(name, None, limits.concentration, Status.UNKNOWN, "concentration unknown: net liquidation is not known", unit)
    symbol = max(gross, key=lambda one: gross[one])
    value = gross[symbol] / basis
    status = _status(value / limits.concentration, limits.near)
    text = f"largest symbol {symbol} {value:.1%} of at most {limits.concentration:.0%}{_word(status)}"
    return Measure(name, value, limits.concentration, status, text, unit)


def _status(used: float, near: float) -> Status:
    if used > 1:
        return Status.UNHEALTHY
    return Status.DEGRADED if used >= near else Status.OK


def _word(status: Status) -> str:
    return {Status.UNHEALTHY: ": over the limit", Status.DEGRADED: ": near the limit"}.get(status, "")
