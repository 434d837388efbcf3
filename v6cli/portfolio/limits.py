"""The portfolio against its limits. Missing greeks make the answer UNKNOWN, and UNKNOWN is never green."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from v6cli.models import Account, Greeks, Position
from v6cli.portfolio.greeks import RollUp, is_known, roll_up
from v6cli.procedure import Finding, Fix, Status, verdict
from v6cli.results import Column, Table, bar
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
    silent = next((str(one.contract) for one in positions if not is_known(one, greeks.get(one.contract.con_id))), "")
    return [
        _greek("delta", rolled, silent, limits.delta, limits.near, "share equivalents"),
        _greek("gamma", rolled, silent, limits.gamma, limits.near, "share equivalents per 1.00"),
        _concentration(positions, account, limits),
    ]


COLUMNS = (
    Column("limit"),
    Column("status", kind="status"),
    Column("value", kind="text"),
    Column("of", title="at most"),
    Column("used", kind="percent", unit="fraction"),
    Column("bar"),
    Column("finding", wraps=True),
)


def outdated(measures: Sequence[Measure]) -> list[Measure]:
    """The same limits with their values unknown, for a book that is too old."""
    return [
        msgspec.structs.replace(one, value=None, status=Status.UNKNOWN, text=f"{one.name} unknown: the book is too old") for one in measures
    ]


def table(measures: Sequence[Measure], found: Sequence[Finding], at: datetime | None) -> Table:
    """The limits with how much of each is used."""
    rows = [
        (one.name, one.status.value, _amount(one, one.value), _amount(one, one.limit), one.used, bar(one.used), one.text)
        for one in measures
    ]
    notes = [one.text for one in found if not measures or one.text not in {measure.text for measure in measures}]
    return Table("v6.risk/1", "risk", COLUMNS, list(rows), as_of=at, verdict=verdict(found), notes=notes, empty="nothing to measure")


def _amount(measure: Measure, value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.1%}" if measure.unit == "fraction" else f"{value:.1f}"


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


def _greek(name: str, rolled: RollUp, silent: str, limit: float, near: float, unit: str) -> Measure:
    if not rolled.complete:
        text = f"{name} unknown: no greeks for {rolled.total.unknown} of {rolled.total.legs} legs, such as {silent}"
        return Measure(name, None, limit, Status.UNKNOWN, text, unit)
    value = float(getattr(rolled.total, name))
    status = _status(abs(value) / limit, near)
    return _measured(name, value, limit, status, f"{name} {value:+.1f} of ±{limit:g}{_word(status)}", unit)


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
    if basis is None or not 0 < basis < math.inf:
        return Measure(name, None, limits.concentration, Status.UNKNOWN, "concentration unknown: net liquidation is not known", unit)
    symbol = max(gross, key=lambda one: gross[one])
    value = gross[symbol] / basis
    status = _status(value / limits.concentration, limits.near)
    text = f"largest symbol {symbol} {value:.1%} of at most {limits.concentration:.0%}{_word(status)}"
    return _measured(name, value, limits.concentration, status, text, unit)


def _measured(name: str, value: float, limit: float, status: Status, text: str, unit: str) -> Measure:
    return Measure(name, None if status is Status.UNKNOWN else value, limit, status, text, unit)


def _status(used: float, near: float) -> Status:
    """Green only what is below; what is no number is not known."""
    if used < near:
        return Status.OK
    if used <= 1:
        return Status.DEGRADED
    return Status.UNKNOWN if math.isnan(used) else Status.UNHEALTHY


def _word(status: Status) -> str:
    return {Status.UNHEALTHY: ": over the limit", Status.DEGRADED: ": near the limit", Status.UNKNOWN: ": not a number"}.get(status, "")
