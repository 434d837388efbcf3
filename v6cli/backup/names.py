"""Which names a backup may hold: paths that stay below its own folders on every file system, and never meet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from v6cli.backup.errors import BadArchive

TOP = "backup"
LAKE = "data/lake/"
STATE = "data/state/"
CONFIG = "config/"

_LONGEST, _LONGEST_PART = 1024, 255  # bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")  # a backslash divides folders elsewhere, and sha256sum writes it another way


def problem(path: str) -> str:
    """What is wrong with a path below ``backup/``, in words behind its name; empty where nothing is."""
    if path.startswith("/"):
        return "is absolute"
    parts = path.split("/")
    if ".." in parts:
        return "leaves the archive's folder"
    if "" in parts or "." in parts:
        return "is written in a second way"
    if _CONTROL.search(path):
        return "has a character that no name needs"
    try:
        if len(path.encode()) > _LONGEST or (len(path) > _LONGEST_PART // 4 and any(len(part.encode()) > _LONGEST_PART for part in parts)):
            return "is too long"
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not path.startswith((LAKE, STATE, CONFIG)):
        return f"is neither in {LAKE} nor {STATE} nor {CONFIG}"
    return ""


def folders_of(path: str) -> Iterable[str]:
    """The folders above a path, the nearest first."""
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def folded(path: str) -> str:
    """The path as a file system sees it that tells neither case nor Unicode forms apart."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def collision(paths: Iterable[str]) -> tuple[str, str] | None:
    """Two names among the paths and the folders above them that some file system would take for one; None where none are."""
    seen: dict[str, str] = {}
    folders: set[str] = set()
    files = list(paths)
    for path in files:
        for folder in folders_of(path):
            if folder in folders:
                break
            folders.add(folder)
            if seen.setdefault(folded(folder), folder) != folder:
                return seen[folded(folder)], folder
    for path in files:
        if (other := seen.setdefault(folded(path), path)) != path or path in folders:
            return other, path
    return None


def check_all(paths: Iterable[str]) -> None:
    """Refuse paths that leave, repeat or collide. Raises BadArchive."""
    listed = list(paths)
    for path in listed:
        if why := problem(path):
            raise BadArchive(f"the name {path!r} {why}")
    if len(set(listed)) != len(listed):
        twice = next(path for path in listed if listed.count(path) > 1)
        raise BadArchive(f"{twice!r} is listed twice")
    if both := collision(listed):
        raise BadArchive(f"{both[0]!r} and {both[1]!r} are one name on other file systems")
