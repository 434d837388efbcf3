"""Facts to findings: pure functions, each about one thing, none of them green about what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from v6cli import clock, resets
from v6cli.errors import GatewayUnavailable, V6Error
from v6cli.health.gather import GatewayFacts, GatewayProcess, Machine, sizes
from v6cli.latch import Latch, TradingState
from v6cli.models import Account, GreekSource, Severity
from v6cli.procedure import Finding, Fix, Status
from v6cli.results import count
from v6cli.services.backend import ServiceState
from v6cli.services.logs import Repeated
from v6cli.settings import Settings
from v6cli.state.alerts import RaisedAlert
from v6cli.state.mirror import Mirror

FORCE_SYNC = Fix(("sync", "--force"))


def unknown(subject: str, error: V6Error, fix: Fix | None = None) -> Finding:
    """A fact that could not be had."""
    return Finding(subject, Status.UNKNOWN, error.message, fix=fix, advice="" if fix else error.next_step or "")


def gateway_down(error: V6Error, hosted: ServiceState | None, settings: Settings, now: datetime) -> Finding:
    """The gateway could not be asked, and what to do. ``hosted`` is one that v6 runs.

    One that answers and is refused, as the wrong account is, is mended by no restart. One that v6 runs has nothing to do with
    IB's servers; any other may be unable to log in while these are reset.
    """
    text = f"IB gateway: {error.message}"
    if not isinstance(error, GatewayUnavailable):
        return Finding("gateway", Status.UNHEALTHY, text, advice=error.next_step or "")
    if hosted is not None:
        verb = "restart" if hosted.state == "running" else "start"
        return Finding("gateway", Status.UNHEALTHY, text, fix=Fix(("services", verb, hosted.name)))
    advice = "start IB Gateway and log in, or check gateway.host and gateway.port"
    if ends := _end_of_reset(settings, now):
        text += f"; IB resets its servers until {clock.show(ends)}"
        advice = f"a login may fail until then; after it, {advice}"
    return Finding("gateway", Status.UNHEALTHY, text, advice=advice)


def gateway_process(found: GatewayProcess, settings: Settings, *, answers: bool) -> Finding:
    """The gateway's process, by name and pid, or that none was found. ``answers`` is whether the gateway lets v6 log in."""
    place = f"{settings.gateway.host}:{settings.gateway.port}"
    running = ", ".join(_named(one.name, one.pid) for one in found.running)
    if found.listens:
        return Finding(
            "gateway process", Status.OK, f"gateway process: {_named(found.listens.name, found.listens.pid)}, listens at {place}"
        )
    if running and answers:
        return Finding("gateway process", Status.OK, f"gateway process: {running}")
    if running:
        return Finding("gateway process", Status.DEGRADED, f"gateway process: {running}, does not listen at {place}")
    text = "no gateway process found on this machine"
    if answers:
        return Finding("gateway process", Status.OK, f"{text}: what answers at {place} runs elsewhere")
    return Finding("gateway process", Status.UNHEALTHY if found.here else Status.UNKNOWN, text)


def _named(name: str, pid: int | None) -> str:
    return name if pid is None else f"{name} (pid {pid})"


def gateway(facts: GatewayFacts, settings: Settings, now: datetime) -> list[Finding]:
    """Login, link, farms, whether orders may be written, and the clock."""
    place = f"{settings.gateway.host}:{settings.gateway.port}"
    found = [Finding("gateway", Status.OK, f"IB gateway answers at {place}, logged in as {facts.account.account}")]
    ends = _end_of_reset(settings, now)
    if facts.link_lost:
        found.append(link_lost(ends))
    if facts.farms_down:
        advice = f"wait until {clock.show(ends)}: IB resets its servers" if ends else "restart the gateway after 5 minutes"
        text = f"broken data farms: {', '.join(facts.farms_down)}"
        found.append(Finding("data farms", Status.DEGRADED, text, advice=f"quotes of these are old; {advice}"))
    found += [may_write(facts.may_write), skew(facts.skew, settings)]
    return found


def link_lost(reset_ends: datetime | None) -> Finding:
    """A gateway that answers and has lost IB: expected for a while, until ``reset_ends``, where IB resets its servers."""
    text = "the gateway has lost its connection to IB"
    if reset_ends is None:
        return Finding("gateway", Status.UNHEALTHY, text, advice="wait for 1101 or 1102, or check the network")
    until = clock.show(reset_ends)
    return Finding(
        "gateway",
        Status.DEGRADED,
        f"{text}: IB resets its servers until {until}",
        advice=f"wait until {until}; if it lasts past it, check the network, then restart the gateway",
    )


