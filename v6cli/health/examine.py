"""Facts and checks brought together: what each area of the system finds, errors included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from v6cli import clock, procedure
from v6cli.errors import V6Error
from v6cli.health import checks
from v6cli.health.gather import Facts, back
from v6cli.portfolio import limits
from v6cli.portfolio.limits import Measure
from v6cli.procedure import Finding, Status
from v6cli.services.backend import ServiceState
from v6cli.state.errors import OtherAccount, StateMissing

LONGEST_LOOK_FOR_A_PROCESS = 5.0  # wall seconds; the login has said by then what matters


async def gateway(facts: Facts) -> list[Finding]:
    """Gateway and login, its process, account and buying power.

    The process is looked for beside the session: a gateway that keeps an answer back takes the whole of ``gateway.timeout`` already.
    """
    (found, account), process = await asyncio.gather(
        _session(facts), procedure.known("gateway process", facts.gateway_process, LONGEST_LOOK_FOR_A_PROCESS)
    )
    if not isinstance(process, Finding):
        process = checks.gateway_process(process, facts.settings, answers=found[0].status is Status.OK)
    return [*found, process, account]


async def _session(facts: Facts) -> tuple[list[Finding], Finding]:
    """What the gateway itself shows, and the account."""
    own, now = facts.settings, clock.now()
    try:
        seen = await facts.gateway()
    except V6Error as error:
        unknown = Finding("account", Status.UNKNOWN, "account and buying power unknown")
        return [checks.gateway_down(error, await _hosted_gateway(facts), own, now)], unknown
    return checks.gateway(seen, own, now), checks.account(seen.account)


async def _hosted_gateway(facts: Facts) -> ServiceState | None:
    """The gateway among this home's services, where v6 runs it itself."""
    try:
        states = await facts.services()
    except V6Error:
        return None
    return next((one for one in states if one.name == "ib-gateway"), None)


async def services(facts: Facts) -> list[Finding]:
    """Every service."""
    try:
        return checks.services(await facts.services())
    except V6Error as error:
        return [checks.unknown("services", error)]


async def recorded(facts: Facts) -> list[Finding]:
    """What the sync recorded: positions against the gateway, its lag, greeks, alerts."""
    try:
        state = await facts.state()
    except V6Error as error:
        return [_no_state("positions", error)]
    now = clock.now()
    try:
        match = checks.positions_match(state.mirror, await facts.gateway())
    except V6Error:
        age = f"; last seen {clock.show_age((now - state.mirror.at).total_seconds())} ago" if state.mirror else ""
        match = Finding("positions", Status.UNKNOWN, f"positions cannot be compared with the gateway's{age}")
    return [
        match,
        checks.sync_lag(state.mirror, now, facts.settings),
        checks.greeks(state.mirror, now, facts.settings),
        checks.alerts(state.alerts),
    ]


def _no_state(subject: str, error: V6Error) -> Finding:
    """What state holds is not to be had: a first sync makes one that is missing, but mends none that is damaged."""
    return checks.unknown(subject, error, checks.FORCE_SYNC if isinstance(error, StateMissing | OtherAccount) else None)


class Risk(Struct, frozen=True):
    """The limits as measured on what the last sync saw ``at`` (None where nothing is recorded), and what that means."""

    measures: list[Measure]
    findings: list[Finding]
    at: datetime | None


async def measured_risk(facts: Facts) -> Risk:
    """The recorded book against its limits; a book that is too old is not known."""
    try:
        seen = (await facts.state()).mirror
    except V6Error as error:
        return Risk([], [_no_state("risk", error)], None)
    if seen is None:
        return Risk([], [Finding("risk", Status.UNKNOWN, "no sync has ended yet", fix=checks.FORCE_SYNC)], None)
    measures = limits.measure(seen.positions, seen.greeks, seen.account, facts.settings.limits)
    lag = (clock.now() - seen.at).total_seconds()
    if not -facts.settings.health.clock_skew <= lag <= facts.settings.sync.degraded:
        when = f"{clock.show_age(lag)} old" if lag > 0 else f"{clock.show_age(-lag)} in the future"
        old = Finding("risk", Status.UNKNOWN, f"risk unknown: the last sync is {when}", fix=checks.FORCE_SYNC)
        return Risk(limits.outdated(measures), [old], seen.at)
    return Risk(measures, limits.findings(measures), seen.at)


async def risk(facts: Facts) -> list[Finding]:
    """The recorded book against its limits."""
    return (await measured_risk(facts)).findings


async def machine(facts: Facts) -> list[Finding]:
    """Disk and memory, unless the home leaves this machine out; and whether the lake can be read."""
    own = checks.machine(await facts.machine(), facts.settings) if facts.settings.health.machine else []
    return [*own, checks.lake(await facts.lake_problems())]


async def trading(facts: Facts) -> list[Finding]:
    """The trading state."""
    return [checks.trading_state(await facts.latch())]


async def errors(facts: Facts, seconds: float | None = None) -> list[Finding]:
    """Errors in the logs of the last ``seconds``, by default as far back as the settings say."""
    span = facts.settings.health.errors_window if seconds is None else seconds
    return [checks.errors(await facts.errors(back(span)), span)]


_AREAS: dict[str, tuple[str, Callable[[Facts], Awaitable[list[Finding]]]]] = {
    "trading": ("trading state", trading),
    "gateway": ("gateway", gateway),
    "services": ("services", services),
    "positions": ("positions", recorded),
    "risk": ("risk", risk),
    "health": ("health", machine),
}


async def areas(facts: Facts, *names: str) -> dict[str, Sequence[Finding]]:
    """What these areas find, side by side; all of them where none is named. One that hangs or has a bug leaves the others theirs."""
    chosen = names or tuple(_AREAS)
    looks = [procedure.look(subject, partial(area, facts), procedure.LONGEST_LOOK) for subject, area in map(_AREAS.__getitem__, chosen)]
    return dict(zip(chosen, await asyncio.gather(*looks), strict=True))


async def everything(facts: Facts) -> list[Finding]:
    """All that `v6 health` judges."""
    found = await areas(facts, "gateway", "services", "positions", "health", "trading")
    return [finding for part in found.values() for finding in part]
