"""Times as clients write them in a request."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from v6cli import clock

_WRITTEN = re.compile(r"(?:(\d{8}) +)?(\d\d:\d\d:\d\d)(?: +(\S+))?|(\d{8})-(\d\d:\d\d:\d\d)")


def read_time(text: str, now: datetime) -> datetime:
    """The moment that ``20261124 15:30:00 US/Eastern``, or ``20261124-15:30:00`` in UTC, names.

    Without a day it is today, as of ``now``; without a zone New York's, the gateway's own. Raises ValueError.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time")
    day, at, name, utc_day, utc_at = found.groups()
    if name and not clock.is_zone(name):
        raise ValueError(f"{name[:40]!r} is not a time zone")
    zone = UTC if utc_day else ZoneInfo(name) if name else clock.eastern()
    try:
        named = f"{utc_day or day or now.astimezone(zone).strftime('%Y%m%d')} {utc_at or at}"
        return datetime.strptime(named, "%Y%m%d %H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a time") from None
