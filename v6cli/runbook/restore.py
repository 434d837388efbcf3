"""A restore: the lake of a backup takes the place of the lake there is, at once, and can give it back.

Until it is agreed to, nothing of the home has changed. Then each phase is recorded before it is left, so that a restore which was
killed goes on from there, or back. Latch, intents and journal are never replaced: the tighter latch stands, what is known is united.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from msgspec import Struct

from v6cli import clock, latch
from v6cli.backup import create, exchange, names, restoration, staging
from v6cli.backup.create import SUFFIX
from v6cli.backup.restoration import Restoration
from v6cli.backup.staging import Staged
from v6cli.errors import BadInput, CannotWrite, Refused, Unavailable, V6Error
from v6cli.events import Report, StepBegan, StepEnded, ignore
from v6cli.files import private_folder
from v6cli.home import Home
from v6cli.lake import contents, tables, writer
from v6cli.lake.errors import LakeUnreadable
from v6cli.lake.rows import SyncRunRecord
from v6cli.latch import TradingState
from v6cli.runbook import halt, restore_asked, restore_settings, sync
from v6cli.runbook.restore_asked import End, Wish
from v6cli.state import union
from v6cli.state.database import open_read_only
from v6cli.state.errors import StateMissing

if TYPE_CHECKING:
    from v6cli.services.backend import Backend
    from v6cli.settings import Settings
    from v6cli.state.database import State

GATEWAY = "ib-gateway"
WAIT_FOR_WRITERS = 30.0  # wall seconds


class Rooms(Struct, frozen=True):
    """What a restore works with. ``silence`` ends what sends where trading cannot be reduced; ``live`` shows work as it goes."""

    settings: Settings
    services: Backend
    state: State
    who: str
    silence: Callable[[], str]
    live: Callable[[str], contextlib.AbstractContextManager[Report]]


class Done(Struct, frozen=True):
    """One step that was taken: ``status`` is ok, degraded or unknown."""

    step: str
    status: str
    text: str


class Restore:
    """One restore of this home, or the way back from one. Nobody else may restore meanwhile."""

    def __init__(self, home: Home, rooms: Rooms) -> None:
        self.home = home
        self.done: list[Done] = []
        self._rooms = rooms
        self._report: Report = ignore
        self._unreconciled = ""
        self._stopped = False
        self._taken_out = ""  # the restore whose archive this very process took out

    # Before the question.

    @contextlib.contextmanager
    def staged(self, wish: Wish) -> Iterator[Staged]:
        """The backup, taken out beside the lake and looked at; services go on meanwhile. Where nothing began in the block it is thrown away.

        Raises BadInput, Refused, CannotWrite.
        """
        self._check_free()
        exchange.check_place(self.home.lake, self.home.restore)
        restore_asked.check_rest(self.home, wish)
        restoration.sweep(self.home)
        folder = self._fresh_folder()
        try:
            with self._rooms.live("taking the backup out") as report:
                staged = staging.stage(wish.archive, folder, report, only=wish.only)
            restore_asked.check_account(staged, self._rooms.settings)
            if wish.config:
                restore_settings.check(staged, self._rooms.settings)
            yield staged
        finally:
            if restoration.recorded(self.home) is None:
                shutil.rmtree(folder, ignore_errors=True)

    def begin(self, staged: Staged, wish: Wish) -> Restoration:
        """It was agreed to. Raises CannotWrite."""
        assert staged.folder is not None
        self._taken_out = staged.folder.name
        return restoration.keep(
            self.home,
            Restoration(
                staged.folder.name,
                "begun",
                str(staged.archive.absolute()),
                staged.sha256,
                staged.taken,
                clock.now(),
                only=list(wish.only),
                config=restore_settings.files(staged.folder) if wish.config else [],
                start=wish.start,
            ),
        )

    # After it.

    def end(self, how: End, own: Restoration) -> None:
        """Go on with a restore that was interrupted, give the earlier lake back, or let it go."""
        {"continue": self.carry_out, "rollback": self.roll_back, "discard": self.discard}[how](own)

    def carry_out(self, own: Restoration) -> None:
        """Go on from where the restore is, to its end. Raises what stopped it: then it is unfinished, and says so to the next v6."""
        with self._rooms.live("restore") as self._report:
            self._carry_out(own)

    def roll_back(self, own: Restoration) -> None:
        """Give the earlier lake its place again, with its settings. What state has learnt stays. Raises as ``carry_out``."""
        with self._rooms.live("rollback") as self._report:
            self._roll_back(own)

    def discard(self, own: Restoration) -> None:
        """Let the earlier lake of a restore that is done go. Raises CannotWrite."""
        with self._step("discard", "the lake from before the restore is gone"):
            restoration.forget(self.home)
            shutil.rmtree(own.folder(self.home), ignore_errors=True)

    def check_reconciled(self) -> None:
        """Raise Unavailable where the lake that is there now could not be reconciled with IB."""
        if self._unreconciled:
            raise Unavailable(f"the lake is in its place, but not reconciled with IB: {self._unreconciled}", next_step="v6 sync --force")

    # The steps.

    def _carry_out(self, own: Restoration) -> None:
        self._start(own if own.phase in restoration.SETTLED else self._to_its_lake(own))

    def _to_its_lake(self, own: Restoration) -> Restoration:
        if own.phase == "begun" and self._taken_out != own.id:
            self._take_out_again(own)
        self._reduce(own)  # of one that was interrupted, too: somebody may have resumed since
        if own.phase == "begun":
            self._stop_everything()
            own = self._exchange(self._save(own))
        elif own.phase == "exchanging":
            self._stop_everything()
            own = self._exchange(own)
        if own.phase == "exchanged":
            self._stop_everything()
            own = self._follow(own)
        self._reconcile()
        return restoration.keep(self.home, own.at("starting"))

    def _roll_back(self, own: Restoration) -> None:
        exchanged = restoration.exchanged(self.home, own)
        self._reduce(own)
        self._stop_everything()
        own = restoration.keep(self.home, own.at("rolling back"))
        folder = own.folder(self.home)
        if exchanged:
            with self._step("exchange", "the earlier lake is back in its place"), self._nobody_writes():
                self._swap(folder)
        else:
            self.done.append(Done("exchange", "ok", "the earlier lake is in its place already"))
        restore_settings.give_back(self.home, own)
        self._reconcile()
        self._start(restoration.keep(self.home, own.at("rolled back")))

    def _check_free(self) -> None:
        found = restoration.recorded(self.home)
        if found is None:
            return
        if found.phase != "done":
            raise Refused(f"{restoration.UNFINISHED}: {found.archive}", next_step=restoration.NEXT)
        raise Refused(
            f"the lake from before the restore of {Path(found.archive).name} is still kept",
            next_step="v6 restore --discard, or v6 restore --rollback",
        )

    def _fresh_folder(self) -> Path:
        stamp = clock.wall().strftime("%Y%m%dT%H%M%S.%f")
        return private_folder(self.home.restore) / stamp

    def _take_out_again(self, own: Restoration) -> None:
        """What an earlier process took out may not have outlived a crash of the machine. Raises BadInput where it cannot be had again."""
        archive, folder = Path(own.archive), own.folder(self.home)
        with self._step("archive", "taken out once more"):
            if not archive.is_file():
                raise BadInput(f"{archive} is gone", next_step="v6 restore --rollback, then restore another one")
            shutil.rmtree(folder, ignore_errors=True)
            staged = staging.stage(archive, folder, self._report, only=own.only)
            if staged.sha256 != own.sha256:
                raise BadInput(f"{archive} is not the archive that was agreed to", next_step="v6 restore --rollback, then begin anew")

    def _reduce(self, own: Restoration) -> None:
        """Closing orders only from here on, until somebody resumes. The reduce-only of a restore that is continued stands already."""
        reason = f"restore of {Path(own.archive).name}"
        with self._step("trading state", "REDUCING until v6 resume"):
            if not any(mark.reason == reason for mark in latch.read(self.home).marks):
                halt.tighten(self.home, TradingState.REDUCING, reason, self._rooms.who, self._rooms.silence)

    def _stop_everything(self) -> None:
        if self._stopped:
            return
        with self._step("services", "every service is stopped"):
            self._rooms.services.shutdown(self._report)
        self._stopped = True

    def _save(self, own: Restoration) -> Restoration:
        """The safety backup of what is there now. A lake that is missing has nothing to save, and one that cannot be read is what is replaced."""
        with self._step("safety backup", Path(own.safety).name or "there is no lake to save") as said:
            try:
                if own.safety or not contents.has_tables(self.home.lake):
                    return own
                made = create.create(self.home, self._rooms.settings, self._rooms.state, self._report)
            except LakeUnreadable as error:
                said(f"none: {error.message}; the lake itself is kept until --discard", degraded=True)
                return own
            said(made.path.name.removesuffix(SUFFIX), degraded=bool(made.manifest.lost))
        return restoration.keep(self.home, own.at("begun", safety=str(made.path)))

    def _exchange(self, own: Restoration) -> Restoration:
        """Let the staged lake take the place of the one there is. Done twice, it is done once."""
        staged = own.folder(self.home) / names.LAKE
        with self._step("exchange", "the restored lake is in its place"), self._nobody_writes():
            if own.phase == "begun":
                if own.only:
                    self._complete(staged, own)
                with self._disk(staged):
                    exchange.sync_everything(staged)
                came, was = exchange.identity(staged), exchange.identity(self.home.lake)
                own = restoration.keep(self.home, own.at("exchanging", came=came, was=was))
            if not restoration.exchanged(self.home, own):
                self._swap(own.folder(self.home))
            return restoration.keep(self.home, own.at("exchanged"))

    def _nobody_writes(self) -> contextlib.AbstractContextManager[None]:
        """Keep writers out: one works by path, and would leave the one half of a commit in either lake. Raises Refused naming who writes."""
        return tables.hold_writers(private_folder(self.home.lake), "v6 restore", WAIT_FOR_WRITERS)

    def _swap(self, folder: Path) -> None:
        with self._disk(self.home.lake):
            exchange.exchange(private_folder(self.home.lake), folder / names.LAKE)

    def _complete(self, staged: Path, own: Restoration) -> None:
        """Put the tables that stay beside those that were restored, by links to the same files, and name the versions that go together."""
        with self._disk(staged), contents.look(self.home.lake, 0) as live:
            for name in [*(table.name for table in live.tables), *live.missing]:
                if name not in own.only and not (staged / name).exists():
                    shutil.copytree(self.home.lake / name, staged / name, copy_function=_link, symlinks=True)
        run = f"restore-{own.id}"
        account = self._rooms.settings.account or ""
        writer.commit(staged, writer.Batch(SyncRunRecord(run, clock.now(), "restored", account, note=f"{', '.join(own.only)} restored")))

    def _follow(self, own: Restoration) -> Restoration:
        """What goes with the lake: settings where they were asked for, and what the state of the backup knows."""
        folder = own.folder(self.home)
        if own.config:
            with self._step("settings", f"{', '.join(own.config)} restored"):
                restore_settings.put(self.home, own)
        with self._step("state", "") as said:
            said(self._unite(folder))
        return restoration.keep(self.home, own.at("united"))

    def _unite(self, folder: Path) -> str:
        try:
            with open_read_only(Home(folder)) as other:
                found = union.unite(self._rooms.state, other, ZoneInfo(self._rooms.settings.gateway.time_zone))
        except StateMissing:
            return "the backup has no state; the one of this home stays"
        unknown = f", {found.unknown} of them UNKNOWN: v6 orders settle" if found.unknown else ""
        return f"united: {found.journal} journal entries and {found.intents} intents came in{unknown}"

    def _reconcile(self) -> None:
        """Bring the lake up to what IB says now; where that is not possible, it is said."""
        self._report(StepBegan("reconcile", "reconcile with IB"))
        try:
            if self._rooms.settings.gateway.simulated:
                self._rooms.services.start((GATEWAY,), self._report)
            run = asyncio.run(sync.once(self.home, self._rooms.settings, self._rooms.state, self._report, dry_run=False, force=True))
            self._ended("reconcile", "ok", f"synced with IB: {run.positions} positions")
        except V6Error as error:
            self._unreconciled = error.message
            self._ended("reconcile", "unknown", f"could not: {error.message}")

    def _start(self, own: Restoration) -> None:
        """Start the services, and with that end the restore. One that does not start is told of now: it leaves nothing to go on with."""
        try:
            self._start_services(own)
        except V6Error:
            self._ended_with(own)
            raise
        self._ended_with(own)

    def _ended_with(self, own: Restoration) -> None:
        if own.phase != "rolled back":
            restoration.keep(self.home, own.at("done"))
            return
        shutil.rmtree(own.folder(self.home), ignore_errors=True)
        restoration.forget(self.home)

    def _start_services(self, own: Restoration) -> None:
        if not own.start:
            self._rooms.services.shutdown(self._report)  # the gateway that was needed to reconcile
            self.done.append(Done("start", "degraded", "services stay stopped, as asked: v6 services start"))
            return
        with self._step("start", "every service runs"):
            self._rooms.services.start((), self._report)

    @contextlib.contextmanager
    def _step(self, step: str, text: str) -> Iterator[Callable[..., None]]:
        """Tell of a step as it begins and ends; ``said`` gives the text that it ends with."""
        told = [("ok", text)]

        def said(now: str, *, degraded: bool = False) -> None:
            told[:] = [("degraded" if degraded else "ok", now)]

        self._report(StepBegan(step, step))
        yield said
        self._ended(step, *told[0])

    def _ended(self, step: str, status: str, text: str) -> None:
        self._report(StepEnded(step, status, text))
        self.done.append(Done(step, status, text))

    @contextlib.contextmanager
    def _disk(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"{error.filename or path}: {error.strerror}", next_step=restoration.NEXT) from error


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
