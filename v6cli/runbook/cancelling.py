"""Every order of a gateway cancelled at once: of every client, and of every account that its login manages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from v6cli import clock
from v6cli.broker import orders as broker
from v6cli.broker.ib import NoAnswer
from v6cli.errors import Refused
from v6cli.models import WorkingOrder
from v6cli.results import count
from v6cli.runbook import orders
from v6cli.runbook.consent import Consent
from v6cli.runbook.orders import Gateway, Gone

if TYPE_CHECKING:
    from v6cli.broker.connection import Connection

TYPED = "v6 orders cancel --all --yes --account ID"


class Everything:
    """What works at a gateway, and the one cancel that takes all of it."""

    def __init__(self, gateway: Gateway, consent: Consent) -> None:
        self._gateway = gateway
        self._consent = consent
        self._seen: dict[WorkingOrder, datetime] = {}

    async def look(self) -> list[WorkingOrder]:
        """The orders of every client and account that work. Raises GatewayUnavailable."""
        async with self._gateway("cancel", None) as connection:
            self._consent.met(connection)
            return await self._see(connection)

    def agree(self, ask: Callable[[str], str] | None, *, yes: bool) -> None:
        """Have it confirmed, by the account where other accounts' orders go, too. Raises Refused."""
        if yes:
            return
        if ask is None:
            raise Refused(
                "nobody to ask: cancel all of them?", next_step=TYPED if self._consent.to_type else "v6 orders cancel --all --yes"
            )
        if self._consent.to_type:
            question = f"cancel all of them{self._consent.reaches}.\nType {self._consent.pinned or 'the account id'} to go on: "
            agreed = self._consent.take(ask(question))
        else:
            agreed = ask("cancel all of them? [y/N] ").lower() in {"y", "yes"}
        if not agreed:
            raise Refused("not confirmed: nothing was done")

    async def cancel(self) -> list[Gone]:
        """Cancel all of it, and wait until none is listed. Raises Refused for want of consent, OutcomeUnknown, GatewayUnavailable."""
        async with self._gateway("cancel", None) as connection:
            if why := self._consent.forbids(connection):
                raise Refused(f"NO ORDER WAS CANCELLED: {why}", next_step=TYPED)
            await self._see(connection)
            await broker.cancel_everything(connection)
            await orders.gone(connection, self._seen, _proven)
            return await orders.what_filled(connection, self._seen)

    async def _see(self, connection: Connection) -> list[WorkingOrder]:
        """What works now; an order that was seen before keeps the state in which it was shown."""
        at, found = clock.now(), await _proven(connection)
        known = {key for one in self._seen for key in orders.keys(one)}
        self._seen |= {one: at for one in found if not known & orders.keys(one)}
        return found


def said_of(gone: Sequence[Gone]) -> str:
    """What came of a cancel of everything, in a line for those that it took and one for each other."""
    cancelled = [one for one in gone if one.filled is not None and not one.escaped]
    lines = [f"{count(len(cancelled), 'order')} cancelled: none of them works any more"] if cancelled else []
    return "\n".join([*lines, *(str(one) for one in gone if one not in cancelled)])


async def _proven(connection: Connection) -> list[WorkingOrder]:
    listed = await broker.everything(connection)
    if not listed.complete:
        raise NoAnswer("the gateway's list of open orders does not come to its end: what works is unknown")
    await connection.must_reach_ib()
    return list(listed.orders)
