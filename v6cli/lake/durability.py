"""Commits that survive a loss of power.

deltalake never fsyncs. A commit killed with its process is whole or absent; one that the power took away may have lost its
log file's content, or data files that it names. So each commit is made durable before anything names it, and one that no
sync has named yet is looked at before it is built upon.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from v6cli.files import sync_folder

LOG = "_delta_log"
_PARQUET_END = b"PAR1"


def commit_file(table: Path, version: int) -> Path:
    """Where the log of the table in folder ``table`` keeps its commit ``version``."""
    return table / LOG / f"{version:020}.json"


def sync_commit(table: Path, version: int) -> None:
    """Make the commit durable: the data files it adds, their folders, then its log file and the log's folder. Raises OSError."""
    log_file = commit_file(table, version)
    added = [table / unquote(action["path"]) for action in _added(log_file)]
    for path in added:
        _sync_file(path)
    for folder in sorted({path.parent for path in added} | {table}):
        sync_folder(folder)
    _sync_file(log_file)
    sync_folder(log_file.parent)


def sync_names(table: Path) -> None:
    """Make the table's own name durable. Raises OSError."""
    sync_folder(table)
    sync_folder(table.parent)


def sync_checkpoint(table: Path, version: int) -> None:
    """Make a checkpoint durable, so that the log files before it may go. Raises OSError."""
    for name in (f"{version:020}.checkpoint.parquet", "_last_checkpoint"):
        _sync_file(table / LOG / name)
    sync_folder(table / LOG)


def last_checkpoint(table: Path) -> int:
    """The version of the table's last checkpoint, 0 where there is none."""
    try:
        return int(msgspec.json.decode((table / LOG / "_last_checkpoint").read_bytes())["version"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return 0


def is_whole(table: Path, version: int) -> bool:
    """Whether the commit's log file can be read and each data file it adds is there, in full."""
    try:
        added = list(_added(commit_file(table, version)))
        return all(_is_complete(table / unquote(action["path"]), action["size"]) for action in added)
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return False


def later_commits(table: Path, version: int) -> list[int]:
    """The versions after ``version`` whose log files are there, ascending."""
    found: list[int] = []
    while commit_file(table, version + len(found) + 1).exists():
        found.append(version + len(found) + 1)
    return found


def last_commit(table: Path) -> int | None:
    """The highest version that has a log file, None where there is none."""
    return max(_versions(table), default=None)


def torn_end(table: Path, most: int) -> list[int]:
    """The commits at the end of the log that are not whole, the last first, at most ``most`` of them; the first of all is none."""
    ends = itertools.takewhile(lambda version: version and not is_whole(table, version), sorted(_versions(table), reverse=True))
    return list(itertools.islice(ends, most))


def drop_commits(table: Path, versions: list[int]) -> None:
    """Take commits off the end of the log, the last first, so that the table is what it was before them. Raises OSError."""
    for version in sorted(versions, reverse=True):
        commit_file(table, version).unlink()
    sync_folder(table / LOG)


def _versions(table: Path) -> list[int]:
    """The versions that have a log file, in no order."""
    return [int(path.stem) for path in (table / LOG).glob("*.json") if path.stem.isdigit()]


def _added(log_file: Path) -> Iterator[dict[str, Any]]:
    """The add actions in a commit's log file. Raises msgspec.DecodeError, and ValueError for an empty file."""
    lines = log_file.read_bytes().splitlines()
    if not lines:
        raise ValueError(f"{log_file} is empty")
    for line in lines:
        action = msgspec.json.decode(line)
        if "add" in action:
            yield action["add"]


def _is_complete(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) != size:
            return False
        file.seek(-len(_PARQUET_END), os.SEEK_END)
        return file.read() == _PARQUET_END


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
