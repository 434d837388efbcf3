"""What changed from one backup to another."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from v6cli.backup import names
from v6cli.backup.manifest import File, Manifest, Table


class Difference(Struct, frozen=True):
    """One thing that is not the same: a table, a file of the settings, the state, the trading state, the account, a version of software."""

    kind: str
    name: str
    before: str
    after: str
    change: str


def compare(before: Manifest, after: Manifest) -> list[Difference]:
    """Every difference between two manifests whose sums are known."""
    return [*_facts(before, after), *_tables(before, after), *_files(before, after)]


def _facts(before: Manifest, after: Manifest) -> list[Difference]:
    pairs = [
        ("profile", before.profile, after.profile),
        ("account", before.account, after.account),
        ("trading state", before.trading_state, after.trading_state),
        ("last sync", before.sync.run if before.sync else "none", after.sync.run if after.sync else "none"),
        *(
            (f"version of {name}", before.software.get(name, ""), after.software.get(name, ""))
            for name in _both(before.software, after.software)
        ),
    ]
    return [Difference("fact", name, said, says, "changed") for name, said, says in pairs if said != says]


def _tables(before: Manifest, after: Manifest) -> list[Difference]:
    old, new = ({table.name: table for table in one.tables} for one in (before, after))
    found = []
    for name in _both(old, new):
        was, is_now = old.get(name), new.get(name)
        if change := _table_change(was, is_now):
            found.append(Difference("table", name, _told(was), _told(is_now), change))
    return found


def _table_change(was: Table | None, is_now: Table | None) -> str:
    if was is None:
        return "new"
    if is_now is None:
        return "gone"
    changes = []
    if was.rows != is_now.rows:
        changes.append(f"{is_now.rows - was.rows:+,} rows")
    elif was.version != is_now.version:
        changes.append("as many rows")
    if was.schema != is_now.schema:
        changes.append("another schema")
    return ", ".join(changes)


def _told(table: Table | None) -> str:
    return "" if table is None else f"version {table.version}, {table.rows:,} rows"


def _files(before: Manifest, after: Manifest) -> list[Difference]:
    """Files beside the tables: settings, state, latch."""
    old, new = ({file.path: file for file in one.files if not file.path.startswith(names.LAKE)} for one in (before, after))
    found = []
    for path in _both(old, new):
        was, is_now = old.get(path), new.get(path)
        if was is None or is_now is None or was.sha256 != is_now.sha256:
            change = "new" if was is None else "gone" if is_now is None else "changed"
            found.append(Difference("file", path, _size(was), _size(is_now), change))
    return found


def _size(file: File | None) -> str:
    return "" if file is None else f"{file.size:,} bytes"


def _both(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    return sorted({*one, *other})
