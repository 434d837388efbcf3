"""The one place that wires v6: what a command needs, made when it is first asked for.

An App is the ``obj`` of the command line's context. Its parts are lazy, so a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from v6cli.console.output import Output
from v6cli.errors import BadConfiguration, CannotWrite, Refused, Unavailable, V6Error

if TYPE_CHECKING:
    from pathlib import Path

    from v6cli import settings as settings_module
    from v6cli.broker.connection import Connection
    from v6cli.emergencies import Emergencies
    from v6cli.health.gather import Facts
    from v6cli.home import Home
    from v6cli.latch import Latch
    from v6cli.locks import Run
    from v6cli.models import WorkingOrder
    from v6cli.procedure import Fix, Outcome, Procedure
    from v6cli.results import Result
    from v6cli.runbook.restore import Restore
    from v6cli.services.backend import Backend
    from v6cli.state.database import State
    from v6cli.state.journal import Entry
    from v6cli.state.mirror import Mirror

T = TypeVar("T")
FORMATS = ("table", "plain", "json", "csv", "markdown")


class App:
    """What commands work with. ``flags`` holds the shared options as given."""

    def __init__(self) -> None:
        self.flags: dict[str, Any] = {}
        self.entry: Entry | None = None
        self._entries = contextlib.ExitStack()  # the journal's entry of this act, once it could be written
        self._unjournaled: Exception | None = None  # why it could not
        self._own_run: Run | None = None
        self._state: State | None = None
        self._guesses = False  # whether the settings are the packaged ones, not this home's

    @cached_property
    def output(self) -> Output:
        """Where results and notes go, in the format asked for."""
        return Output(
            self.flags.get("output"),
            color=not self.flags.get("no_color"),
            quiet=bool(self.flags.get("quiet")),
            verbose=bool(self.flags.get("verbose")),
        )

    @cached_property
    def home(self) -> Home:
        """The home to work in; from here on root is its owner. Raises BadConfiguration, Refused."""
        from v6cli.home import Unreachable, find_home

        try:
            home = self.as_owner(find_home(self.flags.get("home")))
        except Unreachable as error:
            from v6cli import owner

            if owner.is_strange(error.folder):
                raise owner.strange(error.folder) from error
            raise
        if os.path.exists(home.restore_record):  # noqa: PTH110  a folder that may not be looked into has none for this user
            self._say_unfinished(home)
        return home

    @staticmethod
    def as_owner(home: Home) -> Home:
        """The same home; where root works in that of another user, from here on as that one. Raises Refused, BadConfiguration."""
        if os.geteuid() == 0 and home.owner:
            from v6cli import owner

            owner.become(home)
        return home

    def _say_unfinished(self, home: Home) -> None:
        """Tell of a restore that was interrupted: nothing else would."""
        from v6cli.backup import restoration

        try:
            restoration.check_finished(home)
        except V6Error as error:
            self.output.note(f"{error.message}; next: {error.next_step}")

    def enter(self, home: Home) -> None:
        """Work in this home from here on, with its settings as they are now."""
        self.as_owner(home)
        for wired in ("settings", "services"):
            self.__dict__.pop(wired, None)
        self.home = home

    def home_if_any(self) -> Home | None:
        """The home, or None where there is none to be found, or none that may be looked into."""
        try:
            return self.home
        except (BadConfiguration, Refused):
            return None

    @cached_property
    def settings(self) -> settings_module.Settings:
        """The settings of the home; reading them sets the clock. Raises BadConfiguration."""
        from v6cli import settings

        loaded = settings.load(self.home)
        settings.start_clock(loaded)
        return loaded

    @property
    def settings_in_need(self) -> settings_module.Settings:
        """The settings, else the last ones that could be used. Raises BadConfiguration where there are none."""
        try:
            return self.settings
        except BadConfiguration as error:
            self.output.note(error.message)
            if (kept := self._last_settings()) is None:
                raise
            return kept

    @property
    def state(self) -> State:
        """The home's SQLite file, open for writing. Raises CannotWrite."""
        from v6cli.state.database import open_state

        if self._state is None:
            self._state = open_state(self.home)
        return self._state

    def state_for(self, *, dry_run: bool) -> State:
        """The state that an act works with; a dry run gets one that cannot be written. Raises CannotWrite, Unavailable."""
        from v6cli.state.database import open_without_trace

        if dry_run and self._state is None:
            self._state = open_without_trace(self.home)
        return self._state or self.state

    @cached_property
    def services(self) -> Backend:
        """The service manager of this home."""
        from v6cli.services.backend import choose
        from v6cli.services.catalogue import services_of

        own = self.settings
        return choose(own.services.backend, self.home, services_of(simulated_gateway=own.gateway.simulated))

    def services_in_need(self) -> Backend:
        """The service manager for an emergency, which settings that cannot be read do not stop."""
        from v6cli.services.backend import choose
        from v6cli.services.catalogue import SERVICES

        try:
            return self.services
        except BadConfiguration:
            return choose("supervisord", self.home, SERVICES)

    @property
    def operator(self) -> str:
        """Who sits at this terminal: whoever called sudo, else the user."""
        from v6cli.state import journal

        return journal.operator()

    def recorded(self) -> Mirror:
        """As ``mirror``; one that is too old to be called healthy is told of."""
        from v6cli import clock

        seen = self.mirror()
        try:
            age, healthy = (clock.now() - seen.at).total_seconds(), self.settings.sync.healthy
        except BadConfiguration:
            return seen
        if age > healthy:
            self.output.note(f"this is {clock.show_age(age)} old: no sync has ended since; next: v6 sync --force")
        return seen

    def mirror(self) -> Mirror:
        """What the last sync saw. Raises Unavailable where none has ended yet, or it saw another account than this home's."""
        from v6cli.home import profile_of
        from v6cli.state import mirror
        from v6cli.state.database import open_read_only

        try:
            pinned = self.settings.account
        except BadConfiguration:
            if profile_of(self.home.root) == "demo":
                raise  # its clock is a setting; time is real in every other profile
            pinned = ""
        with open_read_only(self.home) as state:
            seen = mirror.read(state)
        if seen is None:
            raise Unavailable("nothing is recorded yet: no sync has ended", next_step="v6 sync --force")
        seen.check_account(pinned)
        return seen

    def look_up(self, read: Callable[[State], T]) -> T | None:
        """What ``read`` finds in the state, which is only looked at; None in a home that has recorded nothing yet."""
        from v6cli.state.database import open_read_only
        from v6cli.state.errors import StateMissing

        try:
            with open_read_only(self.home) as state:
                return read(state)
        except StateMissing:
            return None

    def ask(self, question: Coroutine[Any, Any, T]) -> T | str:
        """The answer to a question, or why it could not be had."""
        try:
            return self.run(question)
        except Unavailable as error:
            return error.message

    async def seen_at_gateway(self) -> Mirror:
        """Positions and account as the gateway states them now, with the greeks of the last sync. Raises GatewayUnavailable."""
        from v6cli.broker.account import positions_and_account
        from v6cli.state.mirror import Mirror

        async with self.gateway("look") as connection:
            positions, account = await positions_and_account(connection)
            await connection.must_reach_ib()
        try:
            greeks = self.mirror().greeks
        except Unavailable:
            greeks = {}
        return Mirror("", account.at, account, positions, greeks)

    def watch_mirror(self, draw: Callable[[Mirror], Result]) -> None:
        """Show again after each sync, until interrupted."""
        from v6cli import clock

        shown = ""
        while True:
            seen = self.mirror()
            if seen.run != shown:
                self.output.again(draw(seen))
                shown = seen.run
            clock.pause_blocking(0.5)

    def facts(self) -> Facts:
        """The facts of this home, nothing looked up yet. What goes wrong inside a look is written to the home's log."""
        from v6cli import logs
        from v6cli.health.gather import Facts

        logs.to_file(self.home, self.output.note)
        return Facts(self.home, self.settings, self.services, lambda: self.gateway("look"))

    async def on_facts(self, judge: Callable[[Facts], Awaitable[T]]) -> T:
        """What ``judge`` makes of the facts."""
        return await judge(self.facts())

    def check(self, procedure: Callable[[Facts], Procedure]) -> list[Outcome]:
        """Run a checklist and keep one record of its result; a home that cannot be written still gets its answer."""
        from v6cli.procedure import run

        async def work() -> tuple[Procedure, list[Outcome]]:
            made = procedure(self.facts())
            with self.output.live(made.title) as report:
                return made, await run(made, report)

        from v6cli.runbook import checklist

        made, outcomes = self.run(work())
        self.record(made.name, checklist.code(outcomes), checklist.evidence(outcomes))
        return outcomes

    def record(self, kind: str, code: int, evidence: object) -> None:
        """Keep one record of the result of a look; a home that cannot be written is told, and stops nothing."""
        from v6cli import locks
        from v6cli.state import runs

        try:
            run = locks.begin_run(self.home, kind)
            try:
                runs.begun(self.state, run.identity, kind)
                runs.ended(self.state, run.identity, "done", code, evidence)
            finally:
                run.end()
        except V6Error as error:
            self.output.note(f"the result was not recorded: {error.message}")

    def mend(self, fixes: Sequence[Fix], *, yes: bool) -> None:
        """Run the commands that mend, after asking; each journals itself. Raises Refused."""
        for fix in fixes:
            self.output.note(f"  {fix}")
        self.output.confirm(f"run {'this command' if len(fixes) == 1 else f'these {len(fixes)} commands'}?", yes=yes)
        for fix in fixes:
            self.output.note(f"running {fix}")
            code = self.invoke(fix.argv)
            if code:
                self.output.note(f"{fix} ended with exit code {code}")

    @contextlib.asynccontextmanager
    async def gateway(self, role: str, client_id: int | None = None) -> AsyncIterator[Connection]:
        """A connection to the gateway in a role, or in the place of a client, closed in good order.

        Raises GatewayUnavailable, Refused, and BadConfiguration where this home's settings are unknown.
        """
        from v6cli.broker.connection import connect

        if self._guesses:
            raise BadConfiguration("which gateway is this home's is unknown: its settings cannot be used", next_step="v6 config validate")
        connection = await connect(self.settings, self.home, role, self.output.report, client_id=client_id)
        try:
            yield connection
        finally:
            await connection.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end; ^C cancels it and lets it tidy up."""
        import asyncio

        if os.geteuid() == 0:
            self.home_if_any()  # who becomes another user forks, which no event loop outlives
        return asyncio.run(work)

    def run_until_stopped(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """As ``run``; whoever asks the process to end, or closes its terminal, lets it tidy up as ^C does."""
        import asyncio
        import signal

        async def stoppable() -> T:
            task = asyncio.ensure_future(work())
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            return await task

        try:
            return self.run(stoppable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    def invoke(self, argv: Sequence[str]) -> int:
        """Run another v6 command in this home as a process of its own and return its exit code."""
        import subprocess

        return subprocess.run([*program(), "--home", str(self.home), *argv], check=False).returncode

    async def working_orders(self) -> Sequence[WorkingOrder]:
        """The orders of every client that work at the gateway now. Raises GatewayUnavailable."""
        from v6cli.runbook import orders

        return await orders.listed(self.gateway)

    def show_still_working(self) -> None:
        """Show the orders that work at the gateway, or say why that is unknown; within two seconds."""
        from v6cli.runbook import halt

        found = self.run(halt.still_working(self.working_orders))
        if isinstance(found, str):
            self.output.note(f"what still works at the gateway is UNKNOWN: {found}")
        else:
            self.output.show(halt.orders(found))

    def show_before_resuming(self, latch: Latch) -> None:
        """Show why trading is not active, what is recorded since, and which services do not run."""
        from v6cli.lake import reader
        from v6cli.runbook import halt, resumption

        self.output.show(halt.table(latch))
        if at := resumption.since(latch):
            self.output.show(resumption.table(self.state, lambda then: reader.positions(self.home.lake, then), at))
        states = self.services.status()
        self.output.note(resumption.said_of_services(resumption.stopped(states), of=len(states)))

    def start_what_is_stopped(self) -> None:
        """Start the services that do not run, in dependency order, and see that all of them do. Raises ServiceUnavailable."""
        from v6cli.runbook import resumption, services

        if names := resumption.stopped(self.services.status()):
            with self.output.live("services start") as report:
                self.services.start(names, report)
        states = self.services.status()
        self.output.show(services.table(states))
        resumption.check_running(states)

    @cached_property
    def emergencies(self) -> Emergencies:
        """Shutting down and closing positions."""
        from v6cli.emergencies import Emergencies

        return Emergencies(self)

    @contextlib.contextmanager
    def alone(self, act: str) -> Iterator[None]:
        """No other process does this in this home meanwhile. Raises Refused, naming the one that does."""
        from v6cli import locks

        path = self.home.run / f"{act}.lock"
        lock = locks.try_hold(path, f"v6 {act}")
        if lock is None:
            raise Refused(f"another {act} runs: {locks.holder(path) or 'a process that cannot be seen'}", next_step="wait for it to end")
        with lock:
            yield

    @property
    def run_of_this(self) -> str:
        """The run of this act: the one that is being journaled, else one begun for it. Raises CannotWrite."""
        from v6cli import locks

        if self.entry is not None:
            return self.entry.run
        if self._own_run is None:
            self._own_run = locks.begin_run(self.home, f"v6 {_command_words()}")
        return self._own_run.identity

    def check_recordable(self) -> None:
        """Raise CannotWrite where no order could be recorded before it is sent. A damaged state file is renewed before that is tried."""
        from v6cli.state import renewal

        if isinstance(self._unjournaled, CannotWrite) and not renewal.damage(self.home):
            raise CannotWrite(self._unjournaled.message, next_step=self._unjournaled.next_step)

    def renew_state(self) -> None:
        """Where the state file is damaged, begin it anew, and with it this act's entry in the journal. Raises CannotWrite."""
        from v6cli import clock
        from v6cli.runbook import state_file

        self.close_state()
        if text := state_file.renew(self.home, self.services_in_need(), f"{clock.wall():%Y%m%d_%H%M%S}", self.output.report):
            self.output.note(text)
        if self.entry is None:
            with contextlib.suppress(Exception):  # it has been said that the journal cannot be written, and noted beside it
                self._entries.enter_context(self._entered(emergency=True))

    def archive(self, wanted: str, *, dry_run: bool) -> Path:
        """The archive of a name, a path, an address or ``latest``; what was fetched for it goes when the command ends.

        A dry run fetches to a folder outside of the home. Raises BadInput, Unavailable, BadConfiguration, CannotWrite.
        """
        import click

        from v6cli.backup import carrying

        into = None if dry_run else self.home.backups
        with self.output.live("finding the backup") as report:
            found = carrying.archive_of(self.home, self.settings.backup, wanted, into, report)
            return click.get_current_context().with_resource(found)

    def rehearse(self, kind: str, wanted: str) -> int:
        """A drill of a restore, shown and recorded; 0 healthy, 1 degraded, 2 unhealthy."""
        import msgspec

        from v6cli.runbook import restore_drill

        archive = self.archive(wanted, dry_run=False)
        with self.output.live("restore drill") as report:
            drill = restore_drill.rehearse(self.home, self.settings, archive, report)
            asked = self.run(restore_drill.reconciled(drill, lambda: self.gateway("look")))
        drill = msgspec.structs.replace(drill, findings=[*drill.findings, *asked])
        self.output.show(restore_drill.table(drill))
        self.record(kind, drill.code, restore_drill.evidence(drill))
        return drill.code

    @contextlib.contextmanager
    def restoring(self, title: str) -> Iterator[Restore]:
        """A restore of this home, or the way back from one; what it did is shown, however it ends."""
        from v6cli.runbook import restore_tables
        from v6cli.runbook.restore import Restore, Rooms

        rooms = Rooms(self.settings, self.services, self.state, self.operator, self.silence, self.output.live)
        restoring = Restore(self.home, rooms)
        try:
            yield restoring
        finally:
            if restoring.done:
                self.output.show(restore_tables.steps(title, restoring.done))

    def silence(self) -> str:
        """End everything of this home that sends orders; what came of it, in words. For a halt that cannot be recorded."""
        from v6cli.runbook import senders

        return senders.said(senders.silence(self.home, self.services_in_need()))

    def say_where(self, *, emergency: bool = False, mends_settings: bool = False) -> None:
        """Tell which home, profile and account a changing command works on; an emergency goes on where settings cannot be read.

        What mends settings goes on where the home's own file is refused, not where a variable is: that it cannot mend.
        """
        from v6cli import settings

        try:
            own = self.settings
        except BadConfiguration as error:
            if not emergency and not (mends_settings and settings.refusal(self.home)):
                raise
            self.output.note(error.message)
            kept = self._last_settings()
            if kept is None:
                return
            own = kept
        self.output.note(f"home {self.home}  profile {own.profile}  account {own.account or 'not pinned'}")

    def _last_settings(self) -> settings_module.Settings | None:
        """Work on with the settings that validated last; None where none were kept."""
        from v6cli import settings

        kept = settings.last(self.home)
        if kept is None:
            self.output.note(f"home {self.home}  its settings are unknown")
            return None
        settings.start_clock(kept)
        self.__dict__["settings"] = kept
        self.output.note("working with the last settings that could be used")
        return kept

    def look_anyway(self) -> None:
        """For looks that are wanted most when things are broken: where the settings cannot be used, go on with the last ones that
        could, else with the packaged ones, and say so. Raises BadConfiguration where there is no home.
        """
        from v6cli import settings
        from v6cli.home import profile_of

        home = self.home
        try:
            self.settings  # noqa: B018  read to see whether they can be
        except BadConfiguration as error:
            self.output.note(error.message)
            if self._last_settings() is None:
                self.output.note("working with the packaged settings; no gateway is asked")
                self.__dict__["settings"] = settings.builtin("demo" if profile_of(home.root) == "demo" else "paper")
                self._guesses = True

    @contextlib.contextmanager
    def journaled(self, *, emergency: bool = False) -> Iterator[None]:
        """Write the journal before and after an act. Raises CannotWrite before anything is done, Refused in a home of another user's.

        An ``emergency`` is not stopped by a journal that cannot be written: it says so, and is noted in a file beside it.
        """
        from v6cli import owner
        from v6cli.state import journal

        owner.check_may_write(self.home)

        with self._entries:
            try:
                self._entries.enter_context(self._entered(emergency=emergency))
            except Exception as error:  # whatever is wrong with the journal, an emergency goes on
                if not emergency:
                    raise
                self._unjournaled = error
                self.output.note(f"the journal cannot be written: {error}")
                self.output.note(journal.note_beside(self.home, self._argv()))
            yield

    def _argv(self) -> list[str]:
        from v6cli.secrets import redact_words

        return redact_words([word.encode("utf-8", "backslashreplace").decode() for word in sys.argv[1:]])

    @contextlib.contextmanager
    def _entered(self, *, emergency: bool) -> Iterator[None]:
        from v6cli import locks
        from v6cli.secrets import redact
        from v6cli.state import journal

        argv = self._argv()
        run = locks.begin_run(self.home, "v6 " + " ".join(argv))
        try:
            journal.mark_interrupted(self.state, lambda identity: locks.lives(self.home, identity))
            self.entry = journal.begin(self.state, run.identity, _command_words(), argv)
            outcome: journal.Outcome = "interrupted"
            code, text = 130, None
            try:
                yield
                outcome, code = "done", 0
            except V6Error as error:
                outcome, code, text = ("refused" if isinstance(error, Refused) else "failed"), error.exit_code, redact(error.message)
                raise
            except SystemExit as stop:
                outcome, code = "done", stop.code if isinstance(stop.code, int) else 1
                raise
            except Exception as error:
                outcome, code, text = "failed", 70, redact(f"{type(error).__name__}: {error}")
                raise
            finally:
                try:
                    journal.end(self.state, self.entry, outcome, code, text)
                except V6Error as error:
                    if not emergency:
                        raise
                    self.output.note(f"the journal does not say how it ended: {error.message}")
        finally:
            run.end()

    def finish(self) -> None:
        """End the answer of a command that went well."""
        if "output" in self.__dict__:
            self.output.finish()

    def close(self) -> None:
        """Let go of what is open."""
        if self._own_run is not None:
            self._own_run.end()
            self._own_run = None
        self.close_state()

    def close_state(self) -> None:
        """Let go of the state file; it is opened again when it is needed."""
        if self._state is not None:
            self._state.close()
            self._state = None


def _command_words() -> str:
    """The command that runs, as its words: ``services stop``."""
    import click

    return click.get_current_context().command_path.removeprefix("v6 ")


def program() -> list[str]:
    """The command line of this very v6, by absolute path and without code of the working folder."""
    return [os.path.abspath(sys.executable), "-P", "-m", "v6cli"]  # noqa: PTH100  resolve() would leave the virtual environment
