"""The trading state: ACTIVE, REDUCING or HALTED.

A folder beside the SQLite file, in which each halt and each reduce-only is a file of its own (a *mark*); that it exists is what
counts, so a full disk cannot hollow it out. Any halt means HALTED, else any reduce-only means REDUCING. A folder that is missing
or unreadable means HALTED: what cannot be read is not permission to trade. Tightening only adds marks; ``resume`` alone removes
some, exactly those that its caller was shown, so that a halt that came meanwhile stands.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from v6cli import clock
from v6cli.errors import CannotWrite, Refused
from v6cli.files import FILE_MODE, FOLDER_MODE, legible, private_folder, read_small, reserve, sync_folder
from v6cli.home import Home

BY_HAND = "log out of the account in TWS, or stop the gateway: nothing else keeps orders from leaving"
BALLAST = 256 << 10  # bytes kept for the latch on a full disk: room for some marks and the folder that names them


class TradingState(StrEnum):
    """What may leave for the gateway: anything, closing orders only, or cancels only."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


_PREFIX = {TradingState.HALTED: "halt", TradingState.REDUCING: "reduce"}


class Mark(Struct, frozen=True):
    """One halt or reduce-only: the name of its file, and what that says of why, who and when (UTC)."""

    name: str
    state: TradingState
    reason: str
    who: str = ""
    at: datetime | None = None


class Latch(Struct, frozen=True):
    """The state with the marks that make it, the oldest first; ``problem`` where it holds because the folder cannot be read."""

    state: TradingState
    marks: tuple[Mark, ...] = ()
    problem: str = ""

    @property
    def decisive(self) -> list[Mark]:
        """The marks of the state that holds."""
        return [mark for mark in self.marks if mark.state is self.state]

    @property
    def reason(self) -> str:
        """Why the state holds, in one line; empty when ACTIVE."""
        return self.problem or "; ".join(dict.fromkeys(mark.reason for mark in self.decisive))

    @property
    def since(self) -> datetime | None:
        """When the state began; None when ACTIVE, or unknown."""
        return min((mark.at for mark in self.decisive if mark.at is not None), default=None)


class _Written(Struct):
    reason: str
    who: str
    at: datetime


def one_line(text: str) -> str:
    """``text`` as a latch keeps and shows it: whatever was typed, one printable line. A halt is refused for nothing in its reason."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in legible(text)).split())


def make_open(home: Home) -> None:
    """Make the latch of a new home, with nothing halted. Raises CannotWrite."""
    private_folder(home.latch)
    sync_folder(home.latch.parent)
    reserve(home.latch_ballast, BALLAST)


def read(home: Home) -> Latch:
    """The trading state as it stands."""
    try:
        names = sorted(path.name for path in home.latch.iterdir())
    except OSError as error:
        return Latch(TradingState.HALTED, problem=f"the latch {home.latch} cannot be read: {error.strerror}")
    found = [_mark(home.latch / name, state) for state, prefix in _PREFIX.items() for name in names if name.startswith(prefix)]
    marks = tuple(sorted(found, key=lambda mark: (mark.at or datetime.min.replace(tzinfo=UTC), mark.name)))
    state = next((state for state in _PREFIX if any(mark.state is state for mark in marks)), TradingState.ACTIVE)
    return Latch(state, marks)


def tighten(home: Home, state: TradingState, reason: str, who: str) -> Mark:
    """Add a halt or a reduce-only, durably. Raises CannotWrite where it is not recorded, or may not outlive a crash of the machine."""
    import msgspec

    at = clock.wall()
    name = f"{_PREFIX[state]}-{at:%Y%m%dT%H%M%S.%f}-{os.getpid()}"
    content = msgspec.json.encode(_Written(one_line(reason), one_line(who), at))
    try:
        if home.latch.is_dir():
            _add(home, home.latch / name, content)
        else:
            _make_shut(home, name, content)
    except OSError as error:
        raise CannotWrite(f"NOT RECORDED: the latch {home.latch} cannot be written: {error.strerror}", next_step=BY_HAND) from error
    return Mark(name, state, one_line(reason), one_line(who), at)


def resume(home: Home, seen: Latch, to: TradingState, reason: str, who: str) -> Latch:
    """Remove the marks of ``seen``, or with ``to`` REDUCING its halts only; the state after it, whatever came meanwhile.

    Raises Refused where the latch cannot be read though it is there, CannotWrite also for a mark that is a folder with something in it.
    """
    if seen.problem and home.latch.exists():
        raise Refused(f"{seen.problem}: nobody can say what is halted", next_step=f"ls -ld {home.latch}")
    if to is TradingState.REDUCING and not any(mark.state is to for mark in seen.marks):
        tighten(home, to, reason, who)
    elif seen.problem:
        make_open(home)
    try:
        for mark in seen.marks:
            if mark.state is not to:
                _remove(home.latch / mark.name)
        sync_folder(home.latch)
    except OSError as error:
        raise CannotWrite(f"the latch {home.latch} cannot be written: {error.strerror}") from error
    with contextlib.suppress(CannotWrite):  # a full disk does not keep anybody from trading; the next halt still has its own file
        reserve(home.latch_ballast, BALLAST)
    return read(home)


def _remove(mark: Path) -> None:
    """Remove a mark, or the empty folder that somebody made in the place of one. Raises OSError, CannotWrite naming what to type."""
    try:
        mark.unlink(missing_ok=True)
    except OSError:
        if mark.is_symlink() or not mark.is_dir():
            raise
        try:
            mark.rmdir()
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            raise CannotWrite(
                f"the halt {mark} is a folder with something in it: it was made by hand, and goes by hand",
                next_step=f"ls -la {shlex.quote(str(mark))}, move what you need, then: rm -r {shlex.quote(str(mark))}",
            ) from None


def _add(home: Home, path: Path, content: bytes) -> None:
    """Make the file of a mark. Its name is what counts: that its content does not fit is no reason to lose it."""
    try:
        descriptor = _create(path)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        home.latch_ballast.unlink(missing_ok=True)
        descriptor = _create(path)
    try:
        with contextlib.suppress(OSError):
            os.write(descriptor, content)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def _make_shut(home: Home, name: str, content: bytes) -> None:
    """Make a latch that is missing with its first mark inside: an empty one, be it for an instant, would mean ACTIVE."""
    draft = home.latch.with_name(f".{name}.draft")
    private_folder(draft.parent)
    draft.mkdir(FOLDER_MODE)
    try:
        _add(home, draft / name, content)
        try:
            draft.rename(home.latch)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            _add(home, home.latch / name, content)  # somebody else was quicker
        sync_folder(draft.parent)
    finally:
        with contextlib.suppress(OSError):  # what counts has its name by now, or is said to have none
            (draft / name).unlink(missing_ok=True)
            draft.rmdir()


def _mark(path: Path, state: TradingState) -> Mark:
    import msgspec

    try:
        content = read_small(path)
        written = msgspec.json.decode(content, type=_Written)
        # A time without a zone was typed by hand: it says nothing certain.
        return Mark(path.name, state, one_line(written.reason), one_line(written.who), written.at if written.at.tzinfo else _touched(path))
    except OSError:
        return Mark(path.name, state, "no reason readable")
    except msgspec.MsgspecError:
        # Made by hand, or by a full disk: a file is a halt, whatever it says.
        return Mark(path.name, state, one_line(content.decode("utf-8", "replace"))[:200] or "no reason recorded", at=_touched(path))


def _touched(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
