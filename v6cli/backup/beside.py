"""What a backup holds beside the lake: state, the latch for the record, and the settings without their secrets."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from v6cli import permits, secrets
from v6cli.backup import names
from v6cli.backup.manifest import LeftOut
from v6cli.home import Home

LARGEST = 16 << 20  # bytes of one file of settings
_SECRET_SUFFIXES = {".pem", ".key", ".p12", ".pfx", ".jks", ".age", ".gpg", ".asc", ".env"}

_VALUE = ("- ", '"', "'", "[", "{", *"0123456789")  # how a value begins that is in the column of its key


class Small(Struct, frozen=True):
    """A file that is read at once: its path below ``backup/``, its content, when it was modified."""

    path: str
    content: bytes
    modified: int


def settings_files(home: Home, *, include_secrets: bool) -> tuple[list[Small], list[LeftOut]]:
    """The files of the home's ``config``, and those left out: what holds a secret, what is a link, what cannot be read."""
    return _collected(home.config, names.CONFIG, include_secrets=include_secrets)


def latch_files(home: Home) -> tuple[list[Small], list[LeftOut]]:
    """The marks of the latch and the journal's spare file, for the record: no restore puts them back."""
    found, left_out = _collected(home.latch, f"{names.STATE}{home.latch.name}/", include_secrets=True)
    marks = [file for file in found if not file.path.rsplit("/", 1)[-1].startswith(permits.PREFIX)]
    if home.spare_journal.is_file():
        marks.append(_read(home.spare_journal, names.STATE + home.spare_journal.name))
    return marks, left_out


def _collected(folder: Path, below: str, *, include_secrets: bool) -> tuple[list[Small], list[LeftOut]]:
    found: list[Small] = []
    left_out: list[LeftOut] = []
    for path in _walk(folder):
        name = below + path.relative_to(folder).as_posix()
        try:
            status = path.lstat()
            if why := names.problem(name) or _unfit(status):
                left_out.append(LeftOut(name, f"it {why}"))
                continue
            file = _read(path, name)
        except FileNotFoundError:
            continue
        except OSError as error:
            left_out.append(LeftOut(name, f"it cannot be read: {error.strerror}", lost=True))
            continue
        if not include_secrets and (why := secret_in(path, file.content)):
            left_out.append(LeftOut(name, why))
        else:
            found.append(file)
    return found, left_out


def secret_in(path: Path, content: bytes) -> str:
    """Why this file of settings is taken to hold a secret; empty where it holds none. What cannot be read as text might."""
    if path.suffix.lower() in _SECRET_SUFFIXES or secrets.is_secret(path.stem) or path.name.startswith(("id_", ".env")):
        return "its name says that it is a secret"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "it is no text, and may be a secret"
    found = _secret_in_toml(text) if path.suffix == ".toml" else _secret_line(text)
    return f"it holds a secret: {found}" if found else ""


def _secret_in_toml(text: str) -> str:
    """The first key whose value is a secret, or the first line with one that was made a comment of."""
    try:
        if found := next(_secret_keys(tomllib.loads(text)), ""):
            return found
    except tomllib.TOMLDecodeError:
        return _secret_line(text)
    for number, line in enumerate(text.splitlines(), 1):
        with contextlib.suppress(tomllib.TOMLDecodeError):  # prose, as most comments are
            if any(_secret_keys(tomllib.loads(line.partition("#")[2].lstrip("# ")))):
                return f"line {number}"
    return ""


def _secret_keys(values: dict[str, Any], prefix: str = "", *, secret: bool = False) -> Iterator[str]:
    """The keys whose values are secrets, by their names, by that of the table they are in, or by what they hold."""
    for key, value in values.items():
        named = secret or secrets.is_secret(key)
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, list):
                waiting += one
            elif isinstance(one, dict):
                yield from _secret_keys(one, f"{prefix}{key}.", secret=named)
            elif _tells(one, named=named):
                yield prefix + key


def _tells(value: object, *, named: bool) -> bool:
    """Whether a value is a secret, which its name says or its shape; a switch is none."""
    if isinstance(value, str):
        return bool(value) and (named or secrets.redact(value) != value)
    return named and isinstance(value, int | float) and not isinstance(value, bool)


def _secret_line(text: str) -> str:
    """The first line of a text that is no TOML in which something looks like a secret, or which names the one on the next line."""
    written = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip("# \t")]
    for (number, line), (_, following) in itertools.pairwise([*written, (0, "")]):
        if secrets.redact(line) != line or _is_of_key(_uncommented(line), _uncommented(following)):
            return f"line {number}"
    return ""


def _is_of_key(line: str, following: str) -> bool:
    """Whether a line is the key of a secret alone, and the next has its value: YAML indents it, lists and JSON need not."""
    key, value = line.strip("- \t"), following.lstrip()
    if not key.endswith((":", "=")) or not secrets.is_secret(key[:-1].strip(" \"'")):
        return False
    return len(following) - len(value) > len(line.rstrip()) - len(key) or value.startswith(_VALUE)


def _uncommented(line: str) -> str:
    """What was made a comment, by itself."""
    comment = line.lstrip()
    return comment.lstrip("#") if comment.startswith("#") else line


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below the folder, in order; links are not followed."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in sorted([*files, *linked]):
            yield Path(root) / name


def _unfit(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is a link" if stat.S_ISLNK(status.st_mode) else "is no file"
    return f"is larger than {LARGEST >> 20} MB" if status.st_size > LARGEST else ""


def _read(path: Path, name: str) -> Small:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return Small(name, file.read(LARGEST), max(0, int(os.fstat(descriptor).st_mtime)))
