"""Halting trading and resuming it, as their commands tell it, over what the App wires."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from v6cli.errors import Refused, V6Error

if TYPE_CHECKING:
    from v6cli.app import App
    from v6cli.latch import Latch
    from v6cli.models import WorkingOrder


class Halts:
    """What goes with a halt of the home of an App, and with its end."""

    def __init__(self, app: App) -> None:
        self._app = app

    def silence(self) -> str:
        """End everything of this home that sends orders; what came of it, in words. For a halt that cannot be recorded."""
        from v6cli.runbook import senders

        return senders.said(senders.silence(self._app.home, self._app.services_in_need()))

    async def working_orders(self) -> Sequence[WorkingOrder]:
        """The orders of every client that work at the gateway now. Raises GatewayUnavailable."""
        from v6cli.runbook import orders

        return await orders.listed(self._app.gateway)

    def show_still_working(self) -> None:
        """Show the orders that work at the gateway, or that this is unknown and why; within two seconds."""
        from v6cli.runbook import halt

        found = self._app.run(halt.still_working(self.working_orders))
        self._app.output.show(halt.orders_unknown(found) if isinstance(found, str) else halt.orders(found))

    def name_other_homes(self) -> None:
        """Name the other homes of this machine, which go on as they are, or say that they are unknown; within two seconds.

        Not beside a look at the gateway: on a busy machine that would take its time away.
        """
        from v6cli.runbook import halt, other_homes

        for line in self._app.run(other_homes.look(self._app.home, halt.LOOK_WITHIN)):
            self._app.output.note(line)

    @contextlib.contextmanager
    def naming_other_homes(self) -> Iterator[None]:
        """An act that ends by naming the other homes of this machine, also where it fails."""
        try:
            yield
        except V6Error:
            self.name_other_homes()
            raise
        self.name_other_homes()

    def show_before_resuming(self, latch: Latch) -> None:
        """Show why trading is not active, what is recorded since, and which services do not run."""
        from v6cli import permits
        from v6cli.lake import reader
        from v6cli.runbook import halt, resumption

        self._app.output.show(halt.table(latch))
        for permit in permits.standing(self._app.home):
            self._app.output.note(f"{permit.what} runs, and goes on closing whatever you answer")
        if at := resumption.since(latch):
            self._app.output.show(resumption.table(self._app.state, lambda then: reader.positions(self._app.home.lake, then), at))
        states = self._app.services.status()
        self._app.output.note(resumption.said_of_services(resumption.stopped(states), of=len(states)))

    def check_nothing_closes(self) -> None:
        """Raise Refused while a closing runs: v6-trading, which it has ended, must not be started beside it."""
        from v6cli import permits

        if standing := permits.standing(self._app.home):
            raise Refused(f"{standing[0].what} runs: no service is started beside it", next_step="wait for it to end, or ^C it")

    def start_what_is_stopped(self) -> None:
        """Start the services that do not run, in dependency order, and see that all of them do. Raises ServiceUnavailable."""
        from v6cli.runbook import resumption, services

        if names := resumption.stopped(self._app.services.status()):
            with self._app.output.live("services start") as report:
                self._app.services.start(names, report)
        states = self._app.services.status()
        self._app.output.show(services.table(states))
        resumption.check_running(states)
