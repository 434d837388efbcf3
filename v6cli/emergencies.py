"""Shutting down and closing positions, step by step as their commands tell it, over what the App wires."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from v6cli.errors import BadConfiguration, CannotWrite, EndAsked, V6Error

if TYPE_CHECKING:
    from v6cli.app import App
    from v6cli.results import Result
    from v6cli.runbook.close_all import CloseAll
    from v6cli.runbook.close_tables import Stage
    from v6cli.runbook.close_wish import Wish as WishToClose
    from v6cli.runbook.shutdown import Latched, Shutdown
    from v6cli.runbook.shutdown_wish import Wish
    from v6cli.trading.flatten import Left


class Emergencies:
    """The acts of an emergency in the home of an App."""

    def __init__(self, app: App) -> None:
        self._app = app

    def shutdown(self, latched: Latched, wish: Wish) -> Shutdown:
        """An emergency shutdown of this home, with its settings as far as they are known; nothing of it has begun."""
        from v6cli import logs
        from v6cli.runbook.shutdown import Rooms, Shutdown

        logs.to_file(self._app.home, self._app.output.note)
        try:
            own = self._app.settings
        except BadConfiguration:
            own = None
        return Shutdown(
            self._app.home,
            wish,
            latched,
            Rooms(own, self._app.services_in_need, lambda: self._app.state, self._app.close_state),
            self._app.operator,
        )

    def show_at_stake(self, shutdown: Shutdown, *, yes: bool) -> None:
        """Show who is to decide the orders that a shutdown would cancel, or say why they are unknown. Where nobody is, nothing waits."""
        if yes or self._app.output.ask is None:
            return
        found = self._app.run(shutdown.look(self._app.output.report))
        if isinstance(found, str):
            self._app.output.note(found)
        else:
            self._app.output.show(found)

    def shut_down(self, shutdown: Shutdown) -> None:
        """Carry it out, its steps shown as they go, then what came of them and where that is kept."""
        try:
            with self._app.output.live("Emergency shutdown") as report:
                self._app.run_until_stopped(lambda: shutdown.carry_out(report))
        except KeyboardInterrupt:
            self._app.output.note(shutdown.said_of_interruption())
            raise
        self._app.output.show(shutdown.table())
        if elsewhere := shutdown.kept_elsewhere():
            self._app.output.text(elsewhere)

    def closing(self, wish: WishToClose) -> CloseAll:
        """A closing of positions in this home, nothing of which has begun."""
        from v6cli.runbook.close_all import CloseAll

        return CloseAll(self._app.home, self._app.settings, None, wish, "", self._app.gateway)

    @contextlib.contextmanager
    def typed_instead(self, wish: WishToClose) -> Iterator[None]:
        """Where an order cannot be recorded none is sent: what would close the positions is shown, to be typed by hand."""
        from v6cli.state.errors import StateCorrupt

        try:
            yield
        except (CannotWrite, StateCorrupt) as error:
            self._show_by_hand(wish)
            told = f"no order can be recorded, so v6 sends none: {error.message}"
            raise CannotWrite(told, next_step=f"type what is shown above into TWS; then {error.next_step or 'free the disk'}") from error

    def _show_by_hand(self, wish: WishToClose) -> None:
        from v6cli.runbook import by_hand

        async def ask() -> Result:
            async with self._app.gateway("look") as connection:
                return await by_hand.asked(connection, wish.chooses, wish.how.own, self._app.settings.lines.trading)

        try:
            self._app.output.show(self._app.run(ask()))
            return
        except V6Error as error:
            self._app.output.note(f"what is held now is UNKNOWN: {error.message}")
        try:
            self._app.output.show(by_hand.recorded(self._app.recorded(), wish.chooses))
        except Exception as error:  # noqa: BLE001  whatever is wrong with what is recorded, TWS knows
            self._app.output.note(
                f"nor is it known from before: {error}; look in TWS, and close there, shorts before the longs that cover them"
            )

    def show_plan(self, closing: CloseAll) -> None:
        """Show what a closing would do, from what IB says now."""
        self._show_stage(closing, self._app.run(closing.look()))

    def _show_stage(self, closing: CloseAll, stage: Stage) -> None:
        from v6cli.runbook import close_tables
        from v6cli.state import mirror

        try:
            seen = self._app.look_up(mirror.read)
        except V6Error as error:
            self._app.output.note(error.message)
            seen = None
        self._app.output.show(close_tables.plan_table(stage, closing.wish.what, seen))

    def flatten(self, closing: CloseAll) -> None:
        """Halt, end what trades, and close everything that is meant; what is left is shown.

        Raises OutcomeUnknown where something is left, Refused, CannotWrite.
        """
        from v6cli import latch
        from v6cli.runbook import close_tables, halt

        what = closing.wish.what
        halted = halt.tighten(self._app.home, latch.TradingState.HALTED, what, self._app.operator, self._app.halts.silence)
        self._app.output.note(closing.end_what_trades(self._app.services_in_need()))  # and sees then that nobody kept the gate
        self._app.act.renew_state()
        closing.begin(self._app.state, self._app.act.run)
        closing.permit([halted.mark])
        left = self.close_positions(closing)
        self._app.output.show(close_tables.left_table(left, what))
        self._app.output.note(halt.said(latch.read(self._app.home)))
        close_tables.check_flat(left, closing.wish.line)

    def show_what_closes(self, closing: CloseAll | None, *, yes: bool) -> None:
        """Show who is to decide it what would be closed, or say why that is unknown. Where nobody is, nothing waits."""
        if closing is None or yes or self._app.output.ask is None:
            return
        try:
            self.show_plan(closing)
        except V6Error as error:
            self._app.output.note(f"what would be closed is UNKNOWN: {error.message}")

    def closing_everything(self) -> CloseAll | None:
        """What closes every position; None, which is said, in a home whose settings are unknown."""
        from v6cli.runbook import close_wish

        try:
            return self.closing(close_wish.wish_for_everything(self._app.settings_in_need.closing))
        except BadConfiguration:
            self._app.output.note("NO POSITION WILL BE CLOSED: the settings of this home are unknown; v6 config validate")
            return None

    def flatten_after(self, shutdown: Shutdown, closing: CloseAll | None, *, yes: bool) -> None:
        """Close what is to be closed once a shutdown has done what it could. Raises the worse of what came of both, with all words."""
        from v6cli.runbook.shutdown import worse

        errors = []
        for act in (shutdown.check, lambda: self._flatten_too(shutdown, closing, yes=yes)):
            try:
                act()
            except V6Error as error:
                errors.append(error)
        if (worst := worse(errors)) is not None:
            raise worst

    def _flatten_too(self, shutdown: Shutdown, closing: CloseAll | None, *, yes: bool) -> None:
        if closing is None:
            if shutdown.wish.close_all:
                raise BadConfiguration("no position was closed: the settings of this home are unknown", next_step="v6 config validate")
            return
        shutdown.consent.check()
        with self.typed_instead(closing.wish):
            self._app.act.check_recordable()
            shown = closing.stage
            self.show_plan(closing)
            agreed = shown is not None and not closing.grown_since(shown)
            closing.agree(self._app.output.ask_or_no, yes=yes, typed=shutdown.consent.typed, agreed=agreed)
            with self._app.alone("close-all"):
                self.flatten(closing)

    def close_positions(self, closing: CloseAll) -> list[Left]:
        """Carry it out with its progress shown, keep what came of it, and sync; what is left open.

        Neither a record nor a sync that fails keeps that from being told. Raises what stopped it; if it had sent an order, what came of
        it by then was shown first.
        """
        from v6cli.runbook import close_tables

        try:
            left = self._carry_out(closing)
        except (V6Error, OSError, KeyboardInterrupt) as stop:
            self._show_stopped(closing, stop)
            raise
        self._app.record(closing.wish.how.purpose, close_tables.code(left), close_tables.evidence(left))
        self._sync_after(closing)
        return left

    def _show_stopped(self, closing: CloseAll, stop: BaseException) -> None:
        """Show what filled, what is left, and what to type; keep it, and sync. Nothing that fails here hides what stopped the closing."""
        from v6cli import latch
        from v6cli.runbook import close_tables, halt

        try:
            if not (sent := closing.sent()):
                return
            left = self._rest_of(closing, stop)
            self._app.output.show(close_tables.stopped_table(left, sent, closing.wish.what, halt.said(latch.read(self._app.home))))
            if isinstance(stop, KeyboardInterrupt):  # else the error names it
                self._app.output.note(f"next: {closing.wish.line}")
            self._app.record(closing.wish.how.purpose, close_tables.code_of_stop(stop), close_tables.evidence(left))
            if isinstance(left, str):
                self._app.output.note("what is recorded of positions is older than that; then: v6 sync --force")
            else:
                self._sync_after(closing)
        except (V6Error, OSError) as error:
            self._app.output.note(f"what it did by then cannot be told: {error}; look at v6 orders, and v6 positions --from-gateway")

    def _rest_of(self, closing: CloseAll, stop: BaseException) -> list[Left] | str:
        """What is left of what was to be closed, or why that is unknown. Who is asked to end has no time to look: it is killed soon."""
        if isinstance(stop, EndAsked):
            return "this process was asked to end; v6 positions --from-gateway"
        try:
            return self._app.run(closing.look_at_the_rest())
        except V6Error as error:
            return error.message

    def _sync_after(self, closing: CloseAll) -> None:
        from v6cli.runbook import sync

        with self._app.output.live(f"{closing.wish.what}: sync") as report:
            try:
                closing.end()
                self._app.run(sync.once(self._app.home, self._app.settings, self._app.state, report, dry_run=False, force=True))
            except V6Error as error:
                self._app.output.note(f"the sync after it failed: {error.message}; next: v6 sync --force")

    def _carry_out(self, closing: CloseAll) -> list[Left]:
        """Close, with its progress shown; what has grown meanwhile is shown, and asked about once more each time."""
        from v6cli.runbook.close_all import Grown

        while True:
            try:
                with self._app.output.live(closing.wish.what) as report:
                    return self._app.run_until_stopped(lambda: closing.carry_out(report))
            except Grown as grown:
                assert closing.stage is not None
                self._show_stage(closing, closing.stage)
                closing.agree_to_more(self._app.output.ask_or_no, grown)
