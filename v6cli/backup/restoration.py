"""How far a restore has come, kept on the disk: whatever ends it, the next v6 knows, and can go on or go back.

All of it lives in ``data/restore``: the record, and the folder of the restore in which the lake waits that is to come, and after the
exchange the one that was. The record names both by inode, so that after a crash the disk itself says whether they were exchanged:
by either of the two, for the other may have been lost or made anew.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from v6cli.backup import exchange, names
from v6cli.errors import BadConfiguration, CannotWrite, Unavailable
from v6cli.files import sync_folder, write_durably
from v6cli.home import Home

#: ``begun``: agreed to. ``exchanging``: everything is stopped and saved. ``exchanged``: the lake is the restored one, settings and state
#: follow. ``united``: they did. ``starting``: services may run, and are being started. ``done``: they were; the old lake is kept.
#: ``rolling back``: the old lake is on its way back. ``rolled back``: it is there, and services are being started.
Phase = Literal["begun", "exchanging", "exchanged", "united", "starting", "done", "rolling back", "rolled back"]

UNFINISHED = "a restore is unfinished"
NEXT = "v6 restore --continue, or v6 restore --rollback"
SETTLED: frozenset[Phase] = frozenset({"starting", "done", "rolled back"})  # which lake is in its place is decided, and services may run
_EXCHANGED: frozenset[Phase] = frozenset({"exchanged", "united", "starting", "done"})  # recorded once the lakes had been exchanged


class Restoration(Struct, frozen=True):
    """One restore. ``came`` and ``was`` are the restored and the earlier lake, by device and inode; times are UTC."""

    id: str
    phase: Phase
    archive: str
    sha256: str
    taken: datetime | None
    began: datetime
    came: tuple[int, int] | None = None
    was: tuple[int, int] | None = None
    safety: str = ""
    only: list[str] = []
    config: list[str] = []
    start: bool = True

    def folder(self, home: Home) -> Path:
        """Where it keeps what is to come, or what was."""
        return home.restore / self.id

    def at(self, phase: Phase, **known: object) -> Restoration:
        """The same restore, further on."""
        return msgspec.structs.replace(self, phase=phase, **known)


def keep(home: Home, restoration: Restoration) -> Restoration:
    """Record how far it has come, durably. Raises CannotWrite."""
    write_durably(home.restore_record, msgspec.json.format(msgspec.json.encode(restoration), indent=1) + b"\n")
    return restoration


def forget(home: Home) -> None:
    """The restore is over: no record says otherwise. Raises CannotWrite."""
    try:
        home.restore_record.unlink(missing_ok=True)
        sync_folder(home.restore)
    except OSError as error:
        raise CannotWrite(f"{home.restore_record} cannot be removed: {error.strerror}") from error


def recorded(home: Home) -> Restoration | None:
    """The last restore that is neither rolled back nor discarded. Raises BadConfiguration where its record cannot be read."""
    try:
        return msgspec.json.decode(home.restore_record.read_bytes(), type=Restoration)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadConfiguration(
            f"{home.restore_record} cannot be read, so how far a restore came is unknown: {error}",
            next_step=f"look into {home.restore}: it has the lake that is not in use; then remove the record",
        ) from error


def unfinished(home: Home) -> Restoration | None:
    """The restore that was begun and has not come to its lake. Raises BadConfiguration where that cannot be told."""
    found = recorded(home)
    return found if found is not None and found.phase not in SETTLED else None


def check_finished(home: Home) -> None:
    """Raise BadConfiguration while a restore is unfinished: nothing that sends or writes the lake may start."""
    if found := unfinished(home):
        raise BadConfiguration(f"{UNFINISHED}: {found.archive}, at the step {found.phase!r}", next_step=NEXT)


def check_started(home: Home) -> None:
    """Raise Unavailable where a restore, or the way back, has not started all services; BadConfiguration where that cannot be told."""
    found = recorded(home)
    if found is not None and found.phase in SETTLED and found.phase != "done":
        raise Unavailable(
            f"the services were not started again after the restore of {Path(found.archive).name}", next_step="v6 restore --continue"
        )


def exchanged(home: Home, own: Restoration) -> bool:
    """Whether the restored lake is in its place, and the one from before in the folder of the restore. Raises BadConfiguration."""
    if own.came is None or own.phase == "rolled back":
        return False
    aside = own.folder(home) / names.LAKE
    here, there = exchange.identity(home.lake), exchange.identity(aside)
    if _same(here, own.came) or _same(there, own.was):
        return True
    if _same(here, own.was) or _same(there, own.came):
        return False
    if own.phase in _EXCHANGED:  # a home that was copied to another disk
        return True
    raise BadConfiguration(
        f"which of {home.lake} and {aside} is the lake from before the restore cannot be told: both were replaced since",
        next_step=f"put the one that is wanted into {home.lake}, then remove {home.restore_record}",
    )


def _same(found: tuple[int, int] | None, recorded: tuple[int, int] | None) -> bool:
    """By inode alone: a disk may have another number each time it is mounted, and both lakes are on one disk."""
    return found is not None and recorded is not None and found[1] == recorded[1]


def sweep(home: Home) -> None:
    """Remove what restores left that no record names. Nobody else may be restoring."""
    named = recorded(home)
    with contextlib.suppress(OSError):
        for entry in home.restore.iterdir():
            if entry != home.restore_record and (named is None or entry.name != named.id):
                shutil.rmtree(entry, ignore_errors=True)
                entry.unlink(missing_ok=True)
