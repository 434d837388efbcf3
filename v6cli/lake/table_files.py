"""The files that make one Delta table at one version: the end of its log, and the data files that it names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from v6cli.lake.durability import LOG
from v6cli.lake.errors import LakeUnreadable, first_line

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")


class Vanished(Exception):
    """A file was removed before it could be read: what is wanted is another, later set of versions."""


def log_files(log: Path, version: int) -> list[str]:
    """The files of the log that make ``version``. Raises Vanished where some are missing, OSError."""
    commits: dict[int, str] = {}
    parts: dict[tuple[int, int], list[str]] = {}
    for entry in os.listdir(log):  # noqa: PTH208  names are all that is wanted
        if match := _COMMIT.fullmatch(entry):
            commits[int(match[1])] = entry
        elif match := _CHECKPOINT.fullmatch(entry):
            parts.setdefault((int(match[1]), int(match[3] or 1)), []).append(entry)
    whole = [(at, of) for (at, of), names in parts.items() if at <= version and len(names) == of]
    start, of = max(whole, default=(-1, 0))
    needed = range(start + 1, version + 1)
    if missing := [number for number in needed if number not in commits]:
        raise Vanished(f"its log lacks the commit {missing[0]}")
    newest = [commits[start]] if start in commits else []
    return sorted(parts.get((start, of), [])) + newest + [commits[number] for number in needed]


def check_log(table: Path, version: int) -> None:
    """Raise LakeUnreadable where a file of the log that makes ``version`` is empty: deltalake takes it for a commit that changed nothing,
    and shows a table without what it added. A log that is shortened meanwhile is left to the next look.
    """
    log = table / LOG
    try:
        names = log_files(log, version)
        checkpointed = {name[:20] for name in names if name.endswith(".parquet")}  # the commit itself is not read beside it
        read = [name for name in names if not (name.endswith(".json") and name[:20] in checkpointed)]
        emptied = next((name for name in read if not (log / name).stat().st_size), None)
    except (Vanished, FileNotFoundError):
        return
    except OSError as error:
        raise LakeUnreadable(f"the lake's table {table.name} cannot be read: {error.strerror}: {error.filename}") from error
    if emptied is not None:
        raise LakeUnreadable(f"the lake's table {table.name} is damaged: {log / emptied} is empty")


def data_files(table: Any) -> tuple[list[tuple[str, int]], int | None]:
    """The data files that an open table names, by path in its folder, with their sizes; and its rows where the log knows them.

    Raises LakeUnreadable for one that lies outside of the folder.
    """
    actions = table.get_add_actions(flatten=True)
    columns = actions.schema.names
    paths = [unquote(path) for path in actions.column("path").to_pylist()]
    for path in paths:
        if path.startswith("/") or ":" in path.split("/")[0] or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise LakeUnreadable(f"its log names a file outside of its folder: {path}")
    rows = actions.column("num_records").to_pylist() if "num_records" in columns else [None]
    files = sorted(zip(paths, actions.column("size_bytes").to_pylist(), strict=True))
    return files, None if None in rows else sum(rows)


def check_deletion_vectors(table: Any, folder: Path) -> None:
    """Raise LakeUnreadable for an open table that has rows which a file of their own says are deleted: the list of its files does not name
    that one, and counts the rows. v6 writes none. The log alone is read: the file may be said to lie anywhere. Raises Vanished, OSError.
    """
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return
    import duckdb

    log = folder / LOG
    having: set[str] = set()
    for name in log_files(log, table.version()):
        try:
            having = _with_deletion_vectors(log / name, having)
        except (duckdb.Error, ValueError, KeyError, TypeError) as error:
            raise LakeUnreadable(f"{log / name} cannot be read: {first_line(error)}") from error
    if having:
        raise LakeUnreadable(f"its rows are deleted by deletion vectors, which v6 cannot copy: {len(having)} of its files have one")


def _with_deletion_vectors(path: Path, before: set[str]) -> set[str]:
    """The data files with deletion vectors after this file of the log."""
    import duckdb

    if path.suffix == ".parquet":
        try:
            found = duckdb.execute("SELECT add.path FROM read_parquet(?) WHERE add.deletionVector IS NOT NULL", [str(path)]).fetchall()
        except duckdb.BinderException:  # its writer knew of none
            found = []
        return before | {one for (one,) in found}
    actions = [json.loads(line) for line in path.read_bytes().splitlines()]
    removed = {action["remove"]["path"] for action in actions if "remove" in action}
    added = [action["add"] for action in actions if "add" in action]
    return before - removed - {one["path"] for one in added} | {one["path"] for one in added if one.get("deletionVector")}


def schema_of(table: Any) -> dict[str, Any]:
    """The schema of an open table as Delta writes it."""
    schema: dict[str, Any] = json.loads(table.schema().to_json())
    return schema
