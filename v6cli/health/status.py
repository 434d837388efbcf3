"""One screen of everything, and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from v6cli import clock
from v6cli.errors import V6Error
from v6cli.health import examine
from v6cli.health.gather import Facts
from v6cli.portfolio.greeks import roll_up
from v6cli.procedure import Finding, Status, exit_code, verdict
from v6cli.results import Column, Record
from v6cli.state.errors import StateMissing
from v6cli.state.mirror import Mirror


class Screen(Struct, frozen=True):
    """What `v6 status` shows, and the exit code it means."""

    record: Record
    exit_code: int


async def screen(facts: Facts) -> Screen:
    """The state of a home."""
    found = await examine.areas(facts)
    everything = [finding for part in found.values() for finding in part]
    own = facts.settings
    items: list[tuple[Column, Any]] = [
        (Column("home"), f"{facts.home}  profile {own.profile}  account {own.account or 'not pinned'}"),
        *((Column(area, wraps=True), _summary(part)) for area, part in found.items()),
        *_book(await _mirror(facts)),
    ]
    record = Record("v6.status/1", "status", items, as_of=clock.now(), verdict=verdict(everything))
    return Screen(record, exit_code(everything))


def _summary(findings: Sequence[Finding]) -> str:
    """What is wrong, or the first thing that is right."""
    wrong = [f"{one.status.value}: {one.text}" for one in findings if one.status is not Status.OK]
    return "; ".join(wrong) if wrong else findings[0].text


async def _mirror(facts: Facts) -> Mirror | str:
    """The recorded book, or why there is none."""
    try:
        return (await facts.state()).mirror or "nothing recorded yet"
    except StateMissing:
        return "nothing recorded yet"
    except V6Error as error:
        return f"unknown: {error.message}"
    except Exception:  # noqa: BLE001  the areas that need it have said what is wrong
        return "unknown: it cannot be read"


def _book(seen: Mirror | str) -> list[tuple[Column, Any]]:
    """The recorded book in a few numbers, with their age."""
    if isinstance(seen, str):
        return [(Column("book", wraps=True), seen)]
    total = roll_up(seen.positions, seen.greeks)
    unknown = any(one.unrealized is None for one in seen.positions)
    known = total.complete
    return [
        (Column("recorded", kind="seconds", unit="seconds"), (clock.now() - seen.at).total_seconds()),
        (Column("open_positions", kind="integer"), len(seen.positions)),
        (Column("net_liquidation", kind="money", unit=seen.account.currency), seen.account.net_liquidation),
        (Column("buying_power", kind="money", unit=seen.account.currency), seen.account.buying_power),
        (
            Column("unrealized", kind="money", unit=seen.account.currency),
            None if unknown else sum(one.unrealized or 0.0 for one in seen.positions),
        ),
        (Column("delta", kind="greek", unit="share equivalents"), total.total.delta if known else None),
        (Column("gamma", kind="greek", unit="share equivalents per 1.00"), total.total.gamma if known else None),
        (Column("theta", kind="greek", unit="currency per day"), total.total.theta if known else None),
        (Column("vega", kind="greek", unit="currency per volatility point"), total.total.vega if known else None),
    ]
