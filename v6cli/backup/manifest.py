"""What a backup holds, as its first member says.

The manifest comes first, so that whoever reads the archive as a stream can bound and check every member behind it. It lists each file
with its size; the sums are not known before the files have been read, and reading everything twice would cost a third of the time. So
they follow as the last member, ``SHA256SUMS``, which `sha256sum -c` reads in the extracted folder; the manifest's own is among them.
``Manifest`` in memory has both.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from v6cli.backup import names
from v6cli.backup.errors import BadArchive
from v6cli.results import visible

FORMAT = "v6.backup/1"
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
LONGEST = 256 << 20  # bytes of a manifest: a million files
_LARGEST = 1 << 50  # bytes of a file: more is a lie
_FIRST_YEAR, _LAST_YEAR = 1970, 9998

_SUM = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


class File(Struct):
    """One file, by its path below ``backup/``. ``sha256`` is empty until it is known."""

    path: str
    size: int
    sha256: str = ""


class Table(Struct, frozen=True):
    """One Delta table at the version that was taken; ``named`` where that is the version the last sync named, ``known`` where v6 writes it."""

    name: str
    version: int
    rows: int
    files: int
    bytes: int
    schema: dict[str, Any]
    known: bool = True
    named: bool = True


class Sync(Struct, frozen=True):
    """The sync whose versions the tables have. Times are UTC."""

    run: str
    number: int
    began: datetime
    ended: datetime | None


class LeftOut(Struct, frozen=True):
    """Something that is not in the backup, and why: in one line each, whoever named it. ``lost`` where it should have been."""

    what: str
    why: str
    lost: bool = False

    def __post_init__(self) -> None:
        """Names of files and of settings may hold line breaks, and a manifest anything: neither says what else stands on the screen."""
        msgspec.structs.force_setattr(self, "what", visible(self.what))
        msgspec.structs.force_setattr(self, "why", visible(self.why))


class Summary(Struct, frozen=True):
    """A manifest without its list of files: what a list of backups shows."""

    format: str
    taken: datetime
    home: str
    profile: str
    account: str
    trading_state: str
    trading_reason: str
    software: dict[str, str]
    sync: Sync | None
    tables: list[Table]
    left_out: list[LeftOut]
    strays: list[str]
    secrets: bool

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def lost(self) -> list[LeftOut]:
        """What should be in the backup, and is not."""
        return [one for one in self.left_out if one.lost]


class Manifest(Summary, frozen=True):
    """What a backup holds. ``taken`` is UTC; paths are below ``backup/``."""

    files: list[File] = []

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def table_files(self, table: str) -> list[File]:
        """The files of one table, its log included."""
        within = f"{names.LAKE}{table}/"
        return [file for file in self.files if file.path.startswith(within)]


def encoded(manifest: Manifest) -> bytes:
    """The manifest as its member holds it: without the sums, a line for each file so that a person can read it."""
    listed = msgspec.to_builtins(msgspec.structs.replace(manifest, files=[]))
    del listed["files"]
    files = [b" " + msgspec.json.encode({"path": file.path, "size": file.size}) for file in manifest.files]
    head = msgspec.json.format(msgspec.json.encode(listed), indent=1)
    return head[:-2] + b',\n "files": [\n' + b",\n".join(files) + b"\n ]\n}\n"


def decoded(content: bytes) -> Manifest:
    """The manifest in a member, its names checked. Raises BadArchive."""
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchive(f"its manifest cannot be read: {error}") from error
    _check_format(found)
    _check_moment(found)
    _check_account(found)
    names.check_all([file.path for file in found.files])
    for file in found.files:
        if not 0 <= file.size <= _LARGEST or file.sha256:
            raise BadArchive(f"its manifest says nonsense of {file.path!r}")
    listed = [table.name for table in found.tables]
    if len(set(listed)) != len(listed):
        raise BadArchive("its manifest lists a table twice")
    for table in found.tables:
        if not any(True for _ in found.table_files(table.name)):
            raise BadArchive(f"its manifest lists the table {table.name!r} without files")
    return found


def summary(content: bytes) -> Summary:
    """The manifest in a member without its files, which are not even looked at. Raises BadArchive."""
    try:
        found = msgspec.json.decode(content, type=Summary)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchive(f"its manifest cannot be read: {error}") from error
    _check_format(found)
    _check_moment(found)
    _check_account(found)
    return found


def sums_text(manifest: Manifest, own: str) -> bytes:
    """The last member: the sum of the manifest (``own``) and of each file."""
    return b"".join(f"{sha}  {path}\n".encode() for path, sha in ((MANIFEST, own), *((file.path, file.sha256) for file in manifest.files)))


def sums_size(manifest: Manifest) -> int:
    """How many bytes the last member has."""
    return sum(67 + len(path.encode()) for path in (MANIFEST, *(file.path for file in manifest.files)))


def parsed_sums(content: bytes) -> dict[str, str]:
    """The sums in the last member, by path. Raises BadArchive."""
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError:
        raise BadArchive("its list of sums is damaged") from None
    found: dict[str, str] = {}
    for line in lines[:-1]:
        match = _SUM.fullmatch(line)
        if match is None or match[2] in found:
            raise BadArchive("its list of sums is damaged")
        found[match[2]] = match[1]
    if lines[-1]:
        raise BadArchive("its list of sums is cut off")
    return found


def _check_format(found: Summary) -> None:
    if found.format != FORMAT:
        raise BadArchive(f"its manifest is of the format {found.format!r}, this v6 knows {FORMAT}", next_step="use the v6 that wrote it")


def _check_moment(found: Summary) -> None:
    if found.taken.tzinfo is None or not _FIRST_YEAR <= found.taken.year <= _LAST_YEAR:  # others cannot be told in every zone
        raise BadArchive(f"its manifest says nonsense of when it was taken: {found.taken}")


def _check_account(found: Summary) -> None:
    if not found.account.isprintable():
        raise BadArchive(f"its manifest says nonsense of its account: {found.account!r}")
