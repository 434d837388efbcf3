"""The copies of backups in another place: found, sent, fetched, removed.

Beside each copy lies its sum, as beside a backup, and it is written last, once the whole copy was read back and is the one that was
sent: a copy without it never ended. One that is encrypted has two, its own and the archive's. ``….verified`` says that the backup was
opened and found whole, so that the newest of these survives here too, when the machine that knew it is gone. ``….of-MARK`` says whose
it is, in its name, so that one list tells it of all; older copies have none. What it is not proven to own a home never removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import msgspec
from msgspec import Struct

from v6cli import clock, latch
from v6cli.backup import encryption, place, retention, scratch
from v6cli.backup.catalogue import RECORD_SUFFIX, Kept, Record
from v6cli.backup.create import SUM_SUFFIX
from v6cli.backup.retention import Fate
from v6cli.backup.whose import Owner
from v6cli.errors import BadConfiguration, BadInput, CannotWrite, Unavailable
from v6cli.events import Note, Progress, Report
from v6cli.files import FILE_MODE
from v6cli.results import bytes_text
from v6cli.settings import Backups

WHAT = "copy"
FOLDER = "v6-copy"
THIS_HOME, ANOTHER_HOME = "this home", "another home"
ATTEMPTS = 3
_PAUSE = 2.0  # wall seconds before the second attempt, twice that before the third
_TOLD_EVERY = 8 << 20  # bytes
_FILE = re.compile(r"(backup_\d{8}_\d{6}\.tar\.gz)(\.age)?(\.sha256|\.verified|\.of-([0-9a-f]{16}))?")
_OF = ".of-"
_SUM = re.compile(rb"([0-9a-f]{64})\s")

T = TypeVar("T")


class Copy(Struct, frozen=True):
    """One copy by the name of its archive. ``whole`` where its sum is there, ``size`` in bytes as it lies there.

    ``marks`` are of the homes that sent it: none of an older one, two where they gave their backups one name.
    """

    archive: str
    size: int
    encrypted: bool
    whole: bool
    verified: bool
    marks: tuple[str, ...] = ()

    def of(self, owner: Owner) -> bool:
        """Whether this home, and no other, sent it."""
        return self.marks == (owner.mark,)

    @property
    def file(self) -> str:
        """Its name in its place."""
        return self.archive + (encryption.SUFFIX if self.encrypted else "")

    @property
    def kept(self) -> Kept:
        """It, as retention judges a backup."""
        record = Record(clock.now(), 0, "", self.size, 0, []) if self.verified else None
        return Kept(Path(self.archive), self.size, record)


class Copies:
    """The copies in one place."""

    def __init__(self, where: str, own: Backups) -> None:
        self.where = where
        self._own = own
        self._place = place.at(where)

    def found(self) -> list[Copy]:
        """Every copy, the newest first; of two of one backup the whole one, else the encrypted. Raises Unavailable, BadConfiguration."""
        sizes = _again(self._place.sizes)
        marks = _marks(sizes)
        copies: dict[str, Copy] = {}
        for name in sorted(sizes):
            match = _FILE.fullmatch(name)
            if match and not match[3]:
                whole, verified = name + SUM_SUFFIX in sizes, match[1] + RECORD_SUFFIX in sizes
                one = Copy(match[1], sizes[name], bool(match[2]), whole, verified, marks.get(match[1], ()))
                if one.archive not in copies or one.whole:
                    copies[one.archive] = one
        return [copies[name] for name in sorted(copies, reverse=True)]

    def send(self, archive: Path, report: Report) -> None:
        """Carry one backup there and read it back. Raises Unavailable, BadConfiguration, BadInput for a damaged one, CannotWrite."""
        try:
            with archive.open("rb") as file:
                said = _SUM.match(archive.with_name(archive.name + SUM_SUFFIX).read_bytes())
                sha256 = _sum_of(file)
                if said is None or said[1].decode() != sha256:
                    raise BadInput(f"{archive.name} is not the one whose sum lies beside it", next_step="v6 backup verify")
                if self._own.recipient:
                    with scratch.folder(archive.parent, FOLDER) as folder:
                        self._send_encrypted(archive.name, file, sha256, folder, report)
                else:
                    self._send(archive.name, file, sha256, report)
        except OSError as error:
            raise CannotWrite(f"{archive.name} cannot be copied: {error.filename or archive.parent}: {error.strerror}") from error

    def claim(self, archive: str, owner: Owner) -> None:
        """Say of a copy that it is of this home. Raises Unavailable."""
        self._put_text(f"{archive}{_OF}{owner.mark}", f"{owner.label}\n")

    def same(self, archive: Path) -> bool | None:
        """Whether the copy of this name is of this backup; None where a sum is missing, and it cannot be told. Raises Unavailable."""
        try:
            here, there = archive.with_name(archive.name + SUM_SUFFIX).read_bytes(), self._text(archive.name + SUM_SUFFIX)
        except OSError:
            return None
        ours, theirs = _SUM.match(here), _SUM.match(there)
        return ours[1] == theirs[1] if ours and theirs else None

    def check_same(self, archive: Path) -> None:
        """Raise BadConfiguration where the copy of this name is of a backup that another home made at that second. Raises Unavailable."""
        if self.same(archive) is False:
            raise BadConfiguration(
                f"{self.where} has another backup by the name {archive.name}: of another home, which keeps its copies there, too",
                next_step="v6 config set backup.remote s3://BUCKET/PREFIX, one of its own for each home",
            )

    def homes(self, found: list[Copy], owner: Owner) -> dict[str, str]:
        """Of which home each copy is, by its archive, in words; those that name none are left out. Raises Unavailable."""
        labels = {owner.mark: THIS_HOME}
        for one in found:
            for mark in one.marks:
                if mark not in labels:
                    labels[mark] = self._label(f"{one.archive}{_OF}{mark}")
        return {one.archive: " and ".join(labels[mark] for mark in one.marks) for one in found if one.marks}

    def mark_verified(self, archive: str) -> None:
        """Say of a copy that its backup was opened and found whole. Raises Unavailable."""
        self._put_text(archive + RECORD_SUFFIX, f"verified {clock.now().isoformat()}\n")

    def fetch(self, copy: Copy, folder: Path, report: Report) -> Path:
        """Bring a copy into the folder, as the archive that it was, with its sum beside it. Raises BadInput, Unavailable, CannotWrite."""
        if not copy.whole:
            raise BadInput(f"{copy.file} in {self.where} never arrived whole", next_step="v6 backup list --remote shows the others")
        if (free := scratch.free(folder)) < copy.size * (2 if copy.encrypted else 1):
            raise CannotWrite(f"{folder} has no room for {copy.file}: {bytes_text(copy.size)}, {bytes_text(free)} are free")
        try:
            path = folder / copy.archive
            arrived = folder / copy.file
            _again(lambda: self._fetch(copy, arrived, report))
            if copy.encrypted:
                with arrived.open("rb") as source, _new(path) as target:
                    encryption.decrypt(source, target, self._own, copy.file)
                arrived.unlink()
            with contextlib.suppress(FileNotFoundError), _new(path.with_name(path.name + SUM_SUFFIX)) as target:
                target.write(self._text(path.name + SUM_SUFFIX))
            return path
        except OSError as error:
            raise CannotWrite(f"{error.filename or folder}: {error.strerror}") from error

    def fates(self, keep: float, here: list[Kept], owner: Owner) -> list[Fate]:
        """What pruning does with each whole copy: with this home's as with its backups, with any other nothing. Raises as ``found``."""
        now, whole = clock.now(), [one for one in self.found() if one.whole]
        backups = {one.path.name: one for one in here}
        ours = {one.archive: one for one in whole if self._is_of(one, owner, backups)}
        verified = {name for name, one in backups.items() if one.verified}
        copies = [msgspec.structs.replace(one, verified=True) if one.archive in verified else one for one in ours.values()]
        judged = {fate.kept.path.name: fate for fate in retention.fates([one.kept for one in copies], keep, now)}
        homes = self.homes([one for one in whole if one.archive not in ours], owner)
        for one in whole:
            if one.archive not in ours:
                why = f"of {homes[one.archive]}" if one.archive in homes else "nothing says or proves that it is of this home"
                judged[one.archive] = Fate(one.kept, retention.age_of(one.kept, now), why, ours=False)
        return [judged[one.archive] for one in whole]

    def remove(self, going: list[Fate], owner: Owner) -> None:
        """Remove copies, and what lies there of this home's beside none. Raises Unavailable, BadConfiguration."""
        sizes = _again(self._place.sizes)
        names = [(match, name) for name in sizes if (match := _FILE.fullmatch(name))]
        there = {match[1] for match, _ in names if not match[3]}
        cut_off = {archive for archive, marks in _marks(sizes).items() if marks == (owner.mark,)} - there
        gone = {one.kept.path.name for one in going} | cut_off
        # The archive goes first: what lies beside it means nothing without it. Whose it was goes last: somebody may have to go on.
        for match, name in sorted(names, key=lambda pair: (pair[0][1], bool(pair[0][3]), bool(pair[0][4]))):
            if match[1] in gone:
                self._place.remove(name)

    def _is_of(self, copy: Copy, owner: Owner, backups: dict[str, Kept]) -> bool:
        """Whether it is proven to be this home's: by its mark, or of an older copy by the sum of the backup that this home has."""
        if copy.marks or copy.archive not in backups:
            return copy.of(owner)
        return self.same(backups[copy.archive].path) is True

    def _label(self, name: str) -> str:
        """What a home calls itself, in one line, whoever wrote it."""
        try:
            return latch.one_line(self._text(name).decode(errors="replace")) or ANOTHER_HOME
        except FileNotFoundError:
            return ANOTHER_HOME

    def _send_encrypted(self, name: str, file: BinaryIO, sha256: str, folder: Path, report: Report) -> None:
        path = folder / f"{name}{encryption.SUFFIX}"
        with _new(path) as target:
            encryption.encrypt(file, target, self._own.recipient)
        self._put_text(name + SUM_SUFFIX, f"{sha256}  {name}\n")
        with path.open("rb") as encrypted:
            self._send(path.name, encrypted, _sum_of(encrypted), report)

    def _send(self, name: str, file: BinaryIO, sha256: str, report: Report) -> None:
        size = file.seek(0, io.SEEK_END)

        def once() -> None:
            file.seek(0)
            self._place.put(name, cast("BinaryIO", _Told(file, size, report)), size)
            if self._sum_there(name) != sha256:
                raise Unavailable(f"{self.where}: {name} that was read back is not the one that was sent")

        _again(once, report)
        self._put_text(name + SUM_SUFFIX, f"{sha256}  {name}\n")

    def _fetch(self, copy: Copy, into: Path, report: Report) -> None:
        try:
            said = _SUM.match(self._text(copy.file + SUM_SUFFIX))
        except FileNotFoundError:
            raise Unavailable(f"{self.where}: {copy.file} is gone") from None
        digest, done = hashlib.sha256(), 0
        into.unlink(missing_ok=True)
        with _new(into) as target:
            for chunk in self._there(copy.file):
                digest.update(chunk)
                target.write(chunk)
                done += len(chunk)
                report(Progress(WHAT, min(done, copy.size), copy.size, "bytes"))
                if done > copy.size:
                    break
        if said is None or digest.hexdigest().encode() != said[1]:
            raise BadInput(f"{copy.file} in {self.where} is damaged: its sum is not the one beside it", next_step="v6 backup list --remote")

    def _sum_there(self, name: str) -> str:
        digest = hashlib.sha256()
        for chunk in self._there(name):
            digest.update(chunk)
        return digest.hexdigest()

    def _text(self, name: str) -> bytes:
        """The beginning of a short file. Raises FileNotFoundError."""
        return _again(lambda: next(iter(self._place.get(name)), b""))[:200]

    def _put_text(self, name: str, text: str) -> None:
        content = text.encode()
        _again(lambda: self._place.put(name, io.BytesIO(content), len(content)))

    def _there(self, name: str) -> Iterator[bytes]:
        try:
            yield from self._place.get(name)
        except FileNotFoundError:
            raise Unavailable(f"{self.where}: {name} is gone") from None


class _Told(io.RawIOBase):
    """A file that tells how far it was read."""

    def __init__(self, file: BinaryIO, size: int, report: Report) -> None:
        self._file, self._size, self._report, self._told = file, size, report, 0

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size)
        if (done := self._file.tell()) - self._told >= _TOLD_EVERY or done == self._size:
            self._told = done
            self._report(Progress(WHAT, done, self._size, "bytes"))
        return content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _marks(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The marks that lie beside each archive, by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(names):
        if (match := _FILE.fullmatch(name)) and match[4]:
            found[match[1]] = (*found.get(match[1], ()), match[4])
    return found


def _sum_of(file: BinaryIO) -> str:
    """The sum of an open file, which is then at its beginning again."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(place.CHUNK):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


@contextlib.contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        yield file


def _again(act: Callable[[], T], report: Report | None = None) -> T:
    """Try it up to three times while the place does not answer as it should. Raises the last failure."""
    for attempt in range(1, ATTEMPTS):
        try:
            return act()
        except Unavailable as error:
            if report:
                report(Note(f"{error.message}; trying again"))
            clock.pause_blocking(_PAUSE * attempt)
    return act()
