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
from v6cli.errors import BadConfiguration, EndAsked, Refused, Unavailable, V6Error

if TYPE_CHECKING:
    from pathlib import Path

    from v6cli import settings as settings_module
    from v6cli.act import Act
    from v6cli.broker.connection import Connection
    from v6cli.emergencies import Emergencies
    from v6cli.halts import Halts
    from v6cli.health.gather import Facts
    from v6cli.home import Home
    from v6cli.procedure import Fix, Outcome, Procedure
    from v6cli.restores import Restores
    from v6cli.results import Result
    from v6cli.services.backend import Backend
    from v6cli.state.database import State
    from v6cli.state.mirror import Mirror

T = TypeVar("T")
FORMATS = ("table", "plain", "json", "csv", "markdown")


class App:
    """What commands work with. ``flags`` holds the shared options as given."""

    def __init__(self) -> None:
        self.flags: dict[str, Any] = {}
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
        from v6cli import locks
        from v6cli.backup import restoration

        try:
            restoration.check_finished(home)
            if locks.holder(_lock_of(home, "restore")) is None:  # else it is starting them just now, this process perhaps
                restoration.check_started(home)
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

    def look_up_or_say(self, read: Callable[[State], T]) -> T | str | None:
        """As ``look_up``; where the state cannot be read, why."""
        try:
            return self.look_up(read)
        except Unavailable as error:
            return error.message

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
        """As ``run``; ^C, and whoever asks the process to end or closes its terminal, lets it tidy up, once: asking again does not cut
        that short. Raises EndAsked where somebody waits for its end, else KeyboardInterrupt.
        """
        import asyncio
        import signal

        asked: list[int] = []

        async def stoppable() -> T:
            task = asyncio.ensure_future(work())

            def stop(number: int) -> None:
                if asked:
                    self.output.note("it is stopping: what it began is taken back first")
                else:
                    task.cancel()
                asked.append(number)

            loop = asyncio.get_running_loop()
            hears_hang_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # else nohup, or ``outlive_terminal``
            for number in (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hears_hang_up else ())):
                loop.add_signal_handler(number, stop, number)
            return await task

        try:
            return self.run(stoppable())
        except asyncio.CancelledError:
            raise (EndAsked if signal.SIGTERM in asked else KeyboardInterrupt) from None

    def outlive_terminal(self) -> None:
        """From here on, a terminal that goes away ends nothing: half of what is begun would be worse than all of it."""
        import signal

        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def invoke(self, argv: Sequence[str]) -> int:
        """Run another v6 command in this home as a process of its own and return its exit code."""
        import subprocess

        return subprocess.run([*program(), "--home", str(self.home), *argv], check=False).returncode

    @cached_property
    def act(self) -> Act:
        """What this process does, as the journal has it."""
        from v6cli.act import Act

        return Act(self)

    @cached_property
    def halts(self) -> Halts:
        """Halting and resuming."""
        from v6cli.halts import Halts

        return Halts(self)

    @cached_property
    def restores(self) -> Restores:
        """The way back from a backup."""
        from v6cli.restores import Restores

        return Restores(self)

    @cached_property
    def emergencies(self) -> Emergencies:
        """Shutting down and closing positions."""
        from v6cli.emergencies import Emergencies

        return Emergencies(self)

    @contextlib.contextmanager
    def alone(self, act: str) -> Iterator[None]:
        """No other process does this in this home meanwhile. Raises Refused, naming the one that does."""
        from v6cli import locks

        path = _lock_of(self.home, act)
        lock = locks.try_hold(path, f"v6 {act}")
        if lock is None:
            raise Refused(f"another {act} runs: {locks.holder(path) or 'a process that cannot be seen'}", next_step="wait for it to end")
        with lock:
            yield

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

    def finish(self) -> None:
        """End the answer of a command that went well. Raises OSError where a look could not be written."""
        self.output.finish()
        self.output.settle()

    def close(self) -> None:
        """Let go of what is open."""
        if "act" in self.__dict__:
            self.act.close()
        self.close_state()

    def close_state(self) -> None:
        """Let go of the state file; it is opened again when it is needed."""
        if self._state is not None:
            self._state.close()
            self._state = None


def program() -> list[str]:
    """The command line of this very v6, by absolute path and without code of the working folder."""
    return [os.path.abspath(sys.executable), "-P", "-m", "v6cli"]  # noqa: PTH100  resolve() would leave the virtual environment


def _lock_of(home: Home, act: str) -> Path:
    """What whoever does ``act`` in this home holds."""
    return home.run / f"{act}.lock"
