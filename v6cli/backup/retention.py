"""Which backups may go, and which sessions have none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct

from v6cli import clock, sessions
from v6cli.backup import catalogue
from v6cli.backup.catalogue import Kept
from v6cli.backup.create import SUFFIX, alone
from v6cli.errors import CannotWrite
from v6cli.home import Home

SESSIONS = 7
GRACE = timedelta(hours=2)  # after a close until a backup of that session is missed
_BESIDE = re.compile(r"(backup_\d{8}_\d{6}\.tar\.gz)\.(sha256|verified)")


class Fate(Struct, frozen=True):
    """What pruning does with one backup. ``age`` is in seconds; ``why`` it is kept, empty where it goes.

    ``ours`` is false of a copy that is not proven to be of this home.
    """

    kept: Kept
    age: float
    why: str
    ours: bool = True

    @property
    def goes(self) -> bool:
        """Whether it is removed."""
        return not self.why


def fates(backups: Sequence[Kept], keep: float, now: datetime) -> list[Fate]:
    """What becomes of each backup, the newest first, when those of the last ``keep`` days are kept.

    The newest and the newest verified one stay, however old.
    """
    verified = next((one for one in backups if one.verified), None)
    found = []
    for one in backups:
        age = age_of(one, now)
        if not age > keep * 86_400:  # so that what is no number, "nan", keeps everything
            why = f"younger than {keep:g} days"
        elif one is verified:
            why = "the newest verified one"
        elif one is backups[0]:
            why = "the newest one"
        else:
            why = ""
        found.append(Fate(one, age, why))
    return found


def prune(home: Home, keep: float, *, dry_run: bool) -> list[Fate]:
    """Remove what is old enough; the fate of each backup. Raises CannotWrite, BadInput, and Refused where a backup is being made."""
    if dry_run:
        return fates(catalogue.backups(home), keep, clock.now())
    with alone(home):
        found = fates(catalogue.backups(home), keep, clock.now())
        for one in found:
            if one.goes:
                catalogue.remove(one.kept)
        _remove_orphans(home)
        return found


def age_of(kept: Kept, now: datetime) -> float:
    """How old a backup is, in seconds, by its name; one without a moment in it is as old as its file, a copy elsewhere as good as new."""
    if at := catalogue.taken(kept):
        return (now - at).total_seconds()
    try:
        return now.timestamp() - kept.path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def gaps(backups: Sequence[Kept], now: datetime) -> list[date]:
    """The days among the last seven sessions of which no backup was taken between their close and that of the next."""
    moments = [at for one in backups if (at := catalogue.taken(one))]
    ended = [one for one in sessions.last_sessions(SESSIONS + 2, clock.today()) if one.closes <= now]
    missing = []
    for number, one in enumerate(ended):
        until = ended[number + 1].closes if number + 1 < len(ended) else now + timedelta(seconds=1)
        if not any(one.closes <= at < until for at in moments) and now - one.closes > GRACE:
            missing.append(one.day)
    return [day for day in missing if day in {one.day for one in ended[-SESSIONS:]}]


def _remove_orphans(home: Home) -> None:
    """What lies beside an archive that is not there any more. Raises CannotWrite."""
    if not home.backups.is_dir():
        return
    for path in home.backups.iterdir():
        match = _BESIDE.fullmatch(path.name)
        if match and match[1].endswith(SUFFIX) and not (home.backups / match[1]).exists():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise CannotWrite(f"{path} cannot be removed: {error.strerror}") from error
