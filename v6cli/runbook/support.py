"""The support bundle: what somebody who was not there needs to see, in one archive without account numbers and secrets.

It is wanted exactly when things are broken: each part is gained on its own, and one that is not to be had leaves its reason.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from v6cli import clock, settings
from v6cli.errors import BadConfiguration, CannotWrite, Unavailable, UsageError, V6Error
from v6cli.events import Report, StepBegan, StepEnded
from v6cli.files import durable_file, legible
from v6cli.health import examine, render, status
from v6cli.health.gather import Facts
from v6cli.home import Home
from v6cli.lake import reader
from v6cli.results import Column, Result, Table, compact, count, to_json
from v6cli.runbook import halt, known, log_ends, machine, redaction, services
from v6cli.runbook.archive import Archive, Member
from v6cli.runbook.redaction import Redaction
from v6cli.settings import Settings
from v6cli.state import alerts, journal, runs
from v6cli.state.database import State, open_read_only
from v6cli.threads import aside

KIND = "support-bundle"
LONGEST = 30.0  # wall seconds for one part
ALL_LOGS = 50_000_000  # bytes of all log files together
ACTS = 500  # of the journal, the newest
SYNCS = 50
CHECKS = 5
IB_API = "https://www.interactivebrokers.com/en/api.php"
BY_HAND = "add by hand: screenshots of the dashboard, the gateway, any error message"
NOT_SENT = "nothing was sent anywhere: look into the archive before you send it"
COLUMNS = (
    Column("part"),
    Column("state", kind="status"),
    Column("bytes", kind="integer", unit="bytes", missing=""),
    Column("note", title="what it is, or why it is not whole", wraps=True),
)


class Part(Struct, frozen=True):
    """One part, still to be gained. ``how`` names where it comes from."""

    name: str
    how: str
    look: Callable[[], Awaitable[Any]]


class Gained(Struct, frozen=True):
    """One part with what JSON can say of it, or ``why`` it could not be gained."""

    part: Part
    found: Any = None
    why: str = ""


class Bundle(Struct, frozen=True):
    """A finished bundle."""

    path: Path
    members: list[Member]
    bytes: int
    sha256: str

    @property
    def missing(self) -> list[Member]:
        """The parts that could not be gained."""
        return [member for member in self.members if member.state == "missing"]

    @property
    def exit_code(self) -> int:
        """0 whole, 1 where parts are missing."""
        return 1 if self.missing else 0


def place(home: Home, to: str | None, at: datetime) -> Path:
    """Where the bundle goes: the file given, else one that is not there yet, named after its moment, in the folder given or the home's own.

    Raises UsageError.
    """
    if to == "":
        raise UsageError(
            "--to is empty: it must name a folder or a file", next_step="an unset variable of a script? name it, or leave it out"
        )
    name = f"support_{at.astimezone(clock.eastern()):%Y%m%d_%H%M%S}"
    given = Path(to).expanduser().absolute() if to else home.support
    is_file = given.name.endswith((".tar.gz", ".tgz")) and not given.is_dir()
    if is_file:
        return given
    names = (f"{name}{number}.tar.gz" for number in ("", *(f"_{again}" for again in range(2, 100))))
    return next((one for name in names if not (one := given / name).exists()), given / f"{name}.tar.gz")


def planned(facts: Facts, since: datetime) -> Table:
    """What would go in. Nothing is asked, so only what lies in files has a size yet. Raises Unavailable."""
    parts: list[tuple[Any, ...]] = [(part.name, None, part.how) for part in _parts(facts, since)]
    try:
        files = _logs(facts.home, since)
    except OSError as error:
        raise Unavailable(f"the logs in {facts.home.logs} cannot be read: {error.strerror}") from error
    parts.append((f"config/{facts.home.settings_file.name}", None, "the home's own file"))
    logs = [(f"logs/{one.path.name}", min(one.size, log_ends.LONGEST_FILE), one.problem or "log file") for one in files]
    columns = (
        Column("part"),
        Column("bytes", kind="integer", unit="bytes at most", missing=""),
        Column("note", title="what it is", wraps=True),
    )
    return Table("v6.support-bundle-parts/1", "dry run: nothing was written; this would go in", columns, [*parts, *logs])


@contextmanager
def opened(target: Path) -> Iterator[BinaryIO]:
    """The file that the bundle is written to, in its place once it is whole. Raises CannotWrite."""
    try:
        with durable_file(target) as file:
            yield file
    except CannotWrite as error:
        raise CannotWrite(error.message, next_step=error.next_step or "v6 support-bundle --to DIR, a folder that can be written") from error


async def collect(facts: Facts, since: datetime, report: Report) -> list[Gained]:
    """Every part but the logs, side by side, each within its time. Raises nothing: what is not to be had says why."""
    return list(await asyncio.gather(*(_gain(part, report) for part in _parts(facts, since))))


def write(file: BinaryIO, target: Path, home: Home, own: Settings, gained: Sequence[Gained], since: datetime, at: datetime) -> list[Member]:
    """Write the archive; its members, the manifest left out. Raises OSError where the disk refuses."""
    hidden = Redaction()
    known.tell(hidden, home, own.account)
    hidden.learn([one.found for one in gained])
    folder = target.name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar")
    with Archive(file, hidden.text(folder), at, hidden) as archive:
        for one in gained:
            if one.why:
                archive.miss(one.part.name, one.part.how, one.why)
            else:
                archive.add_json(one.part.name, one.found, one.part.how)
        _add_settings_file(archive, home)
        _add_logs(archive, home, since)
        members = list(archive.members)
        archive.add("README.txt", _about(members, own, since, at), "written last")
        archive.add_json("manifest.json", _manifest(archive.members, hidden, since, at), "")
    return members


def finished(target: Path, members: list[Member]) -> Bundle:
    """The bundle as it lies there. Raises CannotWrite where it cannot be read back."""
    try:
        with target.open("rb") as file:
            return Bundle(target, members, target.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise CannotWrite(f"{target} cannot be read back: {error.strerror}") from error


def table(bundle: Bundle) -> Table:
    """The bundle: where it is, and one row for each part."""
    rows = [(one.name, one.state, one.bytes if one.sha256 else None, one.note or one.how) for one in bundle.members]
    size = f"{compact(bundle.bytes / 1e6, 1)} MB" if bundle.bytes >= 100_000 else f"{bundle.bytes:,} bytes"
    facts = [
        (Column("archive"), str(bundle.path)),
        (Column("size", unit="bytes"), bundle.bytes),
        (Column("sha256"), bundle.sha256),
        (Column("missing"), len(bundle.missing)),
    ]
    missing = f"{count(len(bundle.missing), 'part')} missing, as the manifest says, too" if bundle.missing else "no part is missing"
    title = f"support bundle {bundle.path} ({size})"
    return Table("v6.support-bundle/1", title, COLUMNS, list(rows), facts=facts, notes=[missing, BY_HAND, NOT_SENT])


def evidence(bundle: Bundle) -> dict[str, Any]:
    """What the record keeps of it."""
    return {
        "archive": legible(str(bundle.path)),
        "sha256": bundle.sha256,
        "bytes": bundle.bytes,
        "missing": {one.name: one.note for one in bundle.missing},
    }


def escalation(own: Settings) -> list[str]:
    """Whom to turn to, and in which order, a line each."""
    developer = own.support.developer or "v6 config set support.developer WHO"
    broker = own.support.broker or "v6 config set support.broker NUMBER"
    return [
        "escalation, each step where the one before does not help:",
        "  1  find the cause: v6 health, then v6 logs -p error --since 24h",
        "  2  do as the runbook says for it; v6 morning-check --fix runs what mends",
        f"  3  developer of this system, with the bundle: {developer}",
        f"  4  IB, for its API: {IB_API}",
        f"     IB, for account and login, by telephone: {broker}",
    ]


def _parts(facts: Facts, since: datetime) -> list[Part]:
    home, own = facts.home, facts.settings
    state = partial(_of_state, home)
    return [
        Part("status.json", "as `v6 status` shows it", partial(_status, facts)),
        Part("health.json", "as `v6 health` judges it", partial(_health, facts)),
        Part("trading-state.json", "the latch", partial(_trading_state, facts)),
        Part("services.json", "the service manager", partial(_services, facts)),
        Part("settings.json", "every setting and its source", lambda: aside(_settings, home, own)),
        Part("environment.json", "variables that v6 heeds", lambda: aside(machine.environment)),
        Part("versions.json", "installed software", lambda: aside(machine.versions)),
        Part("machine.json", "figures of this machine", lambda: aside(machine.figures, home)),
        Part("files.json", "files of the home, but the lake's data", lambda: aside(machine.files, home)),
        Part("errors.json", "errors in the logs, same ones counted together", partial(_errors, facts, since)),
        Part("alerts.json", "open alerts, and those of the logs' time", state(lambda open_: _alerts(open_, since))),
        Part("journal.json", f"the last {ACTS} acts", state(_acts)),
        Part("checks.json", f"the last {CHECKS} checklists and bundles", state(_checks)),
        Part("sync-runs.json", f"the last {SYNCS} syncs, from the lake", lambda: aside(_sync_runs, home)),
        Part("lake.json", "versions of the lake's tables", lambda: aside(_lake, home)),
    ]


async def _gain(part: Part, report: Report) -> Gained:
    report(StepBegan(part.name, part.how))
    try:
        async with clock.timeout(LONGEST):
            gained = Gained(part, msgspec.to_builtins(await part.look(), str_keys=True))
    except TimeoutError:
        gained = Gained(part, why=f"no answer within {LONGEST:g} s")
    except V6Error as error:
        gained = Gained(part, why=error.message)
    except Exception as error:
        import logging

        logging.getLogger(__name__).exception("the part %s of the support bundle has a bug", part.name)
        gained = Gained(part, why=f"a bug in v6: {type(error).__name__}: {error}")
    report(StepEnded(part.name, "degraded" if gained.why else "ok", gained.why or part.how))
    return gained


async def _status(facts: Facts) -> Any:
    return _shown((await status.screen(facts)).record)


async def _health(facts: Facts) -> Any:
    return _shown(render.table(await examine.everything(facts)))


async def _trading_state(facts: Facts) -> Any:
    return _shown(halt.table(await facts.latch()))


async def _services(facts: Facts) -> Any:
    return _shown(services.table(await facts.services()))


async def _errors(facts: Facts, since: datetime) -> Any:
    return await facts.errors(since)


def _shown(result: Result) -> dict[str, Any]:
    return to_json(result)


def _settings(home: Home, own: Settings) -> dict[str, Any]:
    try:
        loaded = settings.load_with_sources(home)
    except BadConfiguration as error:
        return {"problem": error.message, "used instead": msgspec.to_builtins(own)}
    return {"values": loaded.values, "sources": loaded.sources}


def _of_state(home: Home, look: Callable[[State], Any]) -> Callable[[], Awaitable[Any]]:
    def read() -> Any:
        with open_read_only(home) as state:
            return look(state)

    return lambda: aside(read)


def _alerts(state: State, since: datetime) -> Any:
    return {"open": alerts.open_alerts(state), "recent": alerts.recent(state, since)}


def _acts(state: State) -> Any:
    """Acts as they were typed: as one line, in which a secret stands beside the word that names it."""
    import shlex

    acts = msgspec.to_builtins(journal.entries(state, limit=ACTS))
    return [act | {"argv": shlex.join(act["argv"])} for act in acts]


def _checks(state: State) -> Any:
    return {kind: runs.recent(state, kind, CHECKS) for kind in ("morning-check", KIND)}


def _sync_runs(home: Home) -> Any:
    return reader.sync_runs(home.lake, SYNCS)


def _lake(home: Home) -> Any:
    return reader.versions(home.lake)


def _add_settings_file(archive: Archive, home: Home) -> None:
    name, how = f"config/{home.settings_file.name}", "the home's own file"
    try:
        archive.add(name, home.settings_file.read_text("utf-8", errors="replace").splitlines(), how)
    except OSError as error:
        archive.miss(name, how, str(error.strerror))


def _add_logs(archive: Archive, home: Home, since: datetime) -> None:
    how = "log file"
    try:
        files = _logs(home, since)
    except OSError as error:
        archive.miss("logs/", "log files", f"{home.logs} cannot be read: {error.strerror}")
        return
    left = ALL_LOGS
    for file in files:
        name = f"logs/{file.path.name}"
        if file.problem or left <= 0:
            archive.miss(name, how, file.problem or f"newer logs fill the {ALL_LOGS:,} bytes that logs may take")
            continue
        try:
            lines, cut = log_ends.end_of(file, since)
        except log_ends.UNREADABLE as error:
            archive.miss(name, how, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        else:
            left -= sum(map(len, lines))
            archive.add(name, (line.decode("utf-8", "replace") for line in lines), how, note=cut)


def _logs(home: Home, since: datetime) -> list[log_ends.LogFile]:
    """The log files that were written to since then, the newest first, and what only looks like one. Raises OSError."""
    return [file for file in log_ends.found(home.logs) if file.problem or file.changed >= since]


def _about(members: Sequence[Member], own: Settings, since: datetime, at: datetime) -> list[str]:
    """What the reader of the bundle sees first."""
    widest = max(len(one.name) for one in members)
    return [
        f"support bundle of v6, made {clock.show(at)} ({at.isoformat(timespec='seconds')})",
        f"profile {own.profile}; logs since {clock.show(since)}",
        "",
        *(f"{one.state:7}  {one.name:{widest}}  {one.note or one.how}" for one in members),
        "",
        "Taken out, the same one by the same placeholder throughout:",
        *(f"- {rule}" for rule in redaction.RULES),
        "",
        *escalation(own),
    ]


def _manifest(members: Sequence[Member], hidden: Redaction, since: datetime, at: datetime) -> dict[str, Any]:
    return {
        "schema": "v6.support-manifest/1",
        "made": at.isoformat(),
        "logs_since": since.isoformat(),
        "times": {"stored": "UTC", "shown": "America/New_York", "machine": str(clock.wall().astimezone().tzname())},
        "versions": machine.own_versions(),
        "limits": {"one_log": log_ends.LONGEST_FILE, "all_logs": ALL_LOGS, "line": log_ends.LONGEST_LINE, "units": "bytes"},
        "redaction": {"rules": redaction.RULES, "placeholders": hidden.placeholders()},
        "members": [msgspec.to_builtins(member) for member in members],
    }
