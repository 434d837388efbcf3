"""The archive itself: written once, in order, and read back as a stream that bounds and checks every member.

``Writer`` makes ``backup/manifest.json``, the files in the manifest's order, ``backup/SHA256SUMS``. ``read`` takes nothing else: each
file that the manifest lists once, with the size it says, and the folders above them. So what a reader writes is bounded before the
first file is made, and nothing of an archive that lies is ever looked at a second time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from v6cli.backup import manifest as manifests
from v6cli.backup import names, tar
from v6cli.backup.errors import BadArchive, NoManifest
from v6cli.backup.gzipped import Gunzip
from v6cli.backup.manifest import MANIFEST, SUMS, File, Manifest

LEVEL = 2  # 1.03 of the size that gzip makes at a tenth of its time; level 1 is 1.07 of it and saves a fifth of that tenth
THREADS = 2
_BLOCK = 512 << 10  # bytes that a thread takes at a time; about ten such are in memory
_CHUNK = 1 << 20
_SYNC_EVERY = 64 << 20
_LONGEST_LINE = 240  # letters: a name in a hostile archive may go on for ever

Content = Iterable[bytes | memoryview]


class Read(Struct, frozen=True):
    """An archive that was read to its end: its manifest with the sums of all files, the file's own sum and size."""

    manifest: Manifest
    sha256: str
    size: int


class Writer:
    """Writes one archive to an open file. ``sha256`` is the file's own, once it was closed."""

    def __init__(self, file: BinaryIO, manifest: Manifest) -> None:
        from isal import igzip_threaded

        self._summed = _Summed(file)
        self._gzip = igzip_threaded.open(self._summed, "wb", LEVEL, threads=THREADS, block_size=_BLOCK)  # type: ignore[no-untyped-call]
        self._manifest = manifest
        self._modified = max(0, int(manifest.taken.timestamp()))
        self._folders: set[str] = set()
        self._own = self._member(MANIFEST, [text := manifests.encoded(manifest)], len(text), self._modified)

    @property
    def sha256(self) -> str:
        """The sum of what was written."""
        return self._summed.digest.hexdigest()

    def add(self, file: File, content: Content, modified: int) -> None:
        """Add the next file of the manifest, which learns its sum. Raises ValueError where the content is not of its size."""
        file.sha256 = self._member(file.path, content, file.size, modified)

    def close(self) -> None:
        """Write the sums and the end."""
        text = manifests.sums_text(self._manifest, self._own)
        self._member(SUMS, [text], len(text), self._modified)
        self._gzip.write(tar.END)
        self._gzip.close()
        self._summed.settle()

    def give_up(self) -> None:
        """End the threads of an archive that will not be whole; what they still say is of no interest."""
        with contextlib.suppress(Exception):
            self._summed.deaf = True
            self._gzip.close()
        self._summed.settle()

    def _member(self, path: str, content: Content, size: int, modified: int) -> str:
        name = f"{names.TOP}/{path}"
        if name.rpartition("/")[0] not in self._folders:
            for folder in reversed([one for one in names.folders_of(name) if one not in self._folders]):
                self._folders.add(folder)
                self._gzip.write(tar.header(folder, 0, self._modified, folder=True))
        self._gzip.write(tar.header(name, size, modified))
        digest, written = hashlib.sha256(), 0
        for chunk in content:
            digest.update(chunk)
            written += len(chunk)
            self._gzip.write(chunk)
        if written != size:
            raise ValueError(f"{path} has {written} bytes, not {size}")
        self._gzip.write(bytes(tar.padding(size)))
        return digest.hexdigest()


