"""What the commands of ``v6 backup`` show."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

from v6cli.backup import retention
from v6cli.backup.catalogue import Described
from v6cli.backup.compare import Difference
from v6cli.backup.copies import Copy
from v6cli.backup.create import Backup
from v6cli.backup.manifest import LeftOut, Manifest
from v6cli.backup.retention import Fate
from v6cli.backup.verify import Verified
from v6cli.results import Column, Table, bytes_text, count

_TABLES = (
    Column("table"),
    Column("version", kind="integer"),
    Column("rows", kind="integer"),
    Column("files", kind="integer", rank=1),
    Column("bytes", kind="bytes", unit="bytes"),
    Column("note", wraps=True),
)


def planned(manifest: Manifest, needed: int, free: int) -> Table:
    """A dry run: the tables that would go in."""
    title = f"dry run: nothing was written; {bytes_text(manifest.bytes)} would go in"
    room = f"about {bytes_text(needed)} of {bytes_text(free)} free are needed"
    facts: list[tuple[Column, Any]] = [
        (Column("needed", unit="bytes"), needed),
        (Column("free", unit="bytes"), free),
        (Column("bytes", unit="bytes"), manifest.bytes),
        (Column("files"), len(manifest.files)),
    ]
    return _tables("v6.backup-plan/1", title, manifest, [room, *_notes(manifest)], facts)


def made(backup: Backup) -> Table:
    """A finished backup."""
    manifest = backup.manifest
    title = f"backup {backup.path} ({bytes_text(backup.size)})"
    facts: list[tuple[Column, Any]] = [
        (Column("archive"), str(backup.path)),
        (Column("size", unit="bytes"), backup.size),
        (Column("sha256"), backup.sha256),
        (Column("bytes", unit="bytes"), manifest.bytes),
        (Column("files"), len(manifest.files)),
        (Column("seconds", unit="s"), round(backup.seconds, 3)),
        (Column("left_out"), [one.what for one in manifest.left_out]),
    ]
    rate = f"{bytes_text(manifest.bytes)} in {backup.seconds:.1f} s ({bytes_text(manifest.bytes / max(backup.seconds, 1e-3))}/s)"
    return _tables("v6.backup/1", title, manifest, [rate, *_notes(manifest)], facts)


def _tables(schema: str, title: str, manifest: Manifest, notes: list[str], facts: list[tuple[Column, Any]]) -> Table:
    rows = [(one.name, one.version, one.rows, one.files, one.bytes, _of(one.known, one.named)) for one in manifest.tables]
    totals = ("", "", manifest.tables and sum(row[2] for row in rows), sum(row[3] for row in rows), sum(row[4] for row in rows), "")
    return Table(
        schema,
        title,
        _TABLES,
        list(rows),
        totals=totals if rows else None,
        as_of=manifest.taken,
        notes=notes,
        empty="no table in the lake",
        facts=facts,
    )


def _of(known: bool, named: bool) -> str:
    if not known:
        return "not v6's, its latest version"
    return "" if named else "no sync names it, its latest version"


def _notes(manifest: Manifest) -> list[str]:
    notes = []
    if manifest.sync is not None:
        notes.append(f"tables at the versions of sync {manifest.sync.run}")
    notes += [f"{_word(one)}: {one.what}: {one.why}" for one in manifest.left_out]
    if manifest.strays:
        few = ", ".join(manifest.strays[:3]) + (", …" if len(manifest.strays) > 3 else "")
        notes.append(f"of no table, and not in it: {count(len(manifest.strays), 'stray file')} in the lake: {few}")
    return notes


def _word(one: LeftOut) -> str:
    return "MISSING" if one.lost else "left out"


def verified(found: list[Verified]) -> Table:
    """What verifying found, a row for each thing that was looked at."""
    columns = (Column("backup"), Column("what"), Column("status", kind="status"), Column("finding", wraps=True))
    rows = [(_name(one), finding.subject, finding.status.value, finding.text) for one in found for finding in one.findings]
    words = ["healthy", "degraded", "unhealthy"]
    code = max((one.code for one in found), default=0)
    title = "; ".join(f"{_name(one)}: {words[one.code]}, {bytes_text(one.size)} in {one.seconds:.1f} s" for one in found[:3])
    return Table("v6.backup-verify/1", title, columns, list(rows), verdict=words[code])


def _name(one: Verified) -> str:
    return one.path.name.removesuffix(".tar.gz")


def listed(found: list[Described], missing: list[date], now: datetime) -> Table:
    """The backups of the home, and which sessions have none."""
    columns = (
        Column("backup"),
        Column("age", kind="seconds", unit="s"),
        Column("size", kind="bytes", unit="bytes"),
        Column("tables", kind="integer"),
        Column("rows", kind="integer"),
        Column("verified", kind="status"),
        Column("note", wraps=True),
    )
    rows = [_listed(one, now) for one in found]
    facts: list[tuple[Column, Any]] = [
        (Column("size", unit="bytes"), sum(one.kept.size for one in found)),
        (Column("gaps"), [day.isoformat() for day in missing]),
    ]
    days = ", ".join(f"{day:%a} {day.isoformat()}" for day in missing)
    note = f"GAPS: no backup of the sessions {days}" if missing else "each of the last 7 sessions has one"
    title = f"{count(len(found), 'backup')}, {bytes_text(sum(one.kept.size for one in found))}"
    return Table("v6.backup-list/1", title, columns, rows, notes=[note], empty="no backup yet: v6 backup", facts=facts, as_of=now)


def _listed(one: Described, now: datetime) -> tuple[Any, ...]:
    summary, record = one.summary, one.kept.record
    verified = "never" if record is None else ["ok", "degraded", "unhealthy"][record.code]
    age = retention.age_of(one.kept, now)
    if summary is None:
        return (one.kept.name, age, one.kept.size, None, None, verified, one.problem)
    notes = [f"lacks {lost.what}" for lost in summary.lost] + (["with secrets"] if summary.secrets else [])
    return (one.kept.name, age, one.kept.size, len(summary.tables), summary.rows, verified, ", ".join(notes))


def copies(found: list[Copy], homes: dict[str, str], here: set[str], where: str, now: datetime) -> Table:
    """The copies in their place. ``homes`` says whose they are, as far as known; ``here`` names those of which this home has the backup."""
    columns = (
        Column("backup"),
        Column("age", kind="seconds", unit="s"),
        Column("size", kind="bytes", unit="bytes"),
        Column("encrypted"),
        Column("verified", kind="status"),
        Column("here"),
        Column("home", missing="unknown"),
        Column("note", wraps=True),
    )
    rows = [
        (
            one.kept.name,
            retention.age_of(one.kept, now),
            one.size,
            "age" if one.encrypted else "no",
            "ok" if one.verified else "never",
            "yes" if one.archive in here else "no",
            homes.get(one.archive),
            "" if one.whole else "never arrived whole: the next v6 backup sends it again",
        )
        for one in found
    ]
    total = sum(one.size for one in found)
    title = f"{count(len(found), 'backup')} in {where}, {bytes_text(total)}"
    lacking = len(here - {one.archive for one in found if one.whole})
    notes = [f"{count(lacking, 'backup')} of this home not there: v6 backup sends what is missing"] if lacking else []
    return Table("v6.backup-copies/1", title, columns, list(rows), notes=notes, empty="no copy yet: v6 backup", as_of=now)


def pruned(found: list[Fate], copies: list[Fate], keep: float, *, dry_run: bool) -> Table:
    """What pruning did, or would do."""
    columns = (
        Column("backup"),
        Column("place"),
        Column("age", kind="seconds", unit="s"),
        Column("size", kind="bytes", unit="bytes"),
        Column("fate", kind="status"),
        Column("why", wraps=True),
    )
    word = "would go" if dry_run else "removed"
    rows = [
        (one.kept.name, place, one.age, one.kept.size, word if one.goes else "kept", one.why or f"older than {keep:g} days")
        for place, fates in (("here", found), ("copy", copies))
        for one in fates
    ]
    gone = [one for one in found if one.goes]
    title = f"{count(len(gone), 'backup')} {word}, {bytes_text(sum(one.kept.size for one in gone))}"
    if copies:
        title += f"; of copies, {sum(one.goes for one in copies)}"
    notes = [] if any(one.kept.verified for one in found) or not found else ["none of them was ever verified: v6 backup verify"]
    if left := sum(not one.ours for one in copies):
        notes.append(f"left alone of the copies, since not proven to be of this home: {left}")
    return Table("v6.backup-prune/1", title, columns, list(rows), notes=notes, empty="no backup yet: v6 backup")


def compared(before: Path, after: Path, found: list[Difference]) -> Table:
    """What changed between two backups."""
    columns = (Column("kind"), Column("name"), Column("before", wraps=True), Column("after", wraps=True), Column("change"))
    rows = [(one.kind, one.name, one.before, one.after, one.change) for one in found]
    title = f"from {before.name.removesuffix('.tar.gz')} to {after.name.removesuffix('.tar.gz')}"
    return Table("v6.backup-diff/1", title, columns, list(rows), empty="they hold the same")
