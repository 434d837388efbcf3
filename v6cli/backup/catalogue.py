"""The backups of a home: found, named, judged by what is recorded of them.

That a backup was verified is kept in a small file beside it, ``….tar.gz.verified``, and not in the state: the record must outlive the
state (a backup is what brings a lost one back) and travel with the archive. It names the archive's size and the moment of its last
change, so that one that was touched since counts as never verified.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from v6cli import clock
from v6cli.backup import archive, manifest
from v6cli.backup.create import SUFFIX, SUM_SUFFIX, moment_in
from v6cli.backup.manifest import Summary
from v6cli.backup.verify import Verified
from v6cli.errors import BadInput, CannotWrite, UsageError
from v6cli.files import write_durably
from v6cli.home import Home

RECORD_SUFFIX = ".verified"
LATEST = "latest"
_NAME = re.compile(r"backup_\d{8}_\d{6}\.tar\.gz")
_NEVER = datetime.min.replace(tzinfo=UTC)


class Record(Struct, frozen=True):
    """What verifying found, kept beside the archive. ``changed`` is when the archive was last changed, in nanoseconds."""

    at: datetime
    code: int
    sha256: str
    size: int
    changed: int
    findings: list[str]


class Kept(Struct, frozen=True):
    """One backup of the home. ``record`` is the last verification of exactly this archive."""

    path: Path
    size: int
    record: Record | None

    @property
    def name(self) -> str:
        """Its name, without the suffix of an archive."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def verified(self) -> bool:
        """Whether it was opened and found whole."""
        return self.record is not None and self.record.code == 0


class Described(Struct, frozen=True):
    """A backup with what its manifest says, or the ``problem`` with that."""

    kept: Kept
    summary: Summary | None
    problem: str = ""


def backups(home: Home) -> list[Kept]:
    """Every backup of the home, the newest first, those last whose names are no moment. Raises BadInput where the folder cannot be read."""
    try:
        names = [entry.name for entry in os.scandir(home.backups) if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadInput(f"{home.backups} cannot be read: {error.strerror}") from error
    found = [one for name in names if (one := _kept(home.backups / name))]
    return sorted(found, key=lambda one: (taken(one) or _NEVER, one.name), reverse=True)


def resolve(home: Home, wanted: str | Path) -> Path:
    """The archive of a name, a path or ``latest``. Raises BadInput naming what there is."""
    text = str(wanted)
    if text == LATEST:
        kept = backups(home)
        if not kept:
            raise BadInput(f"there is no backup in {home.backups}", next_step="v6 backup")
        return kept[0].path
    named = home.backups / (text if text.endswith(SUFFIX) else text + SUFFIX)
    if "/" not in text and named.is_file():
        return named
    path = Path(text).expanduser()
    if path.is_file():
        return path.absolute()
    raise _unknown(home, text)


def chosen(home: Home, wanted: str, *, everything: bool) -> list[Path]:
    """The archives that a command line means. Raises BadInput, UsageError."""
    if not everything:
        return [resolve(home, wanted)]
    if wanted != LATEST:
        raise UsageError("--all is every backup: no name goes with it")
    return [one.path for one in backups(home)] or [resolve(home, LATEST)]


def describe(kept: Kept) -> Described:
    """The backup with its manifest's summary; only the archive's beginning is read. Never raises V6Error."""
    try:
        return Described(kept, manifest.summary(archive.head(kept.path)))
    except BadInput as error:
        return Described(kept, None, error.message.removeprefix(f"{kept.path.name} is refused: "))


def taken(kept: Kept) -> datetime | None:
    """When the backup was taken, by its name; None where that is no moment.

    In the hour that repeats a name means either of two moments: the manifest says which, and where it cannot be read it is the earlier.
    """
    named = moment_in(kept.path.name)
    if named is None:
        return None
    at = named.replace(tzinfo=clock.eastern())
    if at.utcoffset() != at.replace(fold=1).utcoffset() and (summary := describe(kept).summary):
        return summary.taken
    return at


def record_all(home: Home, verified: list[Verified]) -> list[str]:
    """Keep what was found of this home's backups; where that cannot be kept, why. Archives elsewhere are only looked at."""
    problems = []
    for one in verified:
        if one.path.parent == home.backups:
            try:
                record(one)
            except CannotWrite as error:
                problems.append(f"the result was not recorded: {error.message}")
    return problems


def record(verified: Verified) -> None:
    """Keep what verifying found beside the archive. Raises CannotWrite."""
    try:
        status = verified.path.stat()
    except OSError as error:
        raise CannotWrite(f"{verified.path} went away: {error.strerror}") from error
    lines = [finding.text for finding in verified.findings if finding.exit_code]
    kept = Record(verified.at, verified.code, verified.sha256, status.st_size, status.st_mtime_ns, lines)
    write_durably(_record_of(verified.path), msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


def remove(kept: Kept) -> None:
    """Remove a backup, the archive first: what lies beside it means nothing without it. Raises CannotWrite."""
    try:
        kept.path.unlink()
        for beside in (kept.path.with_name(kept.path.name + SUM_SUFFIX), _record_of(kept.path)):
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(f"{error.filename} cannot be removed: {error.strerror}") from error


def _kept(path: Path) -> Kept | None:
    try:
        status = path.stat()
    except OSError:
        return None
    found = None
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(_record_of(path).read_bytes(), type=Record)
    same = found is not None and (found.size, found.changed) == (status.st_size, status.st_mtime_ns)
    return Kept(path, status.st_size, found if same else None)


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + RECORD_SUFFIX)


def _unknown(home: Home, text: str) -> BadInput:
    import difflib

    names = [one.name for one in backups(home)]
    near = difflib.get_close_matches(text.removesuffix(SUFFIX), names, n=2, cutoff=0.8)
    return BadInput(
        f"there is no backup {text!r} in {home.backups}", next_step=f"did you mean {' or '.join(near)}?" if near else "v6 backup list"
    )