class _Summed:
    """A file to write to that sums what passes, and begins now and then to put it on the disk: an fsync at the end would be waited for."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self.deaf = False
        self._file = file
        self._begun = 0
        self._written = 0
        self._syncing: threading.Thread | None = None

    def write(self, data: bytes) -> int:
        if self.deaf:
            return len(data)
        self.digest.update(data)
        self._written += len(data)
        if self._written - self._begun >= _SYNC_EVERY and (self._syncing is None or not self._syncing.is_alive()):
            self._begun = self._written
            self._syncing = threading.Thread(target=self._sync, name="backup to disk", daemon=True)
            self._syncing.start()
        return self._file.write(data)

    def flush(self) -> None:
        if not self.deaf:
            self._file.flush()

    def settle(self) -> None:
        """Wait for what was begun, before the file may be closed."""
        if self._syncing is not None:
            self._syncing.join()

    def _sync(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the fsync at the end says what is wrong
            os.fdatasync(self._file.fileno())


def read(path: Path, begin: Callable[[Manifest], None], take: Callable[[File, int, Iterator[memoryview]], None]) -> Read:
    """Read an archive in one pass, checking each header, name, size and sum.

    ``begin`` gets the manifest, whose sums are not known yet, before any file; ``take`` each file with the moment it was modified
    (seconds since 1970) and its content in chunks, all of which it must consume. What they were given is proven only once this returns.
    Raises BadArchive naming archive and reason, NoManifest where the archive does not begin with a manifest, BadInput where it cannot
    be read.
    """
    with _naming(path), Gunzip(path) as stream:
        manifest, own = _manifest(stream)
        begin(manifest)
        found = _files(stream, manifest, take)
        _check_sums(manifest, own, found)
        _check_end(stream)
        return Read(manifest, stream.sha256, stream.compressed)


def head(path: Path) -> bytes:
    """The manifest's text, with nothing behind it read. Raises BadArchive, NoManifest, BadInput."""
    with _naming(path), Gunzip(path) as stream:
        return _manifest_text(stream)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What is wrong is said of the archive by its name."""
    try:
        yield
    except BadArchive as error:
        said = error.message if len(error.message) <= _LONGEST_LINE else f"{error.message[:120]}…{error.message[-100:]}"
        raise type(error)(f"{path.name} is refused: {said}", next_step=error.next_step) from error


def _manifest(stream: Gunzip) -> tuple[Manifest, str]:
    text = _manifest_text(stream)
    return manifests.decoded(text), hashlib.sha256(text).hexdigest()


def _manifest_text(stream: Gunzip) -> bytes:
    try:
        header = _next(stream)
        if header is not None and header.kind == tar.FOLDER and header.name == f"{names.TOP}/":
            header = _next(stream)
    except BadArchive as error:
        raise NoManifest(f"it does not begin with a manifest: {error.message}") from error
    if header is None or header.kind != tar.FILE or header.name != f"{names.TOP}/{MANIFEST}":
        raise NoManifest("it does not begin with a manifest")
    if header.size > manifests.LONGEST:
        raise BadArchive(f"its manifest has {header.size:,} bytes")
    text = bytes(stream.exactly(header.size))
    _skip_padding(stream, header.size)
    return text


def _files(stream: Gunzip, manifest: Manifest, take: Callable[[File, int, Iterator[memoryview]], None]) -> dict[str, str]:
    """Read every file and the list of sums, which is last; the sums that it says."""
    awaited = {file.path: file for file in manifest.files}
    folders = {folder for path in awaited for folder in names.folders_of(path)}
    while True:
        header = _next(stream)
        if header is None:
            raise BadArchive("it ends without its list of sums")
        path = _below_top(header)
        if header.kind == tar.FOLDER:
            if path not in folders:
                raise BadArchive(f"the folder {path!r} is not of its manifest, or there twice")
            folders.discard(path)
            continue
        if path == SUMS:
            if awaited:
                raise BadArchive(f"{len(awaited)} files of its manifest are missing, {next(iter(awaited))!r} for one")
            if header.size != manifests.sums_size(manifest):
                raise BadArchive("its list of sums has another size than it must have")
            text = bytes(stream.exactly(header.size))
            _skip_padding(stream, header.size)
            return manifests.parsed_sums(text)
        file = awaited.pop(path, None)
        if file is None:
            raise BadArchive(f"{path!r} is not of its manifest, or there twice")
        if header.size != file.size:
            raise BadArchive(f"{path!r} has {header.size:,} bytes, its manifest says {file.size:,}")
        digest = hashlib.sha256()
        take(file, header.modified, _content(stream, file.size, digest.update))
        _skip_padding(stream, file.size)
        file.sha256 = digest.hexdigest()


def _content(stream: Gunzip, size: int, update: Callable[[memoryview], None]) -> Iterator[memoryview]:
    """A member's bytes, in one piece where it is small."""
    if size <= _CHUNK:
        if size:
            whole = memoryview(stream.exactly(size))
            update(whole)
            yield whole
        return
    while size:
        chunk = stream.some(min(size, _CHUNK))
        if not chunk:
            raise BadArchive("it is cut off: it ends in the middle of a file")
        update(chunk)
        size -= len(chunk)
        yield chunk


def _check_sums(manifest: Manifest, own: str, said: dict[str, str]) -> None:
    read_sums = {MANIFEST: own} | {file.path: file.sha256 for file in manifest.files}
    if said.keys() != read_sums.keys():
        raise BadArchive("its list of sums is not of the files of its manifest")
    for path, sha256 in read_sums.items():
        if said[path] != sha256:
            raise BadArchive(f"{path!r} is damaged: its sum is not the one in {SUMS}")


def _check_end(stream: Gunzip) -> None:
    if bytes(stream.exactly(len(tar.END))) != tar.END:
        raise BadArchive(f"something follows behind {SUMS}")
    if stream.some(1):
        raise BadArchive("something follows behind its end")


def _next(stream: Gunzip) -> tar.Header | None:
    """The next header, with the PAX header before it taken in; None for a block of zeros."""
    header = tar.parse(bytes(stream.exactly(tar.BLOCK)))
    if header is None or header.kind != "pax":
        return header
    content = bytes(stream.exactly(header.size))
    _skip_padding(stream, header.size)
    plain = tar.parse(bytes(stream.exactly(tar.BLOCK)))
    if plain is None or plain.kind == "pax":
        raise BadArchive("a PAX header stands alone")
    return tar.with_records(plain, content)


def _skip_padding(stream: Gunzip, size: int) -> None:
    if any(stream.exactly(tar.padding(size))):
        raise BadArchive("something is hidden between two files")


def _below_top(header: tar.Header) -> str:
    name = header.name.removesuffix("/") if header.kind == tar.FOLDER else header.name
    top, _, path = name.partition("/")
    if top != names.TOP or not path:
        raise BadArchive(f"{header.name!r} is not below {names.TOP}/")
    return path
