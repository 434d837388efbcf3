"""Copies that only the holder of a key reads: the age format, which `age -d -i FILE` opens without v6.

The recipient is public and stands in the settings. The identity is a file that the settings name, or systemd's credential; its modes
are looked at, since a key that others read is none.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from v6cli.backup.bucket import MISSING
from v6cli.backup.errors import BadArchive
from v6cli.errors import BadConfiguration
from v6cli.settings import Backups

SUFFIX = ".age"
CREDENTIAL = "backup-identity"
_MARK = "AGE-SECRET-KEY-1"
_OTHERS, _WORLD = 0o077, 0o007  # systemd lets a service read its credential by an access list, which shows as the group's
_LONGEST = 64 << 10  # bytes of a file of identities


def encrypt(source: BinaryIO, target: BinaryIO, recipient: str) -> None:
    """Write what ``source`` holds, for the recipient's eyes alone. Raises BadConfiguration, OSError."""
    age = _age()
    try:
        to = age.x25519.Recipient.from_str(recipient)
    except age.RecipientError as error:
        raise BadConfiguration(f"backup.recipient is no key of age: {error}", next_step="age-keygen -y FILE prints it") from error
    age.encrypt_io(source, target, [to])


def decrypt(source: BinaryIO, target: BinaryIO, own: Backups, name: str) -> None:
    """Write what the copy ``name`` holds. Raises BadConfiguration for a key that is not its, BadArchive for a damaged one, OSError."""
    age = _age()
    identities, where = _identities(own)
    try:
        age.decrypt_io(source, target, identities)
    except age.DecryptError as error:
        if "matching" in str(error):
            raise BadConfiguration(
                f"{name} is encrypted to another key than the one in {where}", next_step="see backup.identity"
            ) from error
        raise BadArchive(f"{name} is refused: it is damaged, or no file of age: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadArchive(f"{name} is refused: it is damaged or cut off: {error}") from error


def _identities(own: Backups) -> tuple[list[Any], Path]:
    age = _age()
    path = _path(own)
    lines = [
        line.strip()
        for line in _private_text(path, _OTHERS if own.identity else _WORLD).splitlines()
        if line.strip() and not line.startswith("#")
    ]
    if not lines or not all(line.startswith(_MARK) for line in lines):
        raise BadConfiguration(f"{path} is no file of age keys: a line {_MARK}… is needed", next_step=f"age-keygen -o {path}")
    try:
        return [age.x25519.Identity.from_str(line) for line in lines], path
    except age.IdentityError as error:
        raise BadConfiguration(f"{path} has a key that cannot be used: {error}", next_step=f"age-keygen -o {path}") from error


def _path(own: Backups) -> Path:
    if own.identity:
        return Path(own.identity)
    if folder := os.environ.get("CREDENTIALS_DIRECTORY"):
        return Path(folder) / CREDENTIAL
    raise BadConfiguration("this copy is encrypted, and no key is named", next_step="v6 config set backup.identity FILE")


def _private_text(path: Path, forbidden: int) -> str:
    """The text of a file of this user's or root's that none of the ``forbidden`` modes opens. Raises BadConfiguration."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise BadConfiguration(f"{path} is no file")
            if found.st_uid not in {os.geteuid(), 0}:
                raise BadConfiguration(f"{path} belongs to somebody else", next_step=f"sudo chown {os.geteuid()} {path}")
            if found.st_mode & forbidden:
                raise BadConfiguration(
                    f"{path} can be read by others: its mode is {found.st_mode & 0o777:o}", next_step=f"chmod 600 {path}"
                )
            return file.read(_LONGEST).decode("ascii", "replace")
    except OSError as error:
        raise BadConfiguration(f"the key {path} cannot be read: {error.strerror}", next_step="see backup.identity") from error


def _age() -> Any:
    try:
        import pyrage
    except ImportError as error:
        raise BadConfiguration("encrypted copies need the package pyrage, which is not installed", next_step=MISSING) from error
    return pyrage
