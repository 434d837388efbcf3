"""Copies of the backups, and when they move: carried away after a backup, fetched for a restore, pruned with the rest."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from v6cli import clock, locks
from v6cli.backup import catalogue, encryption, retention, scratch, whose
from v6cli.backup.copies import FOLDER, Copies, Copy
from v6cli.backup.retention import Fate
from v6cli.backup.whose import Owner
from v6cli.errors import BadConfiguration, BadInput, Unavailable, V6Error
from v6cli.events import Note, Report
from v6cli.home import Home
from v6cli.settings import Backups


class Carried(Struct, frozen=True):
    """What came of carrying copies to ``where`` (empty where none are wanted): those that arrived, and what stopped it."""

    where: str
    names: list[str] = []
    error: V6Error | None = None


def carry(home: Home, own: Backups, report: Report) -> Carried:
    """Carry every backup that is worth keeping and has no copy yet, the newest first. What stops it is in the answer: the backups stand."""
    if not own.remote:
        return Carried("")
    names: list[str] = []
    try:
        with _alone(home):
            place, us = copies(own), whose.marked(home)
            there = {one.archive: one for one in place.found() if one.whole}
            for number, fate in enumerate(retention.fates(catalogue.backups(home), own.keep, clock.now())):
                archive = fate.kept.path
                copy = there.get(archive.name)
                if copy and not number:  # the others were asked about when they were the newest
                    place.check_same(archive)
                if fate.goes:
                    continue
                if copy is None:
                    report(Note(f"copying {archive.name} to {own.remote}"))
                    place.claim(archive.name, us)
                    place.send(archive, report)
                    names.append(archive.name)
                elif not copy.marks and place.same(archive):  # an older v6 sent it
                    place.claim(archive.name, us)
                elif not copy.of(us):
                    continue
                if fate.kept.verified and not (copy and copy.verified):
                    place.mark_verified(archive.name)
    except V6Error as error:
        return Carried(own.remote, names, error)
    return Carried(own.remote, names)


def check_carried(carried: Carried) -> None:
    """Raise what stopped it, saying that the backup stands. Raises Unavailable, or BadConfiguration where nothing but a change helps."""
    if error := carried.error:
        step = f"{error.next_step}; then " if error.next_step else ""
        error_type = type(error) if error.exit_code == 78 else Unavailable
        raise error_type(
            f"the backup stands, but its copy did not arrive: {error.message}", next_step=f"{step}v6 backup copies what is missing"
        ) from error


def copies(own: Backups) -> Copies:
    """The copies of this home's backups. Raises BadConfiguration where the settings name no place for them."""
    if not own.remote:
        raise BadConfiguration("no place for copies is named", next_step="v6 config set backup.remote s3://BUCKET/PREFIX")
    return Copies(own.remote, own)


def prune(home: Home, own: Backups, keep: float, *, dry_run: bool) -> tuple[list[Fate], V6Error | None]:
    """Remove copies as backups are removed; the fate of each, and what stopped it.

    Of older copies the backups here are what proves whose they are: these are pruned after it, and all the same where something stopped it.
    """
    if not own.remote:
        return [], None
    try:
        with contextlib.nullcontext() if dry_run else _alone(home):
            there, us = copies(own), whose.known(home)
            found = there.fates(keep, catalogue.backups(home), us)
            if not dry_run:
                there.remove([one for one in found if one.goes], us)
            return found, None
    except V6Error as error:
        return [], error


@contextlib.contextmanager
def chosen(home: Home, own: Backups, wanted: str, into: Path, report: Report, everything: bool) -> Iterator[list[Path]]:
    """The archives that a command line means, copies fetched. Raises UsageError, and as ``archive_of``."""
    if everything:
        yield catalogue.chosen(home, wanted, everything=True)
        return
    with archive_of(home, own, wanted, into, report) as path:
        yield [path]


@contextlib.contextmanager
def archive_of(home: Home, own: Backups, wanted: str, into: Path | None, report: Report) -> Iterator[Path]:
    """The archive of a name, a path, an address or ``latest``: one of this home, or else a copy, fetched to a folder below ``into``.

    Of the copies ``latest`` is the newest that this home sent, or where it sent none the newest of all; the report says whose.
    The folder goes at the end; with ``into`` None it is none of the home's. Raises BadInput naming what there is, Unavailable where a copy cannot be had, BadConfiguration.
    """
    here = None if "://" in wanted or wanted.endswith(encryption.SUFFIX) else _here(home, own, wanted)
    if here is not None:
        yield here
        return
    there, name = _address(own, wanted)
    us = whose.known(home)
    copy = _named(there, name, us)
    with scratch.folder(into, FOLDER) if into else _elsewhere() as folder:
        sender = there.homes([copy], us).get(copy.archive)
        report(Note(f"fetching {copy.file}{f' of {sender}' if sender else ''} from {there.where}"))
        yield there.fetch(copy, folder, report)


@contextlib.contextmanager
def _elsewhere() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="v6-copy-") as folder:
        yield Path(folder)


def _here(home: Home, own: Backups, wanted: str) -> Path | None:
    """The archive in this home or at a path; None where a copy may be meant."""
    try:
        return catalogue.resolve(home, wanted)
    except BadInput:
        if not own.remote or "/" in wanted:
            raise
        return None


def _address(own: Backups, wanted: str) -> tuple[Copies, str]:
    if "/" not in wanted:
        return Copies(own.remote, own), wanted
    where, _, name = (wanted if "://" in wanted else str(Path(wanted).expanduser().absolute())).rpartition("/")
    try:
        msgspec.convert({"remote": where}, Backups)
    except msgspec.ValidationError:
        raise BadInput("that is no address of a copy", next_step="s3://bucket/prefix/backup_….tar.gz, or gs://, az://") from None
    return Copies(where, own), name


def _named(there: Copies, wanted: str, us: Owner) -> Copy:
    found = there.found()
    if wanted == catalogue.LATEST and (whole := [one for one in found if one.whole]):
        return next((one for one in whole if one.of(us)), whole[0])
    for one in found:
        if wanted in {one.file, one.archive, one.kept.name}:
            return one
    raise BadInput(f"there is no backup {wanted!r}, neither here nor in {there.where}", next_step="v6 backup list --remote")


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Nobody else carries copies meanwhile; backups are made all the same. Raises Unavailable naming who does, CannotWrite."""
    path = home.run / "copies.lock"
    lock = locks.try_hold(path, "v6 backup")
    if lock is None:
        raise Unavailable(f"copies are being carried already, by {locks.holder(path) or 'a process that cannot be seen'}")
    with lock:
        yield
