"""The only clock of v6: now, sleep and time-outs.

Two times live here. *Home time* is what schedules, ages and deadlines of orders are measured in; a demo home may run it
faster than the world (``start``). *Wall time* is what sockets, processes and locks wait in, and is never accelerated.
Stored times are UTC; what a person reads or types is New York time (``EASTERN``), with the zone shown.
"""

from __future__ import annotations

import contextlib
import functools
import time as _time
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from v6cli.errors import BadInput

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import Any

EASTERN = "America/New_York"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_rate = 1.0
_home_origin = 0.0
_wall_origin = 0.0
_seconds: Callable[[], float] = _time.time
_monotonic: Callable[[], float] = _time.monotonic
_block: Callable[[float], None] = _time.sleep


@contextlib.contextmanager
def replaced(seconds: Callable[[], float], monotonic: Callable[[], float], block: Callable[[float], None]) -> Iterator[None]:
    """Within the block time is what ``seconds`` (since 1970) says, on the wall and at home, and ``block`` waits.

    For worlds in which time is simulated; an event loop there brings its own sleep and time-outs.
    """
    global _seconds, _monotonic, _block
    before = _seconds, _monotonic, _block
    _seconds, _monotonic, _block = seconds, monotonic, block
    try:
        yield
    finally:
        _seconds, _monotonic, _block = before


def start(rate: float = 1.0, origin: datetime | None = None, since: datetime | None = None) -> None:
    """Set how home time runs: it was ``origin`` when the wall clock showed ``since``, and passes ``rate`` times as fast.

    At a rate of 0 home time stands still. Called without arguments home time is wall time again. Processes that share a home pass
    the same three values and so agree on the time.
    """
    global _rate, _home_origin, _wall_origin  # noqa: PLW0603  the clock is the one piece of process-wide time
    _rate = rate
    _wall_origin = since.timestamp() if since else 0.0
    _home_origin = origin.timestamp() if origin else _wall_origin


def timestamp() -> float:
    """Home time in seconds since 1970-01-01 UTC."""
    if _rate == 1.0 and _home_origin == _wall_origin:
        return _seconds()
    return _home_origin + (_seconds() - _wall_origin) * _rate


def now() -> datetime:
    """Home time, in UTC."""
    return _EPOCH + timedelta(seconds=timestamp())


def rate() -> float:
    """Seconds of home time that pass in one second of wall time."""
    return _rate


def wall() -> datetime:
    """The machine's own time, in UTC: for file names of logs, ages of processes and time-outs."""
    return _EPOCH + timedelta(seconds=_seconds())


def monotonic() -> float:
    """Wall seconds that only grow, for measuring how long something took."""
    return _monotonic()


async def sleep(seconds: float) -> None:
    """Wait ``seconds`` of home time."""
    import asyncio

    # What stands still never comes to its end.
    await asyncio.sleep(seconds / _rate if _rate else float("inf"))


async def pause(seconds: float) -> None:
    """Wait ``seconds`` of wall time: between polls of a socket, a process or a lock."""
    import asyncio

    await asyncio.sleep(seconds)


def pause_blocking(seconds: float) -> None:
    """Wait ``seconds`` of wall time in code that has no event loop."""
    _block(seconds)


def timeout(seconds: float | None) -> AbstractAsyncContextManager[object]:
    """Bound an ``async with`` block to ``seconds`` of wall time; past it the block ends with TimeoutError."""
    import asyncio

    return asyncio.timeout(seconds)


async def wait(future: asyncio.Future[Any], seconds: float) -> bool:
    """Wait for a future at most ``seconds`` of wall time, and leave it as it is; whether it is done."""
    from asyncio import wait

    done, _ = await wait((future,), timeout=seconds)
    return bool(done)


@functools.cache
def eastern() -> tzinfo:
    """New York, the zone in which times are shown and typed."""
    from zoneinfo import ZoneInfo

    return ZoneInfo(EASTERN)


def is_zone(name: str) -> bool:
    """Whether a time zone of this name is known."""
    if name == EASTERN:
        return True
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder of zones is an OSError
        return False
    return True


def today() -> date:
    """The day it is in New York, in home time."""
    return now().astimezone(eastern()).date()


def show(moment: datetime) -> str:
    """A moment as a person reads it: ``2026-11-24 09:31:05 EST``."""
    return moment.astimezone(eastern()).strftime("%Y-%m-%d %H:%M:%S %Z")


def show_age(seconds: float) -> str:
    """An age in its two largest units: ``45s``, ``3m 10s``, ``2h 05m``, ``4d 3h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole // 60 % 60:02}m"
    return f"{whole // 86400}d {whole // 3600 % 24}h"


def read_moment(text: str) -> datetime:
    """A moment as a person types it, in New York time unless it carries an offset.

    The hour that repeats when daylight saving ends names two moments and is refused without an offset, as is an hour that
    the spring night skips. Raises BadInput.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        early, late = (moment.replace(tzinfo=eastern(), fold=fold) for fold in (0, 1))
        if early.utcoffset() == late.utcoffset():
            return early.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is not a time", next_step="write it as 2026-11-24 09:30 (New York) or with an offset, -05:00") from None
    kind = "does not exist" if early.astimezone(UTC) > late.astimezone(UTC) else "names two moments"
    raise BadInput(f"{text!r} {kind} in New York: the clocks change that night", next_step=f"add the offset: {text}-05:00 or {text}-04:00")