def _end_of_reset(settings: Settings, now: datetime) -> datetime | None:
    return resets.end_of_reset(settings.gateway.resets, settings.gateway.reset_time_zone, now)


def may_write(answer: bool | V6Error) -> Finding:
    """Whether the API takes orders and cancels."""
    if isinstance(answer, V6Error):
        return Finding("gateway", Status.UNKNOWN, f"whether the API may write is unknown: {answer.message}")
    if answer:
        return Finding("gateway", Status.OK, "the API may write")
    return Finding(
        "gateway",
        Status.UNHEALTHY,
        "the API is read-only: every order, cancel and close will be refused",
        advice="untick Read-Only API in the gateway's API settings",
    )


def skew(seconds: float, settings: Settings) -> Finding:
    """This machine's clock against the gateway's."""
    status = Status.OK if abs(seconds) <= settings.health.clock_skew else Status.DEGRADED
    text = (
        f"clock within {max(1.0, abs(seconds)):.0f} s of the gateway's"
        if status is Status.OK
        else f"clock is {abs(seconds):.1f} s {'behind' if seconds > 0 else 'ahead of'} the gateway's"
    )
    return Finding("clock", status, text, advice="" if status is Status.OK else "set this machine's clock (NTP)")


def account(known: Account) -> Finding:
    """Balance and buying power."""
    if known.net_liquidation is None or known.buying_power is None:
        return Finding("account", Status.UNKNOWN, "the gateway did not state net liquidation and buying power", fix=FORCE_SYNC)
    money = f"net liquidation {known.net_liquidation:,.0f}, buying power {known.buying_power:,.0f} {known.currency}"
    if known.excess_liquidity is not None and known.excess_liquidity < 0:
        return Finding(
            "account",
            Status.UNHEALTHY,
            f"excess liquidity {known.excess_liquidity:,.0f}: IB may liquidate; {money}",
            advice="reduce positions or add funds",
        )
    if known.buying_power <= 0:
        return Finding("account", Status.DEGRADED, f"no buying power; {money}", advice="new entries will be rejected")
    return Finding("account", Status.OK, money)


def sync_lag(seen: Mirror | None, now: datetime, settings: Settings) -> Finding:
    """The age of the last sync."""
    if seen is None:
        return Finding("positions", Status.UNKNOWN, "no sync has ended yet", fix=FORCE_SYNC)
    lag = (now - seen.at).total_seconds()
    if lag < -settings.health.clock_skew:
        return Finding("sync", Status.UNKNOWN, f"last sync {clock.show_age(-lag)} in the future: a clock was set back", fix=FORCE_SYNC)
    text = f"last sync {clock.show_age(lag)} ago"
    if lag < settings.sync.healthy:
        return Finding("sync", Status.OK, text)
    status = Status.DEGRADED if lag <= settings.sync.degraded else Status.UNHEALTHY
    return Finding("sync", status, f"{text}: the positions shown are old", fix=FORCE_SYNC)


def positions_match(seen: Mirror | None, facts: GatewayFacts) -> Finding:
    """The positions that the last sync recorded against those the gateway states now."""
    if seen is None:
        return Finding("positions", Status.UNKNOWN, "no sync has ended yet", fix=FORCE_SYNC)
    ours, theirs = sizes(seen.positions), sizes(facts.positions)
    names = {one.contract.con_id: str(one.contract) for one in (*seen.positions, *facts.positions)}
    wrong = [con_id for con_id in sorted(names) if ours.get(con_id, 0.0) != theirs.get(con_id, 0.0)]
    if not wrong:
        return Finding("positions", Status.OK, f"all {len(theirs)} positions synced")
    first = wrong[0]
    text = f"{count(len(wrong), 'position')} not as at the gateway, such as {names[first]}: {ours.get(first, 0.0):g} recorded, {theirs.get(first, 0.0):g} held"
    return Finding("positions", Status.DEGRADED, text, fix=FORCE_SYNC)


