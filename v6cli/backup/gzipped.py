"""A gzip stream read ahead by a thread, with the sum of the file it comes from.

One stream and nothing behind it: readers differ in what they make of a second one, and so could be shown different contents.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from v6cli.backup.errors import BadArchive
from v6cli.errors import BadInput

_READ = 256 << 10
_CHUNK = 1 << 20
_AHEAD = 4  # chunks


class Gunzip:
    """The decompressed bytes of a file, in order. Every method raises BadArchive, and BadInput where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self.sha256 = ""  # of the file itself, once all of it was read
        self.compressed = 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise _unreadable(path, error) from error
        self._path = path
        self._chunks: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._chunk = memoryview(b"")
        self._thread = threading.Thread(target=self._ahead, name="gunzip", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._chunks.get(timeout=0.02)
            except queue.Empty:
                continue
        self._file.close()

    def some(self, most: int) -> memoryview:
        """The next bytes, at least one and at most ``most``; empty at the end."""
        if not self._chunk:
            self._next()
        found, self._chunk = self._chunk[:most], self._chunk[most:]
        return found

    def exactly(self, size: int) -> bytes | memoryview:
        """The next ``size`` bytes; an archive that ends before is cut off."""
        if size <= len(self._chunk):
            found, self._chunk = self._chunk[:size], self._chunk[size:]
            return found
        parts = []
        while size:
            part = self.some(size)
            if not part:
                raise BadArchive("it is cut off: it ends in the middle of a file")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _next(self) -> None:
        found = self._chunks.get()
        if isinstance(found, BaseException):
            self._chunks.put(None)
            raise found
        if found is None:
            self._chunks.put(None)  # asked again, the end is still there
            return
        self._chunk = memoryview(found)

    def _ahead(self) -> None:
        try:
            self._decompress()
            self._put(None)
        except OSError as error:
            self._put(_unreadable(self._path, error))
        except BaseException as error:  # noqa: BLE001  it is raised where the stream is read
            self._put(error)

    def _decompress(self) -> None:
        from isal import igzip_lib

        stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        digest = hashlib.sha256()
        while raw := self._file.read(_READ):
            digest.update(raw)
            self.compressed += len(raw)
            if stream.eof:
                raise BadArchive("something follows behind its end")
            while not stream.eof:
                try:
                    chunk = stream.decompress(raw, _CHUNK)
                except (igzip_lib.IsalError, EOFError) as error:  # type: ignore[misc]  # its stub calls the class a value
                    raise BadArchive(f"it is damaged: {str(error).lower()}") from error
                if chunk and not self._put(chunk):
                    return
                raw = b""
                if stream.needs_input:
                    break
            if stream.unused_data:
                raise BadArchive("something follows behind its end")
        if not stream.eof:
            raise BadArchive("it is cut off" if self.compressed else "it is empty")
        self.sha256 = digest.hexdigest()

    def _put(self, chunk: bytes | BaseException | None) -> bool:
        """Hand on a chunk; False where nobody reads any more."""
        while not self._stop.is_set():
            try:
                self._chunks.put(chunk, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{path} cannot be read: {error.strerror}")
