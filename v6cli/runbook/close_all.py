"""Closing positions by order of the operator: everything, a symbol, a strategy, or one position.

``close-all`` halts, ends what trades, cancels what works, closes, and proves that nothing is left. ``close`` takes a permit and leaves
the trading state, and every other position and order, as it found them. Either may be run again at any point.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from zoneinfo import ZoneInfo

import msgspec

from v6cli import barrier, clock, control, latch, locks, permits
from v6cli.broker import account, orders
from v6cli.broker.connection import Connection
from v6cli.broker.ib import ClientIdInUse
from v6cli.errors import BadInput, GatewayUnavailable, OutcomeUnknown, Refused, V6Error
from v6cli.events import Event, Note, Report
from v6cli.home import Home
from v6cli.latch import Mark, TradingState
from v6cli.models import Contract, WorkingOrder
from v6cli.permits import Permit
from v6cli.results import count
from v6cli.runbook import halt, protection, senders
from v6cli.runbook import orders as of_orders
from v6cli.runbook.close_tables import Stage
from v6cli.runbook.close_wish import Wish
from v6cli.services.backend import Backend
from v6cli.settings import Settings
from v6cli.state import intents
from v6cli.state.database import State
from v6cli.state.intents import Intent
from v6cli.trading import flatten, parts, resolve
from v6cli.trading.execution import Desk
from v6cli.trading.flatten import Flatten, Left, Stopped
from v6cli.trading.holdings import Holdings
from v6cli.trading.parts import Part, Plan

CONFIRMED_WITHIN = 15.0  # wall seconds for a cancel
AGAIN_AFTER = 2.0  # wall seconds before a lost connection is made anew
LOOKED_WITHIN = 15.0  # wall seconds for what is left once it was stopped


Blocked = tuple[WorkingOrder, str]  # an order that could not be cancelled, and why
Gateway = Callable[[str, int | None], AbstractAsyncContextManager[Connection]]


def next_line(state: TradingState) -> str:
    """What comes after a closing that ended well. Who resumes while it runs has v6-trading open again, unseen by what it proved."""
    if state is TradingState.HALTED:
        return "next: v6 positions; trading stays halted until v6 resume --reason TEXT"
    resumed = f"trading was resumed meanwhile and is {state.value}: what opened since may be held"
    return f"{resumed}; next: v6 positions --from-gateway, or v6 halt"


class Grown(Refused):
    """More is held than was agreed to. Nothing is closed before somebody agrees to that, too."""


class CloseAll:
    """One closing, over as many connections as it takes."""

    def __init__(self, home: Home, settings: Settings, state: State | None, wish: Wish, run: str, gateway: Gateway) -> None:
        """The plan needs neither state nor run, which may be given later: see ``begin``."""
        self.home = home
        self.wish = wish
        self.left: list[Left] = []
        self.stage: Stage | None = None
        self._seen = latch.read(home)
        self._settings = settings
        self._opened = state
        self._run = run
        self._gateway = gateway
        self._permit: Permit | None = None
        self._meant: dict[int, Contract] = {}  # every contract that was ever in its plan: what is closed may be opened again
        self._yes = False
        self._share = settings.messages.closing
        self._zone = ZoneInfo(settings.gateway.time_zone)

    @property
    def _state(self) -> State:
        assert self._opened is not None
        return self._opened

    # Before the question.

    async def look(self) -> Stage:
        """The plan, from what IB says now.

        Raises GatewayUnavailable, BadInput where nothing fits what was asked for or a price was typed for what is not in the plan.
        """
        async with self._gateway("look", None) as connection:
            stage = await self._look(connection)
            if not stage.plan.parts and not self.wish.everything:
                symbols = sorted({one.contract.symbol for one in await account.positions(connection)})
                raise BadInput(
                    f"nothing that is held fits {self.wish.about}; held: {', '.join(symbols) or 'nothing'}{self._stays()}",
                    next_step="v6 positions --from-gateway",
                )
        self._check_limits(stage.plan)
        self.stage = stage
        return stage

    def _check_limits(self, plan: Plan) -> None:
        """Raise BadInput where a price was typed for what is not to be closed: its contract is mistaken, and what was meant lacks one."""
        for con_id, limit in self.wish.how.limits.items():
            if con_id not in plan.sizes:
                raise BadInput(
                    f"--limit {con_id}={limit:.10g}: contract {con_id} is not among what is to be closed; nothing was closed{self._stays()}",
                    next_step=f"{self.wish.what} --dry-run shows each contract's id",
                )

    async def _look(self, connection: Connection) -> Stage:
        held = await account.positions(connection)
        working = await orders.working(connection)
        await connection.must_reach_ib()
        plan = parts.plan(held, self.wish.chooses)
        self._meant |= {own.con_id: own for part in plan.parts for own, _ in part.legs}
        resting = [one for one in working if self._concerns(one)]
        return Stage(plan, tuple(resting), tuple(connection.client.accounts), self.wish.how.limits)

    def _concerns(self, order: WorkingOrder) -> bool:
        """Whether an order may change what is to be closed, be it that this is closed by now."""
        return self.wish.everything or protection.touches(order, self._meant.values())

    def agree(self, ask: Callable[[str], str] | None, *, yes: bool, typed: str, agreed: bool = False) -> None:
        """Have it confirmed; where real money or another account is at stake, by typing the account. Raises Refused.

        ``yes`` agrees to what grows from now on, too; ``agreed`` says that this very plan has been agreed to before.
        """
        assert self.stage is not None
        self._yes = yes
        pinned = self._settings.account
        others = [one for one in self.stage.accounts if one != pinned]
        if (self._settings.profile == "live" or (self.wish.everything and others)) and typed != pinned:
            whose = f"; its cancels take the orders of {' and '.join(self.stage.accounts)}" if others and self.wish.everything else ""
            typed = ask(f"This closes positions of {pinned}{whose}.\nType {pinned} to go on: ") if ask and not typed else typed
            if typed != pinned:
                raise Refused(
                    f"account {pinned} was not typed: nothing was closed{self._stays()}", next_step=f"{self.wish.line} --account {pinned}"
                )
        elif not (yes or agreed):
            if ask is None:
                raise Refused(f"nobody to ask: nothing was closed{self._stays()}", next_step=f"{self.wish.line} --yes")
            if ask(f"Close {count(len(self.stage.plan.sizes), 'position')}? [y/N] ").lower() not in {"y", "yes"}:
                raise Refused(f"declined: nothing was closed{self._stays()}", next_step=f"{self.wish.line} --dry-run shows the plan")

    def agree_to_more(self, ask: Callable[[str], str] | None, grown: Grown) -> None:
        """Have what has grown confirmed, once it was shown. Raises Refused."""
        if ask is None:
            raise Refused(f"{grown.message}: nobody to ask, and {self._nothing()}{self._stays()}", next_step=grown.next_step) from grown
        if ask(f"{grown.message}. Close all of it? [y/N] ").lower() not in {"y", "yes"}:
            raise Refused(f"{grown.message}: declined, and {self._nothing()}{self._stays()}", next_step=grown.next_step) from grown

    def _nothing(self) -> str:
        """That this run goes no further: it may have sent orders over a connection that was lost since."""
        return "nothing more was closed" if self.sent() else "nothing was closed"

    def _stays(self) -> str:
        state = latch.read(self.home).state
        return "" if state is TradingState.ACTIVE else f"; trading stays {state.value} until v6 resume --reason TEXT"

    # After it.

    def begin(self, state: State, run: str) -> None:
        """Work on with this state, whose intents name this run."""
        self._opened, self._run = state, run

    def permit(self, also: Sequence[Mark] = ()) -> None:
        """Take the permit to pass the halts that stood when the plan was shown, ``also`` these, and no others. Raises CannotWrite."""
        self._permit = permits.grant(self.home, self._run, self.wish.what, [*self._seen.marks, *also])

    def end_what_trades(self, services: Backend) -> str:
        """End v6-trading and every other sender but this one; what came of it.

        Raises OutcomeUnknown where one lives on, or is still in the gate: an order that it checked before the halt may leave after every
        cancel. Raises CannotWrite where nobody can tell who is in the gate.
        """
        ended = senders.silence(self.home, services, spare=self._run)
        if ended.left:
            raise OutcomeUnknown(f"{senders.said(ended)}: nothing was closed beside it", next_step="end it, then run this again")
        if kept := barrier.shut(self.home):
            raise OutcomeUnknown(f"{halt.keeps(kept)}: nothing was closed beside it", next_step="end that process, then run this again")
        self._share += self._settings.messages.trading  # which nobody uses any more
        return senders.said(ended)

    async def carry_out(self, report: Report) -> list[Left]:
        """Cancel, close, and ask anew what is held; what is left.

        Raises Grown where there is more to close than was agreed to: ``stage`` is then what there is. Raises Refused, CannotWrite,
        OutcomeUnknown which names the orders that may still work, whatever else stopped it.
        """
        report = _heard_or_not(report)
        deadline = clock.monotonic() + self.wish.how.own.timeout
        try:
            async with clock.timeout(self.wish.how.own.timeout):
                while True:
                    try:
                        return await self._attempt(report)
                    except ClientIdInUse as error:
                        raise Refused(
                            f"{error.message}: another closing runs, here or elsewhere", next_step="wait for it to end"
                        ) from error
                    except GatewayUnavailable as error:
                        if clock.monotonic() + AGAIN_AFTER >= deadline:
                            raise
                        report(Note(f"{error.message}: once more in {AGAIN_AFTER:g} s"))
                        await clock.pause(AGAIN_AFTER)
        except TimeoutError:
            raise self._not_finished(f"not finished within {self.wish.how.own.timeout:g} s") from None
        except GatewayUnavailable as error:
            raise self._not_finished(f"not finished: {error.message}") from error
        except Stopped as error:  # none of its orders works, or it would say so
            raise Stopped(error.message, next_step=f"{error.next_step}, then {self.wish.line} again") from error
        except (V6Error, OSError, asyncio.CancelledError) as error:
            if self._unsettled():  # such as those that were sent over a connection that is gone, or before the disk was full
                raise self._not_finished("interrupted" if isinstance(error, asyncio.CancelledError) else str(error)) from error
            raise

    def sent(self) -> list[Intent]:
        """The orders of this run, the oldest first: what filled, and how each ended."""
        return intents.of_run(self._state, self._run) if self._opened is not None else []

    async def look_at_the_rest(self) -> list[Left]:
        """What is held, and may still fill, of what was to be closed, by what IB says now. Raises GatewayUnavailable."""
        try:
            async with clock.timeout(LOOKED_WITHIN), self._gateway("look", None) as connection:
                return await self._confirm(connection, [], [])
        except TimeoutError:
            raise GatewayUnavailable(f"no answer within {LOOKED_WITHIN:g} s") from None

    def _unsettled(self) -> list[str]:
        """References of the orders of this run whose end is not known."""
        return [one.order_refs[-1] for one in self.sent() if one.state in {"open", "unknown"}]

    def _not_finished(self, why: str) -> OutcomeUnknown:
        """Why it ended early, with the orders of this run whose end is not known."""
        sent = self._unsettled()
        may = f"these orders may still work: {', '.join(sent)}" if sent else "none of its orders works any more"
        return OutcomeUnknown(f"{why}; {may}", next_step=f"v6 orders, then {self.wish.line} again")

    async def _attempt(self, report: Report) -> list[Left]:
        """One connection's worth of it."""
        async with self._gateway("closing", None) as connection:
            report(Note("connected: asking IB what works and what is held"))
            connection.client.bucket.share = self._share
            desk = Desk(connection, self._state, self.home, self._zone, self._permit)
            blocked = await self._clear_the_way(connection, report)
            stage = await self._look(connection)
            self._check_grown(stage, report)
            in_the_way = [
                (part, why)
                for part in stage.plan.parts
                if (why := next((why for one, why in blocked if protection.touches(one, [own for own, _ in part.legs])), ""))
            ]
            left = [Left(own, size, why) for part, why in in_the_way for own, size in part.legs]
            free = [part for part in stage.plan.parts if not any(part is one for one, _ in in_the_way)]
            left += await self._close(desk, free, report)
            return await self._confirm(connection, left, blocked)

    async def _clear_the_way(self, connection: Connection, report: Report) -> list[Blocked]:
        """Cancel what works on these contracts and settle what was left open; the orders that still work, each with why."""
        stage = await self._look(connection)
        blocked: list[Blocked] = []
        if stage.resting:
            report(Note(f"cancelling {count(len(stage.resting), 'order')}"))
            blocked = await (self._cancel_everything(connection) if self.wish.everything else self._cancel_each(connection, stage.resting))
        await self._settle(connection, report)
        return blocked

    async def _cancel_everything(self, connection: Connection) -> list[Blocked]:
        await orders.cancel_everything(connection)
        return await self._wait_until_gone(connection, lambda _one: True)

    async def _wait_until_gone(self, connection: Connection, meant: Callable[[WorkingOrder], bool]) -> list[Blocked]:
        """Wait until no complete list has orders that are ``meant``; those that it still has in the end."""
        deadline = clock.monotonic() + CONFIRMED_WITHIN
        while working := [one for one in await orders.working(connection) if meant(one)]:
            if clock.monotonic() >= deadline:
                break
            await clock.pause(0.25)
        await connection.must_reach_ib()
        return [(one, _still_works(one)) for one in working]

    async def _cancel_each(self, connection: Connection, resting: Sequence[WorkingOrder]) -> list[Blocked]:
        """A subset is cancelled by its owners: a global cancel would take the rest, too."""
        blocked: list[Blocked] = []
        mine = [one for one in resting if one.client_id == connection.client_id]
        for one in mine:  # of an earlier closing, be it of another home: whoever has this client id cancels them
            await orders.cancel(connection, one)
        for one in resting:
            if one.client_id == connection.client_id:
                continue
            try:
                await of_orders.cancel(self.home, self._gateway, one)
            except V6Error as error:
                blocked.append((one, f"an order of client {one.client_id} rests on it: {error.message}"))
        ids = {one.order_id for one in mine}
        return blocked + await self._wait_until_gone(connection, lambda one: one.client_id == connection.client_id and one.order_id in ids)

    async def _settle(self, connection: Connection, report: Report) -> None:
        """What became of the orders of runs that have ended, each asked for under its own client id; an unknown one lets its claim go."""
        await self._settle_under(connection)
        others = {one.client_id for one in intents.unsettled(self._state) if not locks.lives(self.home, one.run)} - {connection.client_id}
        for client_id in sorted(others):
            try:
                async with self._gateway("cancel", client_id) as stand_in:
                    await self._settle_under(stand_in)
            except ClientIdInUse as error:
                report(Note(f"{error.message}: what it left open stays so"))

    async def _settle_under(self, connection: Connection) -> None:
        left_open = await resolve.resolve(connection, self._state, self._zone)
        for verdict in left_open:
            for one in verdict.alive:
                await orders.cancel(connection, one)
        if not left_open:
            return
        await clock.pause(0.5)
        for verdict in await resolve.resolve(connection, self._state, self._zone):
            if not verdict.alive and verdict.ending == "unknown":
                intents.release(self._state, verdict.intent.intent)  # it works no more, so a fill of it is in the position

    def _check_grown(self, stage: Stage, report: Report) -> None:
        """What is held more of than was agreed to is told and, without --yes, asked about: raises Grown then."""
        assert self.stage is not None
        if not (grown := _grown(self.stage.plan, stage.plan)):
            return
        self.stage = stage
        if not self._yes:
            raise Grown(f"{', '.join(grown)} since the plan was shown", next_step=f"{self.wish.line} again shows it")
        for one in grown:
            report(Note(f"{one} since the plan was shown: that is closed, too"))

    def grown_since(self, shown: Stage) -> str:
        """What is held more of than a plan of before says; empty where nothing is."""
        return ", ".join(_grown(shown.plan, self.stage.plan)) if self.stage else ""

    async def _close(self, desk: Desk, parts: Sequence[Part], report: Report) -> list[Left]:
        if not parts:
            return []
        async with Holdings(desk.connection, self._state, self.wish.how.own.lag) as holdings:
            closing = Flatten(desk, holdings, self._run, self.wish.how, self._settings.lines.trading, report)
            try:
                async with self._listening(closing, report):
                    return await closing.close(parts)
            except GatewayUnavailable:
                raise  # nothing can be cancelled here any more: the next connection settles it
            except BaseException:
                await self._withdraw(closing, report)
                raise

    @asynccontextmanager
    async def _listening(self, closing: Flatten, report: Report) -> AsyncIterator[None]:
        """Let others have single orders cancelled meanwhile: only their own client can. Where that cannot be, it closes all the same."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(await control.serve(self.home.control_socket(flatten.SOCKET), {"cancel": closing.cancel}))
            except (V6Error, OSError) as error:
                report(Note(f"no single order of it can be cancelled from elsewhere: {error}"))
            yield

    async def _withdraw(self, closing: Flatten, report: Report) -> None:
        """Something stopped it: its own orders go first, then that is told. Raises OutcomeUnknown, naming those that may live."""
        if alive := await closing.withdraw():
            raise OutcomeUnknown(
                "stopped, and these orders may still work: " + ", ".join(working.recorded.order_ref for working in alive),
                next_step="v6 orders",
            )
        report(Note(f"none of them works any more{self._stays()}; {self.wish.line} again goes on where it was"))

    async def _confirm(self, connection: Connection, left: Sequence[Left], blocked: Sequence[Blocked]) -> list[Left]:
        """What is really left, and what may still open something: positions and orders asked for anew, whatever was said of cancels.

        Orders are asked for before positions, too: one that fills between the two is in neither list otherwise.
        """
        before = [one for one in await orders.working(connection) if self._concerns(one)]
        stage = await self._look(connection)
        working = {(one.perm_id, one.client_id, one.order_id): one for one in (*before, *stage.resting)}
        known = {one.perm_id: why for one, why in blocked}
        said = {one.contract.con_id: one.why for one in left}
        contracts = {own.con_id: own for part in stage.plan.parts for own, _ in part.legs}
        held = {
            con_id: Left(contracts[con_id], size, said.get(con_id, "it is still held: run it again"))
            for con_id, size in stage.plan.sizes.items()
            if abs(size) > 1e-9
        }
        return self._with_what_may_work(held, [(one, known.get(one.perm_id) or _still_works(one)) for one in working.values()])

    def _with_what_may_work(self, held: dict[int, Left], working: Sequence[Blocked]) -> list[Left]:
        """What is held, and orders that may still fill, this run's and others', be it that nothing is held for them."""
        told = " ".join(one.why for one in held.values())
        own = [one for one in self.sent() if one.state in {"open", "unknown"}]
        refs = {ref for one in own for ref in one.order_refs}
        may = [(one.order.contract, f"its order {one.order_refs[-1]} may still work") for one in own if one.intent not in told]
        may += [(one.contract, why) for one, why in working if one.order_ref not in refs and why not in told]
        left, others = dict(held), []
        for contract, why in may:
            if contract.con_id in left:
                left[contract.con_id] = msgspec.structs.replace(left[contract.con_id], why=f"{left[contract.con_id].why}; {why}")
            else:
                others.append(Left(contract, 0.0, f"{why}: a fill would open a position"))
        return [*left.values(), *others]

    def end(self) -> None:
        """It needs its permit no more. Raises CannotWrite."""
        if self._permit is not None:
            permits.withdraw(self.home, self._permit)


def _heard_or_not(report: Report) -> Report:
    """The same report, which never fails: a terminal that was closed takes no line, and none is worth an order that is not taken back."""

    def tell(event: Event) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError is what a closed file says
            report(event)

    return tell


def _grown(shown: Plan, now: Plan) -> list[str]:
    """What a plan has more of than the one that was shown, or on the other side, in words."""
    contracts = {own.con_id: own for part in now.parts for own, _ in part.legs}
    before = shown.sizes
    return [
        f"{contracts[con_id]} has grown from {before.get(con_id, 0.0):+g} to {size:+g}"
        for con_id, size in now.sizes.items()
        if abs(size) > abs(before.get(con_id, 0.0)) + 1e-9 or size * before.get(con_id, 0.0) < 0
    ]


def _still_works(order: WorkingOrder) -> str:
    """That an order works in spite of its cancel, or that it came since."""
    whose = f"of client {order.client_id}" if order.client_id else "entered by hand"
    return f"order {order.perm_id} {whose}, {order.action} {order.quantity - order.filled:g} {order.contract}, still works ({order.status})"
