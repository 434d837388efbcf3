"""What a restore would change, and what it did, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from v6cli import clock
from v6cli.backup import archive, manifest, names, restoration, staging
from v6cli.backup.restoration import Restoration
from v6cli.backup.staging import Row, Staged
from v6cli.errors import BadInput
from v6cli.home import Home
from v6cli.results import Column, Table
from v6cli.runbook import restore_settings
from v6cli.runbook.restore import Done
from v6cli.runbook.restore_asked import End, Wish

PLAN = (
    Column("table"),
    Column("rows_now", title="rows now", kind="integer", missing=""),
    Column("rows_then", title="rows then", kind="integer", missing=""),
    Column("newest_now", title="newest now", kind="time", missing="", rank=2),
    Column("newest_then", title="newest then", kind="time", missing="", rank=2),
    Column("change"),
)
STEPS = (Column("step"), Column("status", kind="status"), Column("finding", wraps=True))


def plan(staged: Staged, wish: Wish, home: Home) -> Table:
    """What would change, table by table."""
    rows = [_row(one) for one in staging.rows(staged, home, only=wish.only)]
    when = f", taken {clock.show(staged.taken)}" if staged.taken else ", without a manifest: only that its tables open is known"
    notes = [f"in the backup this is missing: {one.what}: {one.why}" for one in staged.lost]
    notes += [finding.text for finding in staged.findings if finding.exit_code and finding.text not in notes]
    notes += _settings(staged, wish, home)
    return Table(
        "v6.restore-plan/1", f"{staged.archive.name}{when}", PLAN, rows, as_of=clock.now(), notes=notes, empty="no table on either side"
    )


def steps(title: str, done: list[Done]) -> Table:
    """What was done."""
    return Table("v6.restore/1", title, STEPS, [(one.step, one.status, one.text) for one in done], as_of=clock.now())


def way(how: End, own: Restoration, home: Home) -> Table:
    """What going on, going back or letting go would do from where the restore is; nothing is written for it."""
    name, other = Path(own.archive).name, own.folder(home) / names.LAKE
    came = restoration.exchanged(home, own)
    rows: list[tuple[Any, ...]] = []
    if how == "discard":
        head = f"the lake from before the restore of {name} is let go for good"
        rows = [(*_row(one)[:-1], "then is let go") for one in staging.rows_between(home.lake, other)]
    elif how == "rollback":
        head = f"the lake from before the restore of {name} {'comes back' if came else 'is in its place already'}"
        rows = [_row(one) for one in staging.rows_between(home.lake, other)] if came else []
    else:
        head = f"the restore of {name} goes on from the step {own.phase!r}"
        rows = [] if came or own.phase in restoration.SETTLED else [_row(one) for one in _to_come(own, home, other)]
    return Table("v6.restore-plan/1", head, PLAN, rows, as_of=clock.now(), notes=_acts(how, own), empty="no table changes")


def _to_come(own: Restoration, home: Home, other: Path) -> list[Row]:
    """The tables that a restore will bring; before everything was stopped its archive says which, since what was taken out may be torn."""
    if own.phase != "begun":
        return staging.rows_between(home.lake, other)
    path = Path(own.archive)
    try:
        tables = manifest.summary(archive.head(path)).tables
    except BadInput:  # gone, or of an older layout
        return []
    return staging.rows(Staged(path, None, own.sha256, None, tables, []), home, only=own.only)


def _acts(how: End, own: Restoration) -> list[str]:
    """What happens beside the exchange, in the order of its steps."""
    if how == "discard":
        return ["nothing brings it back then" + (f" but the safety backup {Path(own.safety).name}" if own.safety else "")]
    services = f"services {'are started' if own.start else 'stay stopped'}"
    if how == "continue" and own.phase in restoration.SETTLED:
        return [services]
    said = ["trading is REDUCING until v6 resume, and every service is stopped"]
    if how == "continue" and own.phase == "begun":
        said.append("the archive is taken out once more, every sum checked, and what is there is backed up")
    if own.config:
        said.append(f"settings that {'come back' if how == 'rollback' else 'are restored'}: {', '.join(own.config)}")
    said.append(
        "the restored lake is thrown away; what state has learnt stays" if how == "rollback" else "state is united with the backup's"
    )
    said.append(f"then a sync with IB; {services}")
    return said


def title(how: End, own: Restoration) -> str:
    """What the steps are of."""
    return f"{how} of the restore of {Path(own.archive).name}"


def still_kept(own: Restoration, home: Home) -> str:
    """Where the earlier lake is, and how it comes back."""
    return f"the lake from before is kept in {own.folder(home)}; to bring it back: v6 restore --rollback"


def _row(one: Row) -> tuple[Any, ...]:
    return (one.table, one.rows_now, one.rows_then, one.newest_now, one.newest_then, _change(one))


def _change(one: Row) -> str:
    if one.rows_then is None:
        return "goes: it is not in the backup"
    if one.rows_now is None:
        return "comes: it is not here, or cannot be read"
    difference = one.rows_then - one.rows_now
    return f"{difference:+,} rows" if difference else "as many rows"


def _settings(staged: Staged, wish: Wish, home: Home) -> list[str]:
    if staged.folder is None:
        return []
    files = restore_settings.files(staged.folder)
    differ = [name for name in files if _bytes(staged.folder / name) != _bytes(home.root / name)]
    if not differ:
        return []
    if wish.config:
        return [f"settings that change: {', '.join(differ)}"]
    return [f"settings that differ and stay as they are: {', '.join(differ)}; --config takes them too"]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
