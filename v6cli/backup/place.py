"""Where copies of backups are kept: a folder that is mounted here, or a bucket. Both are the same few acts on flat names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from v6cli.errors import Unavailable
from v6cli.files import durable_file, private_folder, sync_folder

CHUNK = 8 << 20  # bytes


class Place(Protocol):
    """Files by their names. Every act raises Unavailable, and BadConfiguration where nothing would ever change that."""

    def sizes(self) -> dict[str, int]:
        """Every file by its name, with its size in bytes."""

    def put(self, name: str, file: BinaryIO, size: int) -> None:
        """Keep ``file``, which has ``size`` bytes, in the place of what had the name."""

    def get(self, name: str) -> Iterator[bytes]:
        """The content of a file in pieces. Raises FileNotFoundError where there is none."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is as good."""


def at(url: str) -> Place:
    """The place of an address: a bucket, or a folder by its absolute path. Raises BadConfiguration."""
    if url.startswith("/"):
        return Folder(Path(url))
    from v6cli.backup import bucket

    return bucket.Bucket(url)


class Folder:
    """A folder, on another disk as one hopes; its files are private and durable. A parent must be there: an empty mount point has none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        """Every file by its name."""
        with self._reached():
            if not self._path.parent.is_dir():
                raise Unavailable(f"{self._path.parent} is not there", next_step="mount it, or correct backup.remote")
            if not self._path.exists():
                return {}
            return {entry.name: entry.stat().st_size for entry in os.scandir(self._path) if entry.is_file(follow_symlinks=False)}

    def put(self, name: str, file: BinaryIO, size: int) -> None:
        """Keep the file under the name, once all of it is on the disk."""
        with self._reached():
            private_folder(self._path)
            draft = self._path / f".{name}.part"
            draft.unlink(missing_ok=True)
            with durable_file(draft) as out:
                left = size
                while left and (chunk := file.read(min(CHUNK, left))):
                    out.write(chunk)
                    left -= len(chunk)
            draft.replace(self._path / name)
            sync_folder(self._path)

    def get(self, name: str) -> Iterator[bytes]:
        """The content in pieces."""
        with self._reached(), (self._path / name).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def remove(self, name: str) -> None:
        """Remove the file."""
        with self._reached():
            (self._path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unavailable(f"{error.filename or self._path}: {error.strerror}") from error
