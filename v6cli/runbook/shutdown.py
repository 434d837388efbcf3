"""The emergency shutdown: everything that trades is ended and every order cancelled, and both are proven.

The halt stands before anything here begins. A step that fails, or takes too long, never stops the ones after it; what it could
not find out is UNKNOWN. Everything is kept in the proof record as it happens.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from v6cli import barrier, clock, latch, locks, procedure
from v6cli.broker.connection import Connection, connect
from v6cli.errors import CannotWrite, OutcomeUnknown, Refused, UsageError, V6Error
from v6cli.events import Report, ignore
from v6cli.home import Home, profile_of
from v6cli.latch import TradingState
from v6cli.procedure import Finding, Fix, Outcome, Status, Step
from v6cli.results import Table, count
from v6cli.runbook import emergency_logs, emergency_record, halt, other_homes, senders, shutdown_tables
from v6cli.runbook.consent import Consent
from v6cli.runbook.emergency_orders import Sweep
from v6cli.runbook.emergency_record import Keeper
from v6cli.runbook.shutdown_positions import Remainder
from v6cli.runbook.shutdown_wish import Wish
from v6cli.threads import aside

if TYPE_CHECKING:
    from v6cli.services.backend import Backend
    from v6cli.settings import Settings
    from v6cli.state.database import State

KIND = "emergency-shutdown"
STEPS = ("halt", "cancel", "trading", "proof", "services", "positions", "state", "logs", "homes")  # as they are shown
STOPPED = ("v6-position-sync", "v6-dashboard")  # v6-operations stays, for the alerts
NEXT = "next: look at the positions; once the cause is gone: v6 services start, v6 morning-check, v6 resume --reason TEXT"
INTERRUPTED = 130  # exit code
WEIGHTS = (74, 75, 69, 65, 77, 78)  # exit codes, the worse later: what is not written, not proven, not reached, refused
DEFAULT_REASON = "emergency shutdown"

Ask = Callable[[str], str]  # a question to whoever sits at the terminal


class Latched(Struct, frozen=True):
    """What came of the halt: who keeps the gate, and why it is not recorded; neither where all is well."""

    kept: tuple[str, ...] = ()
    problem: CannotWrite | None = None


def halt_first(home: Home, wish: Wish, who: str, silence: Callable[[], str]) -> Latched:
    """Halt trading and shut the gate. A halt that cannot be recorded has ended everything that sends, and stops nothing else."""
    try:
        return Latched(tuple(halt.tighten(home, TradingState.HALTED, wish.reason or DEFAULT_REASON, who, silence).kept))
    except CannotWrite as error:
        return Latched(problem=error)


def check(wish: Wish, latched: Latched) -> None:
    """Refuse a wish that contradicts itself, which has halted trading all the same. Raises UsageError; where the halt could not even be
    recorded, that.
    """
    try:
        wish.check()
    except UsageError as error:
        raise latched.problem or error from None


class Rooms(Struct, frozen=True):
    """What a shutdown works with. ``settings`` is None where those of the home are unknown; the rest is made when it is needed."""

    settings: Settings | None
    services: Callable[[], Backend]
    state: Callable[[], State]
    close_state: Callable[[], None]


class Shutdown:
    """One emergency shutdown."""

    def __init__(self, home: Home, wish: Wish, latched: Latched, rooms: Rooms, who: str) -> None:
        self.home = home
        self.wish = wish
        self._latched = latched
        self._rooms = rooms
        self.consent = Consent(home, wish, rooms.settings)
        self._report: Report = ignore
        profile = rooms.settings.profile if rooms.settings else profile_of(home.root) or ""
        reason = latch.one_line(wish.reason) or DEFAULT_REASON
        self.keeper: Keeper = emergency_record.begin(
            home, profile=profile, account=self.consent.pinned, operator=who, reason=reason, options=wish.options
        )
        self._sweep = Sweep(self._connect, self.consent.forbids, self.keeper, keep_orders=wish.keep_orders)
        self._remainder = Remainder(home, rooms.settings, self.keeper)
        self._outcomes: dict[str, Outcome] = {}
        self._notes: list[str] = []
        self._senders_left = False
        self._nothing_works = False
        self._in_state = False

    # Before the question.

    async def look(self, report: Report) -> Table | str:
        """The orders that work now, or why that is unknown."""
        self._report = report
        try:
            found, seen = await self._sweep.look(), self._remainder.recorded()
            return shutdown_tables.working(found, seen.positions if seen else [])
        except V6Error as error:
            return f"what works at the gateway is UNKNOWN: {error.message}"

    def agree(self, ask: Ask | None, *, yes: bool) -> None:
        """Have it confirmed. Raises Refused where it is declined: the halt stands.

        Where nobody can be asked, trading is stopped all the same.
        """
        self.consent.yes = yes
        if yes:
            return
        if ask is None:
            ended = senders.said(senders.silence(self.home, self._rooms.services()))
            self._refuse(f"nobody to ask: {ended}; no order was cancelled, nothing else stopped", self.consent.again("--yes"))
        elif self.consent.to_type:
            question = f"{self._plan()}{self.consent.reaches}.\nType {self.consent.pinned or 'the account id'} to go on: "
            if not self.consent.take(ask(question)):
                self._refuse("not confirmed: nothing was stopped or cancelled", self.consent.again())
        elif ask(f"{self._plan()}.\nGo on? [y/N] ").lower() not in {"y", "yes"}:
            self._refuse("declined: nothing was stopped or cancelled", self.consent.again())

    def _plan(self) -> str:
        names = ", ".join(["v6-trading", *self._to_stop()])
        cancels = "cancels NO order" if self.wish.keep_orders else "cancels EVERY working order, those by hand and protective ones too"
        return f"This {cancels},\nand stops {names}" + (",\nthen CLOSES EVERY POSITION" if self.wish.close_all else "")

    def _refuse(self, what: str, next_step: str) -> None:
        self.keeper.end("declined", Refused.exit_code)
        state = latch.read(self.home).state.value
        raise Refused(f"{what}; trading stays {state} until v6 resume --reason TEXT", next_step=next_step)

    async def _connect(self, role: str, *, client_id: int | None = None) -> Connection:
        connection = await connect(self.consent.settings(), self.home, role, self._report, client_id=client_id)
        self.consent.met(connection)
        return connection

    # The steps.

    async def carry_out(self, report: Report) -> None:
        """Every step, in order. Whatever interrupts it, the record keeps what was done by then."""
        self._report = report
        self.keeper.save()
        try:
            await self._every_step()
        except BaseException:
            self.keeper.end("interrupted", INTERRUPTED)
            raise
        self.keeper.end(self.verdict, self.exit_code)
        self._record_run()

    def said_of_interruption(self) -> str:
        """Where it stands, for whoever interrupted it."""
        done = ", ".join(outcome.step.title for outcome in self._outcomes.values()) or "nothing"
        where = self.kept_elsewhere() or f"kept in {self.keeper.path}"
        return f"interrupted after: {done}; {where}\ntrading stays {latch.read(self.home).state.value}; next: {self.consent.again()}, which proves anew"

    async def _every_step(self) -> None:
        await self._step("halt", "Halt", "trading", 5.0, self._look_at_halt)
        await asyncio.gather(
            self._step("cancel", "Orders listed" if self.wish.keep_orders else "Orders cancelled", "orders", 40.0, self._sweep.cancel),
            self._step("trading", "Trading stopped", "trading", 90.0, self._stop_trading),
        )
        await self._step("proof", "Orders kept" if self.wish.keep_orders else "Nothing works", "orders", 120.0, self._prove)
        await self._step("services", "Services stopped", "services", 120.0, self._stop_services)
        await self._step("positions", "Positions", "positions", 40.0, self._look_at_positions)
        await self._step("state", "State file", "state", 30.0, self._mend_state)
        await self._step("logs", "Logs kept", "logs", 60.0, self._keep_logs)
        await self._step("homes", "Other homes", "homes", 15.0, self._name_other_homes)

    async def _step(self, name: str, title: str, subject: str, seconds: float, look: Callable[[], Awaitable[Sequence[Finding]]]) -> None:
        began = clock.now()
        outcome = await procedure.run_step(Step(name, title, "", look, subject, seconds), self._report)
        self._outcomes[name] = outcome
        self.keeper.step(outcome, began)

    async def _look_at_halt(self) -> list[Finding]:
        problem, kept = self._latched.problem, self._latched.kept
        if problem:
            return [Finding("trading", Status.UNHEALTHY, problem.message, advice=problem.next_step or "")]
        state = latch.read(self.home)
        since = f" since {clock.show(state.since)}" if state.since else ""
        if kept:
            return [Finding("trading", Status.DEGRADED, f"{state.state.value}{since}, but {' and '.join(kept)} kept the gate: see below")]
        return [Finding("trading", Status.OK, f"{state.state.value}{since}: nothing leaves but cancels")]

    async def _stop_trading(self) -> list[Finding]:
        """End every sender, and see that nothing is left in the gate."""
        ended = await aside(senders.silence, self.home, self._rooms.services())
        self._senders_left = bool(ended.left)
        evidence: dict[str, object] = {"found": [run.what for run in ended.found], "left": [run.what for run in ended.left]}
        if ended.left:
            next_step = "end " + ", ".join(f"pid {run.pid}" for run in ended.left)
            return [Finding("trading", Status.UNHEALTHY, senders.said(ended), advice=next_step, evidence=evidence)]
        kept = await aside(self._in_the_gate)
        if kept:
            text = f"{senders.said(ended)}; but {halt.keeps(kept)}"
            return [Finding("trading", Status.UNKNOWN, text, advice="end that process", evidence=evidence)]
        return [Finding("trading", Status.OK, senders.said(ended), evidence=evidence)]

    def _in_the_gate(self) -> list[str]:
        try:
            return barrier.shut(self.home)
        except CannotWrite:
            return []  # where even the lock cannot be opened, no order passes either

    async def _prove(self) -> list[Finding]:
        found = await self._sweep.prove(self._ids_of_intents())
        self._nothing_works = not self.wish.keep_orders and all(finding.status is Status.OK for finding in found)
        if self._senders_left:
            found.append(
                Finding("orders", Status.UNKNOWN, "a sender still lives: what it may yet send is not proven", advice=self.consent.again())
            )
        return found

    def _ids_of_intents(self) -> list[int]:
        """The client ids under which orders were sent whose end nobody knows; none where the state file cannot be read."""
        from v6cli.state import intents
        from v6cli.state.database import open_read_only

        try:
            with open_read_only(self.home) as state:
                return sorted({intent.client_id for intent in intents.unsettled(state)})
        except Exception:  # noqa: BLE001  whatever is wrong with what is recorded, the proof under the usual ids goes on
            return []

    def _to_stop(self) -> list[str]:
        """The services to stop, of those that this home has."""
        from v6cli.services.catalogue import SERVICES

        wanted = [name for name in STOPPED if not (name == "v6-dashboard" and self.wish.keep_dashboard)]
        return [service.name for service in SERVICES if service.name in wanted]

    async def _stop_services(self) -> list[Finding]:
        return [await aside(self._stop_one, name) for name in self._to_stop()]

    def _stop_one(self, name: str) -> Finding:
        try:
            self._rooms.services().stop([name], ignore)
        except V6Error as error:
            return Finding("services", Status.UNKNOWN, f"{name}: {error.message}", fix=Fix(("services", "stop", name)))
        return Finding("services", Status.OK, f"{name} stopped, its processes gone")

    async def _look_at_positions(self) -> list[Finding]:
        return await self._remainder.look(self._connect, nothing_works=self._nothing_works)

    async def _mend_state(self) -> list[Finding]:
        return [await aside(self._renew_state)]

    def _renew_state(self) -> Finding:
        """A damaged state file is moved aside and begun anew, once nobody has it open."""
        from v6cli.services import processes
        from v6cli.state import renewal

        damage = renewal.damage(self.home)
        if not damage:
            return Finding("state", Status.OK, "the state file is whole")
        self._rooms.close_state()
        if using := processes.having_open(renewal.parts(self.home)):
            who = ", ".join(f"{one.name} (pid {one.pid})" for one in using)
            return Finding(
                "state", Status.UNHEALTHY, f"{damage}; {who} has it open, so it stays", advice=f"end it, then {self.consent.again()}"
            )
        try:
            moved = renewal.begin_anew(self.home, self.keeper.stem.removeprefix("emergency_"))
        except CannotWrite as error:
            return Finding("state", Status.DEGRADED, f"{damage}; {error.message}", advice=error.next_step or "")
        evidence: dict[str, object] = {"moved": list(map(str, moved))}
        text = f"{damage}; {renewal.said(moved)}"
        return Finding("state", Status.DEGRADED, text, advice="v6 sync --force, before trading resumes", evidence=evidence)

    async def _keep_logs(self) -> list[Finding]:
        from v6cli.services.catalogue import SERVICES

        archive = self.home.logs / f"{self.keeper.stem}.tar.gz"
        files = emergency_logs.sources(self.home, self._rooms.services(), [service.name for service in SERVICES])
        try:
            text = await aside(emergency_logs.collect, files, archive)
        except CannotWrite as error:
            return [Finding("written", Status.DEGRADED, error.message, advice=error.next_step or "")]
        return [Finding("logs", Status.OK, text)]

    async def _name_other_homes(self) -> list[Finding]:
        found = await aside(other_homes.find, self.home)
        self._notes += [str(one) for one in found]
        text = f"{count(len(found), 'other home')} on this machine, untouched" if found else "no other home on this machine"
        return [Finding("homes", Status.OK, text, evidence={str(one.home): one.state.value for one in found})]

    def _record_run(self) -> None:
        """Keep the record in SQLite, too, where that can be written."""
        from v6cli.state import runs

        self._in_state = True  # as what is written there has it
        try:
            run = locks.begin_run(self.home, KIND)
            try:
                runs.begun(self._rooms.state(), run.identity, KIND)
                runs.ended(self._rooms.state(), run.identity, self.verdict, self.exit_code, self.keeper.record)
            finally:
                run.end()
        except Exception:  # noqa: BLE001  the file in logs is the record; this is a second one
            self._in_state = False

    # What came of it.

    @property
    def findings(self) -> list[Finding]:
        """Of every step."""
        return [finding for outcome in self._outcomes_in_order() for finding in outcome.findings]

    def _outcomes_in_order(self) -> list[Outcome]:
        return [self._outcomes[name] for name in STEPS if name in self._outcomes]

    @property
    def exit_code(self) -> int:
        """0 all proven; 74 the halt or a file is not written; 75 something is unknown; 77 no order was cancelled for lack of consent."""
        if self._latched.problem:
            return CannotWrite.exit_code
        if self.consent.denied:
            return Refused.exit_code
        if any(finding.status in {Status.UNKNOWN, Status.UNHEALTHY} for finding in self.findings):
            return OutcomeUnknown.exit_code
        return CannotWrite.exit_code if self._unwritten() else 0

    @property
    def verdict(self) -> str:
        """The exit code in words."""
        return {0: "all proven", 74: "not all recorded", 75: "not all proven", 77: "orders not cancelled"}[self.exit_code]

    def table(self) -> Table:
        """What each step found, what is left, and where it is kept."""
        notes = [*self._remainder.notes, *self._notes]
        if not self.keeper.problem:
            notes.append(f"proof record: {self.keeper.path}")
            if self.keeper.record.orders and self.keeper.record.cancel_sent:
                notes.append(f"what was cancelled: v6 orders reentry {shlex.quote(str(self.keeper.path))}")
        return shutdown_tables.steps(KIND, self._outcomes_in_order(), self.verdict, notes)

    def kept_elsewhere(self) -> str:
        """Where the record is that its file does not hold, or itself where nothing could be written; empty where the file does."""
        if not self.keeper.problem:
            return ""
        if self._in_state:
            return f"the proof record is in the state file alone: {self.keeper.problem}"
        return f"the proof record could not be written; this is it:\n{self.keeper.text()}"

    def check(self) -> None:
        """Raise what the exit code stands for. Does nothing where all is proven."""
        code = self.exit_code
        if code == CannotWrite.exit_code:
            problem = self._latched.problem
            message = problem.message if problem else f"not everything could be written: {self._unwritten()}"
            raise CannotWrite(message, next_step=problem.next_step if problem else "free the disk")
        if code == Refused.exit_code:
            raise Refused(self.consent.denied, next_step=self.consent.again("--account ID"))
        if code:
            open_ends = [one.text for one in self.findings if one.status in {Status.UNKNOWN, Status.UNHEALTHY}]
            more = f" (and {len(open_ends) - 1} more)" if len(open_ends) > 1 else ""
            raise OutcomeUnknown(
                f"NOT PROVEN: {open_ends[0]}{more}", next_step=f"look in TWS; then {self.consent.again()} again: it proves anew"
            )

    def _unwritten(self) -> str:
        told = [one.text for one in self.findings if one.subject == "written" and one.status is not Status.OK]
        return "; ".join([*([] if self._in_state or not self.keeper.problem else [self.keeper.problem]), *told])


def worse(errors: Sequence[V6Error]) -> V6Error | None:
    """The error whose exit code weighs more, with what the others say; None where there is none."""
    if not errors:
        return None
    worst = max(errors, key=lambda error: WEIGHTS.index(error.exit_code) if error.exit_code in WEIGHTS else len(WEIGHTS))
    told = "; and ".join(error.message for error in (worst, *(one for one in errors if one is not worst)))
    return type(worst)(told, next_step=worst.next_step)