def greeks(seen: Mirror | None, now: datetime, settings: Settings) -> Finding:
    """Whether every option has greeks, and how old the oldest are."""
    if seen is None:
        return Finding("greeks", Status.UNKNOWN, "no sync has ended yet", fix=FORCE_SYNC)
    options = [one for one in seen.positions if one.contract.is_option]
    if not options:
        return Finding("greeks", Status.OK, "no options held")
    known = [found for one in options if (found := seen.greeks.get(one.contract.con_id)) and found.known]
    if len(known) < len(options):
        return Finding(
            "greeks", Status.UNKNOWN, f"greeks unknown for {len(options) - len(known)} of {len(options)} options", fix=FORCE_SYNC
        )
    closing = sum(one.source is GreekSource.AS_OF_CLOSE for one in known)
    live = [one for one in known if one.source is not GreekSource.AS_OF_CLOSE]
    age = max(((now - one.at).total_seconds() for one in live), default=0.0)
    if age > settings.greeks.stale_after:
        return Finding("greeks", Status.DEGRADED, f"greeks are up to {clock.show_age(age)} old", fix=FORCE_SYNC)
    return Finding(
        "greeks",
        Status.OK,
        f"greeks of {len(options)} options known" + (f", {closing} as of the close" if closing else f", oldest {clock.show_age(age)}"),
    )


def services(states: Sequence[ServiceState]) -> list[Finding]:
    """Every service, one finding each that is not running, one for all that are; one that nothing would start again is not well."""
    found = []
    running = [one for one in states if one.state == "running"]
    if running:
        restarts = sum(one.restarts for one in running)
        found.append(
            Finding(
                "services",
                Status.OK,
                f"{len(running)} of {len(states)} services run" + (f", {count(restarts, 'restart')}" if restarts else ""),
            )
        )
    alone = [one for one in running if one.detail]
    if alone:
        text = f"{', '.join(one.name for one in alone)} would not be started again: {alone[0].detail}"
        found.append(Finding("services", Status.DEGRADED, text, fix=Fix(("services", "start"))))
    for one in states:
        if one.state == "running":
            continue
        status = Status.DEGRADED if one.state in {"starting", "stopping"} else Status.UNHEALTHY
        text = f"{one.name} is {one.state}" + (f": {one.last_line}" if one.state == "failed" and one.last_line else "")
        found.append(Finding("services", status, text, fix=Fix(("services", "start", one.name))))
    return found or [Finding("services", Status.UNKNOWN, "no services in this home")]


def machine(facts: Machine, settings: Settings) -> list[Finding]:
    """Disk and memory of this machine."""
    found = []
    for name, used, most in (("disk", facts.disk, settings.health.disk), ("memory", facts.memory, settings.health.memory)):
        status = Status.OK if used < most else Status.UNHEALTHY
        found.append(
            Finding(
                name,
                status,
                f"{name} {used:.0%} used" + ("" if status is Status.OK else f", at most {most:.0%}"),
                advice="" if status is Status.OK else f"free some {name}",
            )
        )
    return found


def lake(problems: Sequence[str]) -> Finding:
    """Whether every table of the lake can be read."""
    if not problems:
        return Finding("lake", Status.OK, "lake readable")
    return Finding(
        "lake", Status.UNHEALTHY, problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""), fix=FORCE_SYNC
    )


def trading_state(latch: Latch) -> Finding:
    """The latch: anything but ACTIVE shows as degraded, with reason and age."""
    if latch.state is TradingState.ACTIVE:
        return Finding("trading state", Status.OK, "trading state ACTIVE")
    age = f" for {clock.show_age((clock.wall() - latch.since).total_seconds())}" if latch.since else ""
    return Finding(
        "trading state",
        Status.DEGRADED,
        f"trading state {latch.state.value}{age}: {latch.reason}",
        advice="v6 resume --reason TEXT, once the cause is gone",
    )


def alerts(raised: Sequence[RaisedAlert]) -> Finding:
    """Alerts that nobody has acknowledged. That somebody has read them mends nothing and no command can do it for him: it is advice."""
    unseen = [one for one in raised if one.acknowledged_at is None]
    if not unseen:
        return Finding("alerts", Status.OK, f"{count(len(raised), 'alert')} open, all acknowledged" if raised else "no open alerts")
    critical = any(one.severity is Severity.CRITICAL for one in unseen)
    text = f"{count(len(unseen), 'alert')} not acknowledged: {unseen[0].text}"
    return Finding("alerts", Status.UNHEALTHY if critical else Status.DEGRADED, text, advice="v6 alerts list, then v6 alerts ack")


def errors(summaries: Sequence[Repeated], seconds: float) -> Finding:
    """Errors in the logs of the last ``seconds``."""
    span = "hour" if seconds == 3600 else f"{seconds / 3600:g} hours"
    total = sum(one.count for one in summaries)
    if not total:
        return Finding("logs", Status.OK, f"no errors in the last {span}")
    first = summaries[0]
    return Finding(
        "logs", Status.DEGRADED, f"{count(total, 'error')} in the last {span}, such as: {first.text}", advice="v6 logs -p error --since 24h"
    )
