"""Two folders exchanged at once, which only the kernel can do: whoever looks finds the one whole or the other."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import tempfile
from pathlib import Path

from v6cli.errors import CannotWrite, Refused
from v6cli.files import private_folder, sync_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_BY_HAND = "take it out with tar -xzf, and copy its data/lake there while v6 services stop keeps everything down"


def exchange(one: Path, other: Path) -> None:
    """Let two folders of one file system take each other's place, durably. Raises OSError; then both are where they were."""
    library = ctypes.CDLL(None, use_errno=True)
    done = library.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one))
    for folder in {one.parent, other.parent}:
        sync_folder(folder)


def check_place(lake: Path, beside: Path) -> None:
    """Refuse a lake that cannot be exchanged for a folder in ``beside``: one behind a link, on a mount, or on a disk that cannot do it.

    Two empty folders beside them are exchanged to see. Raises Refused, CannotWrite.
    """
    check_exchangeable(lake)
    private_folder(lake.parent)
    private_folder(beside)
    tried: list[Path] = []
    try:
        tried = [Path(tempfile.mkdtemp(prefix=".exchange-", dir=folder)) for folder in (lake.parent, beside)]
        exchange(*tried)
    except OSError as error:
        if error.errno in {errno.EXDEV, errno.EBUSY, errno.EINVAL, errno.ENOSYS}:
            raise _impossible(lake, f"its disk cannot exchange folders: {error.strerror}") from error
        raise CannotWrite(f"{lake.parent} cannot be written: {error.strerror}") from error
    finally:
        for folder in tried:
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_exchangeable(lake: Path) -> None:
    """Refuse a lake that is plainly not to be exchanged; nothing is tried. Raises Refused."""
    if lake.is_symlink() or lake.parent.is_symlink():
        raise _impossible(lake, "it is behind a link")
    if lake.exists() and not lake.is_dir():
        raise _impossible(lake, "it is no folder")
    if inside := mounts(lake):
        raise _impossible(lake, f"{inside[0]} is a mount")


def mounts(folder: Path) -> list[str]:
    """Where something is mounted on the folder or below it, as the kernel lists it; a bind mount shows nowhere else."""
    place = os.path.realpath(folder)
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return [place] if os.path.ismount(place) else []
    found = [os.fsdecode(line.split()[4].replace(b"\\040", b" ")) for line in lines]
    return sorted(path for path in found if path == place or path.startswith(place + "/"))


def sync_everything(folder: Path) -> None:
    """Bring all that was written to the file system of ``folder`` to its disk. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if library.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def identity(folder: Path) -> tuple[int, int] | None:
    """Which folder this is, under whatever name; None where there is none."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _impossible(lake: Path, why: str) -> Refused:
    return Refused(f"the lake {lake} cannot be exchanged at once: {why}", next_step=_BY_HAND)
